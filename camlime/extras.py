"""Packages that only some need: imported where used, and missed with words."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from camlime.errors import RequestError


def needed(module: str, *, extra: str, purpose: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: its name, dots included.
        extra: of camlime that installs it.
        purpose: what it is needed for, in words.

    Raises:
        RequestError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise RequestError(
            f"{purpose} needs the package that provides '{module.split('.', maxsplit=1)[0]}', which cannot be imported "
            f"({error})",
            hint=f'pip install "camlime[{extra}]"',
        ) from error
