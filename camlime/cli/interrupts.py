"""Ctrl-C: the first ends the work with what there is, the second stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """Listens to Ctrl-C while it is entered.

    Before :meth:`soften` a Ctrl-C raises ``KeyboardInterrupt``, since there is nothing to keep. After it the first one
    only sets :attr:`asked`, which the work looks at between batches, and the second one raises.
    """

    def __init__(self) -> None:
        self.asked = False
        self._soft = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def soften(self) -> None:
        """From here on there is something to keep: the first Ctrl-C only asks to stop."""
        self._soft = True

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self._soft:
            raise KeyboardInterrupt
        self.asked = True
