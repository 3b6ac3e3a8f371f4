"""A bundle that looks at pictures, on a volume: each slice is explained where it lies in the patient."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.blob_bundle import write_blob_bundle
from support.slicer_panel import bootstrapped, until

bootstrapped()

import slicer  # noqa: E402
import slicer.util  # noqa: E402
from SlicerXAILib.inputs import affine_of  # noqa: E402
from SlicerXAILib.scene_nodes import SceneExplanation  # noqa: E402
from SlicerXAILib.views import slice_node  # noqa: E402

from camlime.domain import Domain  # noqa: E402

SCALE = {
    "_target_": "ScaleIntensityRanged",
    "keys": "image",
    "a_min": 0.0,
    "a_max": 1000.0,
    "b_min": 0.0,
    "b_max": 1.0,
}
BALL = (15, 9, 3)  # voxel index of the ball's centre


@pytest.fixture
def ball(ready: Any) -> Any:
    """A bright ball in an oblique volume of 24 x 20 x 6 voxels."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ball")
    i, j, k = np.indices((24, 20, 6))
    near = (i - BALL[0]) ** 2 + (j - BALL[1]) ** 2 + (2 * (k - BALL[2])) ** 2 < 16
    slicer.util.updateVolumeFromArray(node, np.where(near, 1000, 100).astype(np.int16).T.copy())
    node.SetSpacing(1, 1, 2)
    node.SetOrigin(30, -20, 10)
    angle = 0.1
    node.SetIJKToRASDirections(np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1)
    return node


def test_the_slice_in_view_and_then_a_range(ready, ball, tmp_path):
    panel, ui = ready.panel, ready.ui
    bundle = write_blob_bundle(tmp_path / "blob", (24, 20), steps=[SCALE], explain={"slices": {"axial": "RA"}})
    panel.parameters.volume = ball
    panel.parameters.quality = "quick"
    panel.inputs.open_bundle(str(bundle))
    until(lambda: panel.inputs.bundle is not None)
    centre = affine_of(ball) @ [*BALL, 1]
    slice_node(slicer.mrmlScene, "Red").JumpSliceByCentering(*centre[:3])
    assert not ui.sliceFrame.isHidden()
    ui.explainButton.click()
    until(lambda: not panel.run.running)
    assert ui.messageLabel.text == ""
    assert panel.shown.title == "Why bright? Slice 3"
    strongest = np.array(panel.shown.summary["strongest_point_ras"])
    assert np.linalg.norm(strongest - centre[:3]) < 5
    image = panel.shown.volume("fused").GetImageData()
    assert image.GetDimensions() == (24, 20, 1)
    assert np.allclose(affine_of(panel.shown.volume("fused")) @ [*BALL[:2], 0, 1], centre, atol=0.01)

    ui.sliceRangeCheckBox.checked = True
    ui.firstSliceSpinBox.value, ui.lastSliceSpinBox.value = 2, 4
    ui.explainButton.click()
    until(lambda: not panel.run.running)
    assert ui.messageLabel.text == ""
    found = SceneExplanation.of(ball)
    assert len(found) == 2
    stack = panel.shown.volume("fused")
    assert panel.shown.hub is found[1].hub
    assert panel.shown.title.endswith("Slices 2 to 4")
    assert stack.GetImageData().GetDimensions() == (24, 20, 3)
    assert np.allclose(affine_of(stack) @ [*BALL[:2], 1, 1], centre, atol=0.01)
    assert [ui.predictionTable.item(row, 0).text() for row in range(3)] == ["2", "3", "4"]
    assert ui.predictionTable.item(1, 1).text() == "bright"
    assert ui.regionsTable.item(0, 0).text().startswith("Slice ")
    assert "Slice" in panel.shown.table("prediction").GetTable().GetColumnName(0)
    ui.predictionTable.cellClicked.emit(0, 0)
    red = slice_node(slicer.mrmlScene, "Red")
    assert red.GetSliceToRAS().GetElement(2, 3) == pytest.approx(14, abs=0.01)
    assert ui.explanationSelector.count == 2
    ui.explanationSelector.setCurrentIndex(1)
    assert panel.shown.hub is found[0].hub
    ui.removeButton.click()
    assert ui.explanationSelector.count == 1


