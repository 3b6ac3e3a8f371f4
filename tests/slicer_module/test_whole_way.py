"""The whole way: volume in the scene, real worker, shipped bundle, overlays and tables out, and nothing that blocks."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from support.slicer_panel import bootstrapped, until

bootstrapped()

import slicer  # noqa: E402
import slicer.util  # noqa: E402
from SlicerXAILib.views import slice_node  # noqa: E402

BLOCK_SECONDS = 0.1
"""Goal for a turn of the event loop."""


class Heart:
    """The longest work of the views' thread between two beats, by its own processor time: a busy machine adds none."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.beats = 0
        self._last = time.thread_time()

    def beat(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self.beats += 1


def ask(ready: Any, phantom: Any, quality: str = "quick") -> Any:
    panel = ready.panel
    panel.parameters.volume = phantom.volume
    panel.parameters.point = phantom.point
    panel.parameters.quality = quality
    until(lambda: ready.ui.explainButton.enabled)
    ready.ui.explainButton.click()
    assert ready.ui.messageLabel.text == ""
    return panel


@pytest.fixture
def explained(ready: Any, phantom: Any) -> Iterator[Any]:
    panel = ask(ready, phantom)
    until(lambda: not panel.run.running)
    assert ready.ui.messageLabel.text == ""
    yield SimpleNamespace(panel=panel, ui=ready.ui, phantom=phantom, explanation=panel.shown)


def test_maps_sharpen_while_nothing_blocks_and_the_nodule_is_found(ready, phantom):
    panel, ui, heart = ask(ready, phantom), ready.ui, Heart()
    titles, stages = [], []

    def watch() -> None:
        heart.beat()
        titles.append(ui.mapSelector.currentText)
        stages.append(ui.progressLabel.text)

    until(lambda: not panel.run.running, each=watch)
    assert ui.messageLabel.text == ""
    seen = list(dict.fromkeys(title for title in titles if title not in ("", "No map")))
    assert seen[0] == "Grad-CAM"
    assert "Fused" in seen
    assert any("left" in stage for stage in stages)
    assert heart.beats > 20
    assert heart.longest < BLOCK_SECONDS

    explanation = panel.shown
    assert explanation.volume("fused").GetImageData() is not None
    truth = np.zeros(3)
    phantom.point.GetNthControlPointPosition(0, truth)
    assert np.linalg.norm(np.array(explanation.summary["strongest_point_ras"]) - truth) < 12
    assert [ui.predictionTable.item(row, 0).text() for row in range(2)] == ["malignant", "benign"]
    assert sum(ui.predictionTable.cellWidget(row, 1).value for row in range(2)) == pytest.approx(1000, abs=2)
    assert ui.regionsTable.rowCount == explanation.table("regions").GetNumberOfRows() > 10
    assert ui.segmentsTable.rowCount == len(explanation.summary["legend"]) > 0
    assert ui.badgeLabel.text == "NOT JUDGED"
    assert ui.progressLabel.text == "Done."


def test_every_control_of_the_look_reaches_the_scene_and_back(explained):
    ui, explanation = explained.ui, explained.explanation
    ui.thresholdSlider.value = 0.5
    ui.opacitySlider.value = 0.75
    ui.fillSlider.value = 0.25
    ui.mapSelector.setCurrentIndex(ui.mapSelector.findData("gradcam"))
    assert explanation.look.maps == ("gradcam",)
    before = explanation.look
    ui.legendCheckBox.click()
    ui.surfacesCheckBox.click()
    assert (explanation.look.legend, explanation.look.surfaces) == (not before.legend, not before.surfaces)
    ui.evidenceSegmentsCheckBox.checked = True
    ui.agreementSegmentsCheckBox.checked = True
    assert explanation.look.segments == ("evidence", "agreement")
    assert explanation.look.threshold == 0.5
    assert explanation.look.opacity == 0.75
    assert explanation.look.fill == 0.25
    ui.sideBySideCheckBox.checked = True
    assert explanation.look.side_by_side
    assert set(explanation.look.maps) == {"gradcam", "lime", "fused"}
    ui.sideBySideCheckBox.checked = False
    colours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode")
    colours.SetTypeToGrey()
    ui.colourSelector.setCurrentNode(colours)
    assert explanation.look.colours == colours.GetID()
    ui.mapSelector.setCurrentIndex(ui.mapSelector.findData(""))
    assert explanation.look.maps == ()
    explanation.look = replace(explanation.look, maps=("lime",), threshold=0.1, colours="")
    explained.panel.look.show_look()
    assert ui.mapSelector.currentText == "LIME"
    assert ui.thresholdSlider.value == pytest.approx(0.1)
    assert ui.colourSelector.currentNode() is None


def test_a_click_on_a_region_moves_every_slice_view_there(explained):
    table = explained.explanation.table("regions").GetTable()
    wanted = [table.GetColumnByName(name).GetValue(3) for name in "RAS"]
    explained.ui.regionsTable.cellClicked.emit(3, 0)
    for name in ("Red", "Green", "Yellow"):
        node = next(n for n in slicer.util.getNodesByClass("vtkMRMLSliceNode") if n.GetLayoutName() == name)
        normal = np.array([node.GetSliceToRAS().GetElement(row, 2) for row in range(3)])
        offset = np.array([node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]) - np.array(wanted)
        assert abs(normal @ offset) < 0.01


def test_the_strongest_point_is_one_click_away(explained):
    wanted = np.array(explained.explanation.summary["strongest_point_ras"])
    nodes = [slice_node(slicer.mrmlScene, name) for name in ("Red", "Green", "Yellow")]
    for node in nodes:
        node.JumpSliceByCentering(*(wanted + 20))
    explained.ui.strongestButton.click()
    for node in nodes:
        assert np.allclose([node.GetSliceToRAS().GetElement(row, 3) for row in range(3)], wanted, atol=0.01)


def test_what_if_the_nodule_were_not_there_lowers_the_class_and_keeps_the_scan(explained):
    panel, ui, volume = explained.panel, explained.ui, explained.phantom.volume
    before = slicer.util.arrayFromVolume(volume).copy()
    ui.paintButton.click()
    segmentation = panel.parameters.what_if_segmentation
    mask = np.zeros(before.shape, dtype=np.uint8)
    centre = np.zeros(3)
    explained.phantom.point.GetNthControlPointPosition(0, centre)
    to_voxel = np.linalg.inv(slicer.util.arrayFromVTKMatrix(_ijk_to_ras(volume)))
    i, j, k = np.rint(to_voxel @ [*centre, 1])[:3].astype(int)
    mask[k - 8 : k + 9, j - 10 : j + 11, i - 10 : i + 11] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, panel.parameters.what_if_segment, volume)
    ui.whatIfButton.click()
    assert not ui.explainButton.enabled
    until(lambda: not panel.questions.running)
    assert ui.messageLabel.text == ""
    rows = [[ui.whatIfTable.item(r, c).text() for c in range(3)] for r in range(ui.whatIfTable.rowCount)]
    assert rows[0][0] == "as it is"
    assert len(rows) >= 5
    malignant = [ui.whatIfTable.horizontalHeaderItem(c).text() for c in range(3)].index("malignant")
    assert "-" in rows[1][malignant]
    assert np.array_equal(slicer.util.arrayFromVolume(volume), before)


