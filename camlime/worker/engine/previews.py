"""Maps for the user to see while the work goes on: the first soon, then at growing times, at last the final one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from camlime.attribution import Attribution
from camlime.overview.words import method_title, unit_of
from camlime.pipeline import Prepared
from camlime.record import file_stem
from camlime.worker.engine.arrays import ArrayFolder
from camlime.worker.engine.task import Task

FIRST_AFTER = 0.5
"""Seconds from a method's first batch, whose map would be noise, to its first preview."""

LONGEST_GAP = 8.0
"""Seconds; the gap between two previews of a method doubles from one second up to this."""

KEPT = 2
"""Previews of a method whose files stay, so that a reader has time."""


class Previews:
    """Writes maps and announces them.

    Args:
        task: whose they are.
        folder: for the arrays.
        prepared: the case, for its grid.
        explained_class: what the maps speak of.
    """

    def __init__(self, task: Task, folder: ArrayFolder, prepared: Prepared, explained_class: str) -> None:
        self._task = task
        self._folder = folder
        self._prepared = prepared
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
        values, std = self._write(attribution, f"-preview-{count}")
        self._announce(attribution, values, std, final=False)
        files = self._files.setdefault(method, [])
        files += [written for written in (values, std) if written is not None]
        while len(files) > 2 * KEPT:
            self._folder.remove(files.pop(0))
        self._next[method] = time.monotonic() + min(2.0 ** (count - 1), LONGEST_GAP)

    def done(self, attribution: Attribution) -> None:
        """Take the final map of a method."""
        values, std = self.final[attribution.method] = self._write(attribution, "")
        self._announce(attribution, values, std, final=True)

    def _write(self, attribution: Attribution, ending: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        stem = file_stem(attribution.method)
        std = attribution.std
        return (
            self._folder.write(f"{stem}{ending}", attribution.values),
            None if std is None else self._folder.write(f"{stem}_std{ending}", std),
        )

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
            affine_ras=self._prepared.input.affine.tolist(),
            shape=list(self._prepared.input.spatial_shape),
            values=values,
            std=std,
            passes=attribution.forward_passes + 2 * attribution.backward_passes,
        )
