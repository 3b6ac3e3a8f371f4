"""Maps for the user to see while the work goes on: the first soon, then at growing times, at last the final one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.attribution import Attribution
from camlime.overview.words import method_title, unit_of
from camlime.record import file_stem
from camlime.worker.engine.arrays import ArrayFolder
from camlime.worker.engine.task import Task

FIRST_AFTER = 0.5
"""Seconds from a method's first batch, whose map would be noise, to its first preview."""

LONGEST_GAP = 8.0
"""Seconds; the gap between two previews of a method doubles from one second up to this."""

Written = tuple[dict[str, Any], "dict[str, Any] | None"]

KEPT = 2
"""Previews of a method whose files stay, so that a reader has time."""


class Previewing:
    """Writes maps and announces them.

    Args:
        task: whose they are.
        folder: for the arrays.
        affine: of the maps' grid, 4x4.
        shape: of the maps.
        explained_class: what the maps speak of.
    """

    def __init__(
        self,
        task: Task,
        folder: ArrayFolder,
        affine: NDArray[np.float64],
        shape: Sequence[int],
        explained_class: str | None,
    ) -> None:
        self._task = task
        self._folder = folder
        self._grid = affine.tolist(), list(shape)
        self._explained_class = explained_class
        self._count: dict[str, int] = {}
        self._next: dict[str, float] = {}
        self._files: dict[str, list[dict[str, Any]]] = {}
        self.final: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {}

    def draft(self, method: str, make: Callable[[], Attribution]) -> None:
        """Take a map on its way if it is time for one."""
        now = time.monotonic()
        if self._task.cancelled() or method in self.final or now < self._next.setdefault(method, now + FIRST_AFTER):
            return
        count = self._count[method] = self._count.get(method, 0) + 1
        attribution = make()
        written = self._write(attribution, f"-preview-{count}")
        self._announce(attribution, *written, final=False)
        self._let_go(method, written)
        self._next[method] = time.monotonic() + min(2.0 ** (count - 1), LONGEST_GAP)

    def done(self, attribution: Attribution) -> None:
        """Take the final map of a method."""
        values, std = self.final[attribution.method] = self._write(attribution, "")
        self._announce(attribution, values, std, final=True)

    def start_anew(self) -> None:
        """Take maps of all methods again, of something else; the last ones' files go as those of earlier previews."""
        for method, written in self.final.items():
            self._let_go(method, written)
        self.final = {}
        self._count, self._next = {}, {}

    def _let_go(self, method: str, written: Written) -> None:
        files = self._files.setdefault(method, [])
        files += [each for each in written if each is not None]
        while len(files) > 2 * KEPT:
            self._folder.remove(files.pop(0))

    def _write(self, attribution: Attribution, ending: str) -> Written:
        stem = file_stem(attribution.method)
        std = attribution.std
        return (
            self._folder.write(f"{stem}{ending}", attribution.values),
            None if std is None else self._folder.write(f"{stem}_std{ending}", std),
        )

    def _more(self) -> dict[str, Any]:
        """Further fields of the event."""
        return {}

    def _announce(
        self, attribution: Attribution, values: dict[str, Any], std: dict[str, Any] | None, *, final: bool
    ) -> None:
        self._task.emit(
            "preview",
            method=attribution.method,
            title=method_title(attribution.method),
            unit=unit_of(attribution),
            final=final,
            explained_class=self._explained_class,
            affine_ras=self._grid[0],
            shape=self._grid[1],
            values=values,
            std=std,
            passes=attribution.forward_passes + 2 * attribution.backward_passes,
            **self._more(),
        )
