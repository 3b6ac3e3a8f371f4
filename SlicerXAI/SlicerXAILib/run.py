"""One run of an explanation: from the case to nodes in the scene."""

from __future__ import annotations

import logging
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.case import Case
from SlicerXAILib.engine import Engine
from SlicerXAILib.inputs import ScanFiles
from SlicerXAILib.label_maps import label_job
from SlicerXAILib.problems import InputError, Problem
from SlicerXAILib.result import Preview, Result
from SlicerXAILib.scene_nodes import SceneExplanation
from SlicerXAILib.session import Event
from SlicerXAILib.signals import Signal

REQUEST_ATTRIBUTE = "SlicerXAI.request"
"""Attribute of an explanation's hub: the request by which the worker still knows it."""


class Run:
    """Runs one case at a time.

    Args:
        engine: who does the work.
        scans: hands volumes over.
        folder: for the arrays of each run.
        begin: makes an explanation in the scene.

    Attributes:
        progressed: signal, an event ``progress``.
        predicted: signal, an event ``prediction``.
        shown: signal, :class:`SceneExplanation`: it came into the scene or was updated.
        finished: signal, whether it was complete: nothing runs any more.
        failed: signal, :class:`Problem`; ``finished`` follows.
    """

    def __init__(
        self,
        engine: Engine,
        scans: ScanFiles,
        folder: Path,
        begin: Callable[[Any, str], SceneExplanation] = SceneExplanation.begin,
    ) -> None:
        self._engine = engine
        self._scans = scans
        self._folder = folder
        self._begin = begin
        self._case: Case | None = None
        self._request: str | None = None
        self._explanation: SceneExplanation | None = None
        self._turn = 0
        self._count = 0
        self._newest: dict[str, int] = {}
        self._arrays: Path | None = None
        self.progressed = Signal()
        self.predicted = Signal()
        self.shown = Signal()
        self.finished = Signal()
        self.failed = Signal()

    @property
    def running(self) -> bool:
        """Whether there is work under way."""
        return self._case is not None

    def start(self, case: Case) -> None:
        """Begin; returns at once.

        Raises:
            InputError: the volume or the regions cannot be handed over.
        """
        self._engine.drop_estimate()
        self._case = case
        try:
            self._begin_run(case)
        except InputError:
            self._end()
            raise

    def cancel(self) -> None:
        """Ask for the end; what is there is kept, and :attr:`finished` says when it is over."""
        if self._case is None:
            return
        if self._request is None:  # the volume is still being written
            self._finish(False)
        else:
            self._engine.session.cancel(self._request)

    def abandon(self) -> None:
        """Stop at once and hear no more of it: the scene is closed, or its nodes are gone."""
        if self._request is not None:
            self._engine.session.forget(self._request)
        if self._case is not None:
            self._finish(False)

    def _begin_run(self, case: Case) -> None:
        self._explanation, self._request = None, None
        self._turn += 1
        turn = self._turn
        folder = self._arrays = Path(tempfile.mkdtemp(prefix="run-", dir=self._folder))
        labels = None if case.regions is None else label_job(case.regions, case.volume, case.plane)
        job = self._scans.job(case.volume, case.plane, case.bundle.input_channels)

        def write() -> tuple[Mapping[str, Any], Path | None]:
            regions = None
            if labels is not None:
                path = Path(tempfile.mkdtemp(prefix="regions-", dir=self._folder)) / "regions.seg.nrrd"
                regions = labels.write(path)
            return job.write(), regions

        def ask(written: tuple[Mapping[str, Any], Path | None]) -> None:
            if turn == self._turn:
                self._ask(written[0], folder, written[1])

        def fail(error: Exception) -> None:
            if turn != self._turn:
                return
            if isinstance(error, InputError):
                self._fail(error.problem)
            else:
                self._fail(
                    Problem(
                        _("The volume cannot be handed to the engine: {reason}").format(reason=error),
                        _("Is the disk full?"),
                    )
                )

        self._engine.session.background.run(write, ask, fail)

    def _ask(self, scan: Mapping[str, Any], folder: Path, regions: Path | None) -> None:
        case = self._case
        assert case is not None
        try:
            self._request = self._engine.session.ask(
                "explain",
                self._hear,
                scan=scan,
                folder=str(folder),
                class_name=case.class_name or None,
                quality=case.quality,
                regions=None if regions is None else str(regions),
                **case.fields(),
            )
        except (OSError, RuntimeError) as error:
            self._fail(Problem(str(error), _("See 'Set-up' below."), kind="engine"))

    def _hear(self, event: Event) -> None:
        try:
            self._handle(event)
        except Exception as error:  # the panel must not be left waiting for a run that cannot end
            self._give_up(error)

    def _handle(self, event: Event) -> None:
        kind = event["event"]
        if not self._still_wanted():
            self.abandon()
        elif kind == "progress":
            self.progressed.emit(event)
        elif kind == "prediction":
            self._start_showing(event)
        elif kind == "preview":
            self._update(event)
        elif kind == "result":
            self._complete(event)
        elif kind == "cancelled":
            if event["kept"] == "result":
                self._complete(event["result"] | {"id": event["id"]})
            else:  # a preview may be on its way into the scene
                self._walk(iter(()), lambda: self._finish(False))
        elif kind == "error":
            self._fail(Problem.from_event(event))

    def _still_wanted(self) -> bool:
        """Whether the user has deleted neither the volume nor what is shown of it."""
        case = self._case
        if case is None or case.volume.GetScene() is None:
            return False
        return self._explanation is None or self._explanation.alive

    def _start_showing(self, event: Event) -> None:
        assert self._case is not None
        self.predicted.emit(event)
        self._explanation = self._begin(self._case.volume, self._title(event))
        self.shown.emit(self._explanation)

    def _title(self, event: Event) -> str:
        """Of the folder in the scene: it claims a class only where there is one."""
        assert self._case is not None
        name, slices = event["explained_class"], self._case.slices
        if _has_class(event):
            title = _("Why {class_name}?").format(class_name=name) if name else _("Why?")
            if slices is None:
                return title
            if slices.first == slices.last:
                return _("{title} Slice {index}").format(title=title, index=slices.first)
            return _("{title} Slices {first} to {last}").format(title=title, first=slices.first, last=slices.last)
        title = _("Evidence for {class_name}").format(class_name=name) if name else _("Evidence")
        if slices is None:
            return title
        if slices.first == slices.last:
            return _("{title}, slice {index}").format(title=title, index=slices.first)
        return _("{title}, slices {first} to {last}").format(title=title, first=slices.first, last=slices.last)

    def _update(self, event: Event) -> None:
        """Read a preview in the background and show it, unless something newer came meanwhile."""
        turn, method = self._turn, event["method"]
        self._count += 1
        number = self._newest[method] = self._count

        def put(preview: Preview) -> None:
            if turn != self._turn or number != self._newest[method] or self._explanation is None:
                return
            if not self._still_wanted():
                self.abandon()
                return
            explanation = self._explanation
            self._walk(explanation.update_in_steps(preview), lambda: self.shown.emit(explanation))

        def skip(error: Exception) -> None:
            logging.warning("SlicerXAI: a preview was not shown: %s", error)

        self._engine.session.background.run(lambda: Preview.from_event(event), put, skip)

    def _complete(self, event: Event) -> None:
        turn = self._turn

        def put(result: Result) -> None:
            if turn != self._turn:
                return
            if not self._still_wanted():
                self.abandon()
                return
            if self._explanation is None:
                self._explanation = self._begin(self._case.volume, self._title(event))
            steps = self._explanation.complete_in_steps(result)
            self._walk(steps, lambda: self._put(result, str(event["id"])))

        def fail(error: Exception) -> None:
            if turn == self._turn:
                self._fail(Problem(_("The result cannot be read: {reason}").format(reason=error), kind="defect"))

        self._engine.session.background.run(lambda: Result.from_event(event), put, fail)

    def _walk(self, steps: Iterator[None], done: Callable[[], None]) -> None:
        """Take steps in the scene between the views' turns, for as long as this turn of the run is still wanted."""
        turn = self._turn

        def wanted() -> Iterator[None]:
            while turn == self._turn:
                if not self._still_wanted():
                    self.abandon()
                    return
                try:
                    next(steps)
                except StopIteration:
                    return
                yield

        def end() -> None:
            if turn == self._turn:
                try:
                    done()
                except Exception as error:  # as in _hear
                    self._give_up(error)

        def fail(error: Exception) -> None:
            if turn == self._turn:
                self._give_up(error)

        self._engine.session.steps.run(wanted(), end, fail)

    def _put(self, result: Result, request: str) -> None:
        assert self._explanation is not None
        if self._arrays is not None:
            shutil.rmtree(self._arrays, ignore_errors=True)  # all of it is in the scene now
        self._explanation.hub.SetAttribute(REQUEST_ATTRIBUTE, request)
        self.shown.emit(self._explanation)
        self._finish(result.complete)

    def _give_up(self, error: Exception) -> None:
        """A defect of the module itself."""
        logging.error("SlicerXAI", exc_info=error)
        if self._request is not None:
            self._engine.session.forget(self._request)
        self._fail(
            Problem(
                _("The result cannot be shown: {reason}").format(reason=error),
                _("This is a defect of SlicerXAI: please report it with the details."),
                "".join(traceback.format_exception(error)),
                kind="defect",
            )
        )

    def _fail(self, problem: Problem) -> None:
        self.failed.emit(problem)
        self._finish(False)

    def _finish(self, complete: bool) -> None:
        explanation = self._explanation
        if explanation is not None and explanation.alive and not explanation.choices():
            explanation.remove()  # it ended before there was a map to keep
        self._end()
        self.finished.emit(complete)

    def _end(self) -> None:
        self._turn += 1  # whoever is still under way is not heard any more
        self._case, self._request, self._explanation = None, None, None


def _has_class(event: Event) -> bool:
    """Whether the image, or any slice of a range, has a class, by an event ``prediction`` or ``result``."""
    if event["prediction"] is not None:
        return event["prediction"]["class"] is not None
    return any(answer["class"] is not None for answer in event["slices"]["answers"])
