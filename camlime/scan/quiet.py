"""Keep the readers' C++ and logging chatter off the user's console."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import SimpleITK as sitk
from nibabel.imageglobals import LoggingOutputSuppressor

_lock = threading.Lock()
_depth = 0
_saved: int | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence ITK, MetaIO, GDCM and nibabel while the block runs; what matters comes back as an exception.

    MetaIO and GDCM write to the C++ stream, past Python and past ITK's own switch, so file descriptor 2 is turned to
    the null device. Blocks of several threads may overlap: the first in turns it, the last out turns it back.

    Example:
        >>> with quiet():
        ...     pass
    """
    _enter()
    try:
        with LoggingOutputSuppressor():
            yield
    finally:
        _leave()


def _enter() -> None:
    global _depth, _saved  # noqa: PLW0603 - file descriptors belong to the process, and so does their state
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        sitk.ProcessObject.GlobalWarningDisplayOff()
        try:
            if sys.stderr is not None:
                sys.stderr.flush()
            _saved = os.dup(2)
        except OSError:  # no console at all (a service, pythonw): nothing to silence
            _saved = None
            return
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)


def _leave() -> None:
    global _depth, _saved  # noqa: PLW0603
    with _lock:
        _depth -= 1
        if _depth == 0 and _saved is not None:
            os.dup2(_saved, 2)
            os.close(_saved)
            _saved = None
