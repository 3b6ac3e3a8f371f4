"""One request while it is done: who asked, how far it is, and whether it is still wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from camlime.worker.lines import Writer

LEAST_SECONDS_BETWEEN_REPORTS = 0.1


class Stopped(Exception):  # noqa: N818 - an outcome, not an error
    """The request was cancelled before there was anything to keep."""


class Task:
    """A request that runs.

    Args:
        request: its fields.
        events: where events go.
        cancelled: whether it is to end.
    """

    def __init__(self, request: dict[str, Any], events: Writer, cancelled: Callable[[], bool]) -> None:
        self.request = request
        self.cancelled = cancelled
        self._events = events
        self._reported: tuple[str, float] = ("", 0.0)

    def emit(self, event: str, **fields: Any) -> None:
        """Send an event of this request."""
        self._events.write({"event": event, "id": self.request["id"], **fields})

    def stage(self, name: str) -> None:
        """Say that a stage begins whose length is not known.

        Raises:
            Stopped: the request was cancelled.
        """
        if self.cancelled():
            raise Stopped
        self.progress(name, 0, 0, None)

    def progress(self, stage: str, done: int, total: int, seconds_left: float | None, **more: Any) -> None:
        """Say how far a stage is; not more often than somebody could read, its begin and end always."""
        now = time.monotonic()
        last_stage, last = self._reported
        if stage == last_stage and done < total and now < last + LEAST_SECONDS_BETWEEN_REPORTS:
            return
        self._reported = (stage, now)
        self.emit("progress", stage=stage, done=done, total=total, seconds_left=seconds_left, **more)