def explain_the_slice(ready, ball, bundle):
    """Explain the ball's slice, as the red view shows it, with a bundle."""
    panel, ui = ready.panel, ready.ui
    panel.parameters.volume = ball
    panel.parameters.quality = "quick"
    panel.inputs.open_bundle(str(bundle))
    until(lambda: panel.inputs.bundle is not None)
    slice_node(slicer.mrmlScene, "Red").JumpSliceByCentering(*(affine_of(ball) @ [*BALL, 1])[:3])
    ui.explainButton.click()
    until(lambda: not panel.run.running)


def test_a_slice_outside_the_training_domain_is_given_no_class_anywhere(ready, ball, tmp_path):
    panel, ui = ready.panel, ready.ui
    domain = {"file": "models/domain.safetensors", "layers": ["net.layer_0"]}
    explain = {"slices": {"axial": "RA"}, "domain": domain}
    bundle = write_blob_bundle(tmp_path / "strict", (24, 20), steps=[SCALE], explain=explain)
    # Whatever is given, it lies a million times too far from this "training data".
    Domain(("net.layer_0",), np.zeros(2), 1e6 * np.eye(2), np.array([0.0, 1.0]), 0.95).save(bundle / domain["file"])
    explain_the_slice(ready, ball, bundle)
    assert panel.shown.title == "Evidence for bright, slice 3"
    assert ui.predictionTable.item(0, 0).text() == "outside the training domain: no class"
    assert panel.shown.table("prediction").GetTable().GetNumberOfRows() == 0


