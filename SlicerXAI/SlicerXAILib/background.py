"""Work that would block the views for more than a moment: done in a thread, its end heard by a timer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Background:
    """Runs functions in threads and calls back in the thread of :meth:`poll`, that of the views.

    The functions must touch neither the MRML scene nor Qt: files and arrays only.

    Example:
        >>> background = Background()
        >>> background.run(lambda: 6 * 7, print, print)
        >>> background.wait()
        42
    """

    def __init__(self) -> None:
        self._jobs: list[_Job] = []

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        """Start ``work``; ``done`` gets what it returns, ``failed`` what it raises."""
        self._jobs.append(_Job(work, done, failed))

    @property
    def running(self) -> bool:
        """Whether there is one that has not called back."""
        return bool(self._jobs)

    def poll(self) -> None:
        """Call back for those that have ended."""
        for job in [job for job in self._jobs if not job.thread.is_alive()]:
            self._jobs.remove(job)
            if job.error is not None:
                job.failed(job.error)
            else:
                job.done(job.value)

    def give_way(self, seconds: float) -> None:
        """Let threads run, for so many seconds at most; returns at once where there is none.

        Slicer's own thread holds Python's lock while it draws and waits for the mouse, so that other threads come to
        their turn only while a timer's Python code runs, and hardly if that returns at once.
        """
        if self._jobs:
            self._jobs[0].thread.join(seconds)

    def forget(self) -> None:
        """Call nobody back any more; threads that run end by themselves."""
        self._jobs.clear()

    def wait(self) -> None:
        """Wait for all and call back: for tests and scripts."""
        while self._jobs:
            self._jobs[0].thread.join()
            self.poll()


class _Job:
    def __init__(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        self._work = work
        self.done = done
        self.failed = failed
        self.value: Any = None
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._do, name="SlicerXAI background", daemon=True)
        self.thread.start()

    def _do(self) -> None:
        try:
            self.value = self._work()
        except Exception as error:  # handed to the caller's thread
            self.error = error