def _ijk_to_ras(volume: Any) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def test_export_writes_what_the_command_line_writes(explained, tmp_path):
    panel, ui = explained.panel, explained.ui
    ui.exportButton.click()
    assert "folder" in ui.messageLabel.text
    ui.exportFolderEdit.currentPath = str(tmp_path / "kept")
    assert panel.parameters.export_folder == str(tmp_path / "kept")
    ui.exportButton.click()
    until(lambda: not panel.questions.running)
    assert ui.messageLabel.text == ""
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {"explanation.json", "overview.png", "input.nii.gz", "fused.nii.gz", "gradcam.nii.gz"} <= names
    assert "native" not in names
    said = json.loads((tmp_path / "kept" / "explanation.json").read_text())
    shown = explained.explanation.summary["prediction"]["probabilities"]
    assert said["prediction"]["probabilities"] == pytest.approx(shown)
    assert str(len(names)) in ui.exportLabel.text


def test_export_on_the_volumes_own_grid_if_asked(explained, tmp_path):
    panel, ui = explained.panel, explained.ui
    ui.exportFolderEdit.currentPath = str(tmp_path / "kept")
    ui.nativeGridCheckBox.click()
    assert panel.parameters.native_grid
    ui.exportButton.click()
    until(lambda: not panel.questions.running)
    assert ui.messageLabel.text == ""
    written = sitk.ReadImage(str(tmp_path / "kept" / "native" / "fused.nii.gz"))
    assert written.GetSize() == explained.phantom.volume.GetImageData().GetDimensions()
    ui.nativeGridCheckBox.click()
    assert not panel.parameters.native_grid


def test_saved_and_loaded_again_the_panel_shows_the_same(explained, tmp_path):
    panel, ui = explained.panel, explained.ui
    panel.parameters.class_name = "benign"
    verdict, rows = ui.verdictLabel.text, ui.regionsTable.rowCount
    saved = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(saved)
    slicer.mrmlScene.Clear()
    assert ui.regionsTable.rowCount == 0
    assert panel.parameters.volume is None
    assert slicer.mrmlScene.ReadFromMRB(saved)
    assert panel.parameters.volume.GetName() == "ChestCTPhantom"
    assert panel.parameters.class_name == "benign"
    assert panel.parameters.quality == "quick"
    assert ui.qualitySelector.currentIndex == 0
    assert panel.shown is not None
    assert ui.verdictLabel.text == verdict
    assert ui.regionsTable.rowCount == rows


