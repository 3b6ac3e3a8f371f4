"""Signals between plain Python objects; ``qt.Signal`` does not exist in PythonQt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """A list of functions that are called in order when something happens.

    Example:
        >>> heard = []
        >>> happened = Signal()
        >>> happened.connect(heard.append)
        >>> happened.emit(1)
        >>> heard
        [1]
    """

    def __init__(self) -> None:
        self._slots: list[Callable[..., None]] = []

    def connect(self, slot: Callable[..., None]) -> None:
        """Call ``slot`` from now on."""
        self._slots.append(slot)

    def emit(self, *args: Any) -> None:
        """Call every connected function."""
        for slot in tuple(self._slots):
            slot(*args)

    def disconnect_all(self) -> None:
        """Call nobody any more: who is being destroyed must not be called."""
        self._slots.clear()