def test_a_series_that_its_dicom_header_calls_another_is_given_no_class(ready, ball, tmp_path, monkeypatch):
    panel, ui = ready.panel, ready.ui
    sequence = {"name": "a T1 series", "modality": "MR", "unwanted": ["flair"]}
    explain = {"slices": {"axial": "RA"}, "sequence": sequence}
    bundle = write_blob_bundle(tmp_path / "wanting", (24, 20), steps=[SCALE], explain=explain)
    header = {"0008,0060": "MR", "0008,103E": "Ax FLAIR"}
    database = SimpleNamespace(isOpen=True, instanceValue=lambda uid, tag: header.get(tag, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    ball.SetAttribute("DICOM.instanceUIDs", "1.2 1.3")
    explain_the_slice(ready, ball, bundle)
    assert ui.messageLabel.text == ""
    assert panel.shown.title == "Evidence for bright, slice 3"
    assert ui.predictionTable.item(0, 0).text() == "outside the training domain: no class"
    assert "this may not be a T1 series" in ui.warningsLabel.text
    assert "'Ax FLAIR' speaks of flair" in ui.warningsLabel.text


def test_what_speaks_against_a_class_is_shown_as_soon_as_the_class_is(ready, ball, tmp_path, monkeypatch):
    """By the volume's name, which contradicts nothing: there is a class, with a warning."""
    panel, ui = ready.panel, ready.ui
    explain = {"slices": {"axial": "RA"}, "sequence": {"name": "a T1 series", "unwanted": ["flair"]}}
    bundle = write_blob_bundle(tmp_path / "wanting", (24, 20), steps=[SCALE], explain=explain)
    ball.SetName("flair")
    seen = []

    def look(explanation):
        seen.append((bool(explanation.summary), ui.predictionTable.item(0, 0).text(), ui.warningsLabel.text))

    monkeypatch.setattr(panel.run.shown, "_slots", [*panel.run.shown._slots, look])
    explain_the_slice(ready, ball, bundle)
    assert ui.messageLabel.text == ""
    assert [done for done, _, _ in seen][:1] == [False] and seen[-1][0]
    for _, name, warnings in seen:
        assert name == "bright"
        assert "this may not be a T1 series" in warnings and "speaks of flair" in warnings


def test_a_title_claims_a_class_only_of_slices_that_somebody_confirmed(ready, ball, tmp_path):
    panel, ui = ready.panel, ready.ui
    explain = {"slices": {"axial": "RA"}, "presumes": "a ball"}
    bundle = write_blob_bundle(tmp_path / "presuming", (24, 20), steps=[SCALE], explain=explain)
    explain_the_slice(ready, ball, bundle)
    assert panel.shown.title == "Why bright? Slice 3"
    ui.sliceRangeCheckBox.checked = True
    ui.firstSliceSpinBox.value, ui.lastSliceSpinBox.value = 2, 4
    for class_name, title in (("bright", "Evidence for bright, slices 2 to 4"), ("", "Evidence, slices 2 to 4")):
        panel.parameters.class_name = class_name
        ui.explainButton.click()
        until(lambda: not panel.run.running)
        assert ui.messageLabel.text == ""
        assert panel.shown.title == title
        assert ui.predictionTable.item(1, 1).text() == "bright, if a ball is there"


def test_what_if_asks_about_the_slice_in_view(ready, ball, tmp_path):
    panel, ui = ready.panel, ready.ui
    explain = {"sequence": {"name": "a T1 series", "unwanted": ["flair"]}}
    bundle = write_blob_bundle(tmp_path / "blob", (24, 20), steps=[SCALE], explain=explain)
    panel.parameters.volume = ball
    panel.inputs.open_bundle(str(bundle))
    until(lambda: panel.inputs.bundle is not None)
    ball.SetName("flair")
    centre = affine_of(ball) @ [*BALL, 1]
    slice_node(slicer.mrmlScene, "Red").JumpSliceByCentering(*centre[:3])
    ui.paintButton.click()
    mask = (slicer.util.arrayFromVolume(ball) > 500).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask, panel.parameters.what_if_segmentation, panel.parameters.what_if_segment, ball
    )
    panel.parameters.use_slice_range = True
    until(lambda: ui.whatIfButton.enabled)
    ui.whatIfButton.click()
    until(lambda: not panel.questions.running)
    assert ui.messageLabel.text == ""
    assert ui.whatIfTable.rowCount > 2
    bright = [ui.whatIfTable.horizontalHeaderItem(c).text() for c in range(3)].index("bright")
    assert "(-" in ui.whatIfTable.item(1, bright).text()
    assert "speaks of flair" in ui.whatIfWarningsLabel.text


def test_colours_go_the_whole_way(ready, tmp_path):
    """A picture of an odd size with opacity, as PNG files are loaded, and a bundle that takes red, green and blue."""
    panel, ui = ready.panel, ready.ui
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "tile")
    pixels = np.full((1, 20, 24, 4), 40, dtype=np.uint8)
    pixels[0, 12:18, 3:9, :3] = 250
    pixels[..., 3] = 255
    slicer.util.updateVolumeFromArray(node, pixels)
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    scale = {**SCALE, "a_max": 255.0}
    bundle = write_blob_bundle(tmp_path / "rgb", (24, 20), channels=3, steps=[scale])
    panel.parameters.volume = node
    panel.parameters.quality = "quick"
    panel.inputs.open_bundle(str(bundle))
    until(lambda: panel.inputs.bundle is not None)
    assert ui.sliceFrame.isHidden()
    assert ui.pointFrame.isHidden()
    ui.explainButton.click()
    until(lambda: not panel.run.running)
    assert ui.messageLabel.text == ""
    assert ui.predictionTable.rowCount == 2
    strongest = np.array(panel.shown.summary["strongest_point_ras"])
    assert np.linalg.norm(strongest - (affine_of(node) @ [5.5, 14.5, 0, 1])[:3]) < 5
    values = slicer.util.arrayFromVolume(panel.shown.volume("fused"))
    assert values.shape == (1, 20, 24)
    assert values[0, 12:18, 3:9].mean() > values.mean()
    assert np.allclose(affine_of(panel.shown.volume("fused")), affine_of(node))
    assert panel.shown.segmentation("evidence").GetSegmentation().GetNumberOfSegments() > 0


def test_grey_values_for_a_bundle_that_takes_colours_are_a_message(ready, small_volume, tmp_path):
    panel, ui = ready.panel, ready.ui
    panel.parameters.volume = small_volume
    panel.inputs.open_bundle(str(write_blob_bundle(tmp_path / "rgb", (24, 20), channels=3)))
    until(lambda: panel.inputs.bundle is not None)
    slice_node(slicer.mrmlScene, "Red").JumpSliceByCentering(0, 15, 20)
    ui.explainButton.click()
    until(lambda: not panel.run.running)
    assert "channel" in ui.messageLabel.text
    assert panel.shown is None