def test_cancel_keeps_what_is_there(ready, phantom):
    panel = ask(ready, phantom, "thorough")
    until(lambda: ready.ui.mapSelector.currentText == "LIME")
    ready.ui.cancelButton.click()
    assert not ready.ui.cancelButton.enabled
    until(lambda: not panel.run.running)
    assert ready.ui.messageLabel.text == ""
    assert panel.shown.alive
    assert panel.shown.volume("gradcam") is not None
    assert panel.shown.volume("lime") is not None
    assert ready.ui.progressLabel.text == "Stopped."
    assert ready.ui.explainButton.enabled


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_cancelled_the_panel_is_usable_before_the_worker_has_answered(ready, phantom):
    """The worker is stopped by a signal, so that it cannot answer, and goes on after the panel was seen to."""
    panel = ask(ready, phantom, "thorough")
    until(lambda: ready.ui.mapSelector.currentText == "Grad-CAM")
    worker = panel.engine.session._client.pid
    os.kill(worker, signal.SIGSTOP)
    try:
        ready.ui.cancelButton.click()
        assert ready.ui.progressLabel.text == "Cancelling; what is there is kept."
        until(lambda: not panel.run.running)
        assert ready.ui.explainButton.enabled
        assert ready.ui.progressLabel.text == "Stopped."
        assert panel.shown.volume("gradcam") is not None
    finally:
        os.kill(worker, signal.SIGCONT)
    assert panel.shown.alive
    panel = ask(ready, phantom)
    until(lambda: not panel.run.running)
    assert ready.ui.progressLabel.text == "Done."


def test_cancelled_at_once_nothing_is_left(ready, phantom):
    panel = ask(ready, phantom)
    ready.ui.cancelButton.click()
    until(lambda: not panel.run.running)
    assert panel.shown is None
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_deleted_between_two_steps_of_the_last_word_it_stops_quietly(ready, phantom, monkeypatch):
    panel = ask(ready, phantom)
    taken = panel.engine.session.steps.poll
    steps = []

    def one(seconds: float) -> None:
        taken(0.0)
        if panel.run.running and panel.shown is not None and panel.shown.segmentation("evidence") is not None:
            steps.append(panel.shown)
            slicer.mrmlScene.RemoveNode(panel.shown.hub)

    monkeypatch.setattr(panel.engine.session.steps, "poll", one)
    until(lambda: not panel.run.running)
    assert len(steps) == 1
    assert ready.ui.messageLabel.text == ""
    assert panel.shown is None


def test_no_step_is_taken_of_a_run_that_is_over(desk):
    run, taken = desk.panel.run, []
    run._walk((taken.append(n) for n in range(3)), lambda: taken.append("done"))
    run._end()
    desk.panel.engine.session.steps.poll(1.0)
    assert taken == []


@pytest.mark.parametrize("what", ["hub", "volume", "scene"])
def test_deleted_while_it_runs_it_stops_quietly(ready, phantom, what):
    panel = ask(ready, phantom, "thorough")
    until(lambda: ready.ui.mapSelector.currentText == "Grad-CAM")
    if what == "scene":
        slicer.mrmlScene.Clear()
    else:
        slicer.mrmlScene.RemoveNode(panel.shown.hub if what == "hub" else phantom.volume)
    until(lambda: not panel.run.running)
    assert ready.ui.messageLabel.text == ""
    assert ready.ui.regionsTable.rowCount == 0


def test_a_worker_that_is_killed_is_a_message_and_starts_again(ready, phantom):
    panel = ask(ready, phantom, "thorough")
    until(lambda: ready.ui.mapSelector.currentText == "Grad-CAM")
    os.kill(panel.engine.session._client.pid, signal.SIGKILL)
    until(lambda: not panel.run.running)
    assert "ended" in ready.ui.messageLabel.text
    assert panel.shown.volume("gradcam") is not None
    until(lambda: panel.engine.state == "ready")


def test_segments_as_regions_come_back_by_their_names(ready, phantom):
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "parts")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(phantom.volume)
    shape = slicer.util.arrayFromVolume(phantom.volume).shape
    point = np.zeros(3)
    phantom.point.GetNthControlPointPosition(0, point)
    i = np.rint(np.linalg.inv(slicer.util.arrayFromVTKMatrix(_ijk_to_ras(phantom.volume))) @ [*point, 1])[0]
    for name, keep in (("this side", np.arange(shape[2]) < i), ("that side", np.arange(shape[2]) >= i)):
        segment = segmentation.GetSegmentation().AddEmptySegment("", name)
        mask = np.broadcast_to(keep, shape).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, phantom.volume)
    ready.panel.parameters.regions = segmentation
    panel = ask(ready, phantom)
    until(lambda: not panel.run.running)
    assert ready.ui.messageLabel.text == ""
    names = {ready.ui.regionsTable.item(row, 0).text() for row in range(ready.ui.regionsTable.rowCount)}
    assert names == {"this side", "that side"}


def test_reloaded_the_old_worker_ends(slicer_module_copy):
    widget = slicer_module_copy
    widget.enter()
    client = widget.panel.engine.session._client
    folder: Path = widget.panel._folder
    until(lambda: client.pid is not None and client.running)
    widget.cleanup()
    until(lambda: any(event["event"] == "ended" for event in client.poll()))
    assert not folder.exists()
