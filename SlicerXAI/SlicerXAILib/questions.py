"""Short questions to the worker about what is shown: what if a part were not there, and please write it to a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.case import Case
from SlicerXAILib.engine import Engine
from SlicerXAILib.inputs import Plane, ScanFiles, save_array
from SlicerXAILib.label_maps import segment_mask
from SlicerXAILib.problems import InputError, Problem
from SlicerXAILib.run import REQUEST_ATTRIBUTE
from SlicerXAILib.scene_nodes import SceneExplanation
from SlicerXAILib.session import Event
from SlicerXAILib.signals import Signal


class Questions:
    """One question at a time.

    Args:
        engine: who answers.
        scans: hands volumes over.
        folder: for masks.

    Attributes:
        progressed: signal, an event ``progress``.
        answered: signal, the event ``result`` of a what-if.
        exported: signal, the paths that were written.
        finished: signal, no argument: nothing is being asked any more.
        failed: signal, :class:`Problem`; ``finished`` follows.
    """

    def __init__(self, engine: Engine, scans: ScanFiles, folder: Path) -> None:
        self._engine = engine
        self._scans = scans
        self._folder = folder
        self._request: str | None = None
        self._asking = False
        self._turn = 0
        self.progressed = Signal()
        self.answered = Signal()
        self.exported = Signal()
        self.finished = Signal()
        self.failed = Signal()

    @property
    def running(self) -> bool:
        """Whether an answer is awaited."""
        return self._asking

    def what_if(self, case: Case, segmentation: Any | None, segment_id: str) -> None:
        """How would the answer change if a segment were not there?

        Raises:
            InputError: there is no such segment, or it covers nothing.
        """
        if segmentation is None or not segment_id:
            raise InputError(
                _("No part is chosen to be taken away."), _("Choose a segment, or press 'Paint' and paint one.")
            )
        slices = case.slices
        plane = case.plane if slices is None else Plane(slices.axis, slices.first)
        segment_mask(segmentation, segment_id, case.volume, plane)  # says so where nothing of it is in the slice
        mask = segment_mask(segmentation, segment_id, case.volume, case.plane)
        job = self._scans.job(case.volume, case.plane, case.bundle.input_channels)
        path = Path(tempfile.mkdtemp(prefix="mask-", dir=self._folder)) / "mask.npy"

        def write() -> Mapping[str, Any]:
            save_array(path, mask)
            return job.write()

        def ask(scan: Mapping[str, Any]) -> None:
            self._ask("what_if", self._hear_answer, scan=scan, mask={"array": str(path)}, **case.fields())

        self._begin()
        turn = self._turn
        self._engine.session.background.run(
            write,
            lambda scan: ask(scan) if turn == self._turn else None,
            lambda error: self._fail(Problem(str(error), _("Is the disk full?"))) if turn == self._turn else None,
        )

    def export(self, explanation: SceneExplanation | None, folder: str, *, native_grid: bool) -> None:
        """Write an explanation to a folder as ``camlime explain`` does.

        Raises:
            InputError: there is none, no folder was chosen, or the engine knows it no longer.
        """
        if explanation is None or not explanation.alive:
            raise InputError(_("There is nothing to export."), _("Explain a volume first."))
        if not folder:
            raise InputError(_("No folder was chosen."), _("Choose an empty or a new one."))
        request = explanation.hub.GetAttribute(REQUEST_ATTRIBUTE)
        if not request:
            raise InputError(
                _("This explanation was made in an earlier session, and the engine knows it no longer."),
                _("Explain the volume again, or save the scene, which holds all of it."),
            )
        self._begin()
        self._ask(
            "export",
            self._hear_export,
            explanation=request,
            folder=str(Path(folder).expanduser().absolute()),
            native_grid=native_grid,
        )

    def cancel(self) -> None:
        """Ask for the end of the question."""
        if self._request is not None:
            self._engine.session.cancel(self._request)
        elif self._asking:
            self._finish()

    def abandon(self) -> None:
        """Stop at once and hear no more of it."""
        if self._request is not None:
            self._engine.session.forget(self._request)
        if self._asking:
            self._finish()

    def _begin(self) -> None:
        self._engine.drop_estimate()
        self._asking = True

    def _ask(self, request: str, handler: Any, **fields: Any) -> None:
        try:
            self._request = self._engine.session.ask(request, handler, **fields)
        except (OSError, RuntimeError) as error:
            self._fail(Problem(str(error), _("See 'Set-up' below."), kind="engine"))

    def _hear_answer(self, event: Event) -> None:
        if event["event"] == "result":
            self.answered.emit(event)
        self._hear(event)

    def _hear_export(self, event: Event) -> None:
        if event["event"] == "result":
            self.exported.emit(event["files"])
        self._hear(event)

    def _hear(self, event: Event) -> None:
        if event["event"] == "progress":
            self.progressed.emit(event)
        elif event["event"] == "error":
            self._fail(Problem.from_event(event))
        elif event["event"] in ("result", "cancelled"):
            self._finish()

    def _fail(self, problem: Problem) -> None:
        self.failed.emit(problem)
        self._finish()

    def _finish(self) -> None:
        self._turn += 1
        self._asking, self._request = False, None
        self.finished.emit()
