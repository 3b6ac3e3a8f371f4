"""Keeps known chatter of other packages off the user's terminal; warnings that are not listed here still show."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_KNOWN = (
    (r".*", r"monai(\..*)?", FutureWarning),
    (r".*", r"torch(\..*)?", DeprecationWarning),
    (r".*does not have a deterministic implementation", r".*", UserWarning),
    (r"Detected pickle protocol", r"torch(\..*)?", UserWarning),
    (r".*Deterministic behavior was enabled", r".*", UserWarning),
)
"""Message, module, category of warnings that mean nothing for a user."""


@contextmanager
def without_noise() -> Iterator[None]:
    """Ignore known warnings of other packages while it lasts."""
    with warnings.catch_warnings():
        for message, module, category in _KNOWN:
            warnings.filterwarnings("ignore", message=message, module=module, category=category)
        yield
