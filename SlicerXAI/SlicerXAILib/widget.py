"""The panel: puts the sections together and carries what one says to the others."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SlicerXAILib.answer_panel import AnswerPanel, fill_explanations
from SlicerXAILib.background import Background
from SlicerXAILib.case import Case, case_of
from SlicerXAILib.controls import chosen_value
from SlicerXAILib.dialogs import Dialogs
from SlicerXAILib.engine import READY, Engine
from SlicerXAILib.inputs import ScanFiles
from SlicerXAILib.inputs_panel import InputsPanel
from SlicerXAILib.keep_panel import KeepPanel
from SlicerXAILib.look_panel import LookPanel
from SlicerXAILib.messages_panel import MessagesPanel
from SlicerXAILib.place_panel import PlacePanel
from SlicerXAILib.places import bundle_home, make_client
from SlicerXAILib.problems import InputError, Problem
from SlicerXAILib.questions import Questions
from SlicerXAILib.run import Run
from SlicerXAILib.run_panel import RunPanel
from SlicerXAILib.scene_nodes import Following, SceneExplanation
from SlicerXAILib.session import Session
from SlicerXAILib.setup_panel import SetupPanel
from SlicerXAILib.views import slice_node
from SlicerXAILib.what_if_panel import WhatIfPanel


@dataclass
class Collaborators:
    """What the panel works with; tests put others in their place.

    Args:
        session: with the worker.
        dialogs: ask the user.
        bundle_home: where zips are unpacked.
    """

    session: Session = field(default_factory=lambda: Session(make_client(), qt.QTimer(), Background()))
    dialogs: Dialogs = field(default_factory=Dialogs)
    bundle_home: Path = field(default_factory=bundle_home)


class Panel:
    """The module's panel on a loaded ``.ui``.

    Args:
        ui: the controls by name.
        collaborators: see there.
    """

    def __init__(self, ui: Any, collaborators: Collaborators | None = None) -> None:
        with_ = collaborators or Collaborators()
        self.ui = ui
        self.parameters: Any = None
        self.shown: SceneExplanation | None = None
        self._scene = slicer.mrmlScene
        self._changing = False
        self._folder = Path(tempfile.mkdtemp(prefix="slicerxai-"))
        scans = ScanFiles(self._folder)
        self.engine = Engine(with_.session)
        self.run = Run(self.engine, scans, self._folder)
        self.questions = Questions(self.engine, scans, self._folder)
        self.messages = MessagesPanel(ui, with_.dialogs)
        self.inputs = InputsPanel(ui, self.engine, with_.dialogs, with_.bundle_home)
        self.place = PlacePanel(ui, self._scene)
        self.progress = RunPanel(ui)
        self.answer = AnswerPanel(ui)
        self.look = LookPanel(ui)
        self.what_if = WhatIfPanel(ui, self._scene)
        self.keep = KeepPanel(ui)
        self.setup = SetupPanel(ui, self.engine, with_.dialogs)
        self._following = Following(self._scene, self.refresh)
        self._connect()
        self.show(None)

    def _connect(self) -> None:
        ui = self.ui
        ui.explainButton.connect("clicked()", self.explain)
        ui.cancelButton.connect("clicked()", self.cancel)
        ui.whatIfButton.connect("clicked()", self.ask_what_if)
        ui.exportButton.connect("clicked()", self.export)
        ui.removeButton.connect("clicked()", self.remove)
        ui.explanationSelector.connect("currentIndexChanged(int)", self._choose_explanation)
        for source in (self.engine, self.run, self.questions, self.inputs, self.setup):
            source.failed.connect(self.messages.show)
        self.engine.changed.connect(self.refresh)
        self.engine.ended.connect(self._worker_ended)
        self.inputs.changed.connect(self.refresh)
        self.run.progressed.connect(self.progress.progress)
        self.run.predicted.connect(self.answer.hear)
        self.run.shown.connect(self._show_run)
        self.run.finished.connect(self._run_finished)
        self.questions.progressed.connect(self.progress.progress)
        self.questions.answered.connect(self.what_if.show)
        self.questions.exported.connect(self.keep.show)
        self.questions.finished.connect(self._question_finished)

    # -- the module's life -----------------------------------------------------------------------------------------

    def enter(self) -> None:
        """The user opens the module: have the worker ready when it is needed."""
        self.engine.start()
        self.setup.open_if_needed()
        if self.parameters is not None:
            self._choose_what_there_is()
        self.refresh()

    def _choose_what_there_is(self) -> None:
        """Choose the active volume, and the one list of points, where nothing is chosen yet."""
        if self.parameters.volume is None:
            selection = slicer.app.applicationLogic().GetSelectionNode()
            node = self._scene.GetNodeByID(selection.GetActiveVolumeID() or "")
            if node is not None and node.GetClassName() in ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode"):
                self.parameters.volume = node
        if self.parameters.point is None and self._scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 1:
            self.parameters.point = self._scene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")

    def set_parameters(self, parameters: Any) -> None:
        """Show another scene's choices."""
        self.parameters = parameters
        self.inputs.set_parameters(parameters)
        self.place.set_parameters(parameters)
        self.what_if.set_parameters(parameters)
        self.keep.set_parameters(parameters)
        hub = None if parameters is None else parameters.explanation
        self.show(None if hub is None else SceneExplanation(hub))

    def parameters_changed(self) -> None:
        """A choice was changed, by the user or by a script."""
        if self._changing or self.parameters is None:
            return
        self._changing = True
        try:
            self.inputs.suggest()
            self.inputs.refresh()
            if self.shown is not None and self.shown.alive and self.shown.input_node is not self.parameters.volume:
                self.shown = None
            hub = self.parameters.explanation
            shown_hub = None if self.shown is None else self.shown.hub
            if shown_hub is None or hub is not shown_hub:
                self.show(None if hub is None else SceneExplanation(hub))
            else:
                self.refresh()
        finally:
            self._changing = False

    def scene_closing(self) -> None:
        """The scene is about to be emptied: stop what writes into it."""
        self.run.abandon()
        self.questions.abandon()
        self.show(None)

    def close(self) -> None:
        """The module is unloaded or loaded anew: leave no process, timer, observer or file."""
        self.run.abandon()
        self.questions.abandon()
        self._following.stop()
        self.place.unwatch()
        self.engine.changed.disconnect_all()
        self.engine.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- what the user asks ----------------------------------------------------------------------------------------

    def explain(self) -> None:
        """Explain the chosen volume."""
        self.messages.clear()
        try:
            self.run.start(self._case())
        except InputError as error:
            self.messages.show(error.problem)
            return
        self.progress.busy(_("Handing the volume over ..."))
        self.refresh()

    def cancel(self) -> None:
        """Stop what runs."""
        self.progress.cancelling()
        self.run.cancel()
        self.questions.cancel()

    def ask_what_if(self) -> None:
        """Ask the model without the chosen segment."""
        self.messages.clear()
        self.what_if.clear()
        try:
            self.questions.what_if(
                self._case(one_slice=True), self.parameters.what_if_segmentation, self.parameters.what_if_segment
            )
        except InputError as error:
            self.messages.show(error.problem)
            return
        self.progress.busy(_("Asking the model ..."))
        self.refresh()

    def export(self) -> None:
        """Write the explanation that is shown to the chosen folder."""
        self.messages.clear()
        try:
            self.questions.export(self.shown, self.keep.folder, native_grid=self.parameters.native_grid)
        except InputError as error:
            self.messages.show(error.problem)
            return
        self.progress.busy(_("Writing ..."))
        self.refresh()

    def remove(self) -> None:
        """Remove the explanation that is shown from the scene."""
        if self.shown is not None and self.shown.alive:
            self.shown.remove()
        self.show(None)

    # -- what is shown ---------------------------------------------------------------------------------------------

    def show(self, explanation: SceneExplanation | None) -> None:
        """Show an explanation in all sections; for none the newest of the volume, if there is one."""
        volume = None if self.parameters is None else self.parameters.volume
        if explanation is not None and (not explanation.alive or explanation.input_node is not volume):
            explanation = None
        if explanation is None and volume is not None:
            explanation = next(reversed(SceneExplanation.of(volume)), None)
        self.shown = explanation
        if self.parameters is not None:
            hub = None if explanation is None else explanation.hub
            if self.parameters.explanation is not hub:
                self.parameters.explanation = hub
        self.answer.show(explanation)
        self.look.show(explanation)
        self.refresh()

    def refresh(self) -> None:
        """Bring every control in line with the parameter node, the scene and the engine."""
        if self.parameters is None:
            return
        if self.shown is not None and not self.shown.alive:
            self.show(None)  # the user deleted it
            return
        bundle = self.inputs.bundle
        self.place.refresh(bundle)
        self.what_if.refresh()
        volume = self.parameters.volume
        found = [] if volume is None else SceneExplanation.of(volume)
        fill_explanations(self.ui.explanationSelector, found, self.shown)
        busy = self.run.running or self.questions.running
        words = self._why_not(bundle is not None)
        self.progress.allow(not busy and not words, words or _("Ask the model, and show why it answers as it does."))
        ready = not busy and self.engine.state == READY and volume is not None
        self.ui.whatIfButton.enabled = ready and bundle is not None and bool(self.parameters.what_if_segment)
        self.ui.exportButton.enabled = ready and self.shown is not None and bool(self.shown.summary)
        self.ui.removeButton.enabled = not busy and self.shown is not None

    def _why_not(self, bundle: bool) -> str:
        if self.engine.state != READY:
            return _("The engine is not ready: see 'Set-up'.")
        if self.parameters.volume is None:
            return _("Choose a volume.")
        return "" if bundle else _("Choose a bundle.")

    def _case(self, *, one_slice: bool = False) -> Case:
        bundle = self.inputs.bundle
        return case_of(
            self.parameters,
            bundle,
            lambda name: slice_node(self._scene, name),
            trusted=bundle is not None and bundle.name in self.engine.trusted,
            one_slice=one_slice,
        )

    def _choose_explanation(self) -> None:
        hub = self._scene.GetNodeByID(chosen_value(self.ui.explanationSelector))
        if hub is not None:
            chosen = SceneExplanation(hub)
            chosen.present()
            self.show(chosen)

    def _show_run(self, explanation: SceneExplanation) -> None:
        if self.shown is None or self.shown.hub is not explanation.hub or explanation.summary:
            self.show(explanation)
        else:
            self.look.show_look()

    def _run_finished(self, complete: bool) -> None:
        self.progress.idle(_("Done.") if complete else _("Stopped."))
        self.refresh()

    def _question_finished(self) -> None:
        self.progress.idle("")
        self.refresh()

    def _worker_ended(self, problem: Problem) -> None:
        self.messages.show(problem)
        if self.engine.been_ready:  # one that never was would only end again
            self.engine.start()
