"""Controls that no other test comes by: node selectors, sections, messages, the bar, the restart, the mark on a map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.slicer_panel import bootstrapped, until
from support.slicer_results import a_result

bootstrapped()

import slicer  # noqa: E402
import vtk  # noqa: E402
from SlicerXAILib.inputs import affine_of  # noqa: E402
from SlicerXAILib.marks import Marks  # noqa: E402
from SlicerXAILib.problems import Problem  # noqa: E402
from SlicerXAILib.scene_nodes import SceneExplanation  # noqa: E402

TROUBLE = Problem("It went wrong.", "Try again.", "Traceback: line 1", kind="defect")


def choose(selector: Any, value: str) -> None:
    index = selector.findData(value)
    assert index >= 0, value
    selector.setCurrentIndex(index)


def test_nodes_that_are_chosen_are_kept_in_the_scene(ready, small_volume):
    parameters, ui = ready.panel.parameters, ready.ui
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    regions = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    ui.volumeSelector.setCurrentNode(small_volume)
    ui.pointSelector.setCurrentNode(point)
    ui.regionsSelector.setCurrentNode(regions)
    assert (parameters.volume, parameters.point, parameters.regions) == (small_volume, point, regions)
    ui.regionsSelector.setCurrentNode(None)
    assert parameters.regions is None
    slicer.mrmlScene.RemoveNode(small_volume)
    assert parameters.volume is None
    assert ui.volumeSelector.currentNode() is None


def test_a_bundle_that_is_chosen_brings_its_own_classes(ready):
    ready.panel.parameters.class_name = "benign"
    other = next(name for name in ready.panel.engine.bundles if name != "lung_nodule_ct")
    choose(ready.ui.bundleSelector, other)
    info = ready.panel.engine.bundles[other]
    assert ready.panel.parameters.bundle == other
    assert ready.panel.parameters.class_name == ""
    assert [ready.ui.classSelector.itemText(n + 1) for n in range(len(info.class_names))] == list(info.class_names)


def test_sections_fold(desk):
    ui = desk.ui
    assert not ui.explainButton.isHidden()
    ui.inputsSection.collapsed = ui.answerSection.collapsed = ui.seeSection.collapsed = True
    assert all(one.isHidden() for one in (ui.volumeSelector, ui.predictionTable, ui.mapSelector))
    ui.inputsSection.collapsed = ui.answerSection.collapsed = ui.seeSection.collapsed = False
    assert not any(one.isHidden() for one in (ui.volumeSelector, ui.predictionTable, ui.mapSelector))
    ui.whatIfSection.collapsed = ui.keepSection.collapsed = False
    assert not any(one.isHidden() for one in (ui.whatIfButton, ui.exportButton))
    ui.whatIfSection.collapsed = ui.keepSection.collapsed = True
    assert all(one.isHidden() for one in (ui.whatIfButton, ui.exportButton))


def test_details_can_be_copied_where_there_are_any(desk):
    desk.panel.messages.show(TROUBLE)
    assert not desk.ui.copyDetailsButton.isHidden()
    desk.ui.copyDetailsButton.click()
    assert desk.answers.clipboard == "It went wrong.\n\nTry again.\n\nTraceback: line 1"
    desk.panel.messages.show(Problem("It went wrong."))
    assert desk.ui.copyDetailsButton.isHidden()
    assert desk.ui.hintLabel.isHidden()


def test_the_bar_shows_how_far_it_is_and_only_moves_where_that_is_not_known(desk):
    bar, progress = desk.ui.progressBar, desk.panel.progress
    assert bar.isHidden()
    progress.busy("Handing the volume over ...")
    assert not bar.isHidden()
    assert (bar.minimum, bar.maximum) == (0, 0)
    progress.progress({"event": "progress", "stage": "lime", "done": 30, "total": 120, "seconds_left": 9})
    assert (bar.value, bar.maximum) == (30, 120)
    progress.progress({"event": "progress", "stage": "lime", "done": 130, "total": 120, "seconds_left": 0})
    assert bar.value == bar.maximum == 120
    progress.progress({"event": "progress", "stage": "evidence", "done": 0, "total": 0, "seconds_left": None})
    assert bar.maximum == 0
    progress.idle("Done.")
    assert bar.isHidden()
    assert bar.maximum == 1


def test_what_happens_in_a_run_reaches_the_bar(ready):
    ready.panel.run.progressed.emit({"event": "progress", "stage": "lime", "done": 1, "total": 3, "seconds_left": 5})
    assert (ready.ui.progressBar.value, ready.ui.progressBar.maximum) == (1, 3)
    assert ready.ui.progressLabel.text == "LIME: 5 s left"
    ready.panel.progress.idle("")


def test_restarted_the_engine_is_another_process_and_the_old_log_is_shown(ready):
    engine = ready.panel.engine
    before = engine.session._client.pid
    ready.ui.restartButton.click()
    assert engine.state == "starting"
    until(lambda: engine.state == "ready")
    assert engine.session._client.pid not in (None, before)
    assert "The engine is ready" in ready.ui.engineLabel.text


class View:
    """Takes the place of Slicer's slice view: a window with a picture and an overlay, which is never drawn."""

    def __init__(self) -> None:
        self.window = vtk.vtkRenderWindow()
        self.overlay = vtk.vtkRenderer()
        self.overlay.SetLayer(1)
        self.window.SetNumberOfLayers(2)
        self.window.AddRenderer(self.overlay)
        self.window.AddRenderer(vtk.vtkRenderer())

    def renderWindow(self) -> Any:  # noqa: N802
        return self.window

    def scheduleRender(self) -> None:  # noqa: N802
        pass


