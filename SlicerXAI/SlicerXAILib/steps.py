"""Work that only the views' thread may do, cut into steps, with turns for the views between them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class _Walk:
    steps: Iterator[None]
    done: Callable[[], None]
    failed: Callable[[Exception], None]


class Steps:
    """Takes generators a step at a time: what they do between two ``yield`` is one step.

    Example:
        >>> def count():
        ...     print("one")
        ...     yield
        ...     print("two")
        >>> steps = Steps()
        >>> steps.run(count(), lambda: print("done"), print)
        >>> steps.poll(0.0)
        one
        >>> steps.poll(1.0)
        two
        done
    """

    def __init__(self) -> None:
        self._walks: deque[_Walk] = deque()
        self._stepping = False

    def run(self, steps: Iterator[None], done: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        """Take these steps after those that are under way; ``done`` is called after the last, a step of its own.

        ``failed`` gets what a step raises; the steps after it are not taken.
        """
        self._walks.append(_Walk(steps, done, failed))

    @property
    def running(self) -> bool:
        """Whether there are steps left."""
        return bool(self._walks)

    def poll(self, seconds: float) -> None:
        """Take one step, and more until so many seconds have gone by; none from within a step that lets events pass."""
        if self._stepping:
            return
        self._stepping = True
        try:
            deadline = time.monotonic() + seconds
            while self._walks:
                self._step(self._walks[0])
                if time.monotonic() >= deadline:
                    return
        finally:
            self._stepping = False

    def forget(self) -> None:
        """Take no step any more."""
        self._walks.clear()

    def _step(self, walk: _Walk) -> None:
        try:
            next(walk.steps)
            return
        except StopIteration:
            then = walk.done
        except Exception as error:  # handed to whoever asked
            failure = error

            def then() -> None:
                walk.failed(failure)

        if self._walks and self._walks[0] is walk:
            self._walks.popleft()
        then()