def marks_in(view: View) -> list[str]:
    """The texts that lie over a view."""
    props = view.overlay.GetViewProps()
    return [props.GetItemAsObject(n).GetInput() for n in range(props.GetNumberOfItems())]


@pytest.fixture
def judged(desk: Any, small_volume: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An explanation with three maps: one that is supported, one that is not, one that was not judged."""
    views = {name: View() for name in ("Red", "Green", "Yellow")}
    for name in views:
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode").SetLayoutName(name)
    monkeypatch.setattr(desk.panel.look, "_marks", Marks(views.get))
    made = a_result(affine_of(small_volume), (12, 10, 8), (7, 3, 4))
    judged = {"gradcam": {**made.evidence["lime"], "supported": False}, "lime": {**made.evidence["lime"]}}
    judged["lime"]["supported"] = True
    fused = replace(made.maps["lime"], key="fused", title="Fused")
    desk.panel.parameters.volume = small_volume
    explanation = SceneExplanation.begin(small_volume, "Why?")
    explanation.complete(replace(made, maps={**made.maps, "fused": fused}, evidence=judged))
    desk.panel.show(explanation)
    assert desk.ui.mapSelector.currentText == "LIME"
    yield SimpleNamespace(ui=desk.ui, panel=desk.panel, views=views)
    desk.panel.show(None)


def test_below_the_map_selector_stands_where_a_map_is_not_supported(judged):
    said = judged.ui.mapSupportLabel
    assert judged.ui.mapSupportLabel.isHidden()
    choose(judged.ui.mapSelector, "gradcam")
    assert not said.isHidden()
    assert said.text == "NOT SUPPORTED: the model does not use what this map shows."
    assert [marks_in(view) for view in judged.views.values()] == [["NOT SUPPORTED"]] * 3
    for key in ("fused", "lime", ""):
        choose(judged.ui.mapSelector, key)
        assert said.isHidden(), key
        assert said.text == "", key
        assert [marks_in(view) for view in judged.views.values()] == [[]] * 3
    choose(judged.ui.mapSelector, "gradcam")
    judged.panel.remove()
    assert [marks_in(view) for view in judged.views.values()] == [[]] * 3
