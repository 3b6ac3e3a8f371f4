"""Every control of the inputs: what is chosen reaches the parameter node, and what is missing is said."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.slicer_panel import ROOT, bootstrapped, until

bootstrapped()

import slicer  # noqa: E402
import slicer.util  # noqa: E402
from SlicerXAILib.bundles import BundleInfo  # noqa: E402
from SlicerXAILib.case import SliceRange  # noqa: E402
from SlicerXAILib.views import slice_node  # noqa: E402

SHIPPED = ROOT / "monai_bundle" / "lung_nodule_ct"
PICTURE = BundleInfo("picture", "A picture bundle", "", ("no", "yes"), 2, 1, "", False, ())


def choose(selector: Any, value: str) -> None:
    index = selector.findData(value)
    assert index >= 0, value
    selector.setCurrentIndex(index)


def test_without_anything_the_panel_says_what_it_wants(ready):
    assert not ready.ui.explainButton.enabled
    assert "volume" in ready.ui.explainButton.toolTip
    assert ready.ui.purposeLabel.text.startswith("For research, not for diagnosis")


def test_the_shipped_bundle_is_chosen_and_described(ready):
    assert ready.panel.parameters.bundle == "lung_nodule_ct"
    assert ready.ui.bundleDescriptionLabel.text
    classes = [ready.ui.classSelector.itemText(n) for n in range(ready.ui.classSelector.count)]
    assert classes == ["The predicted class", "benign", "malignant"]


def test_class_device_and_quality_are_kept(ready):
    choose(ready.ui.classSelector, "benign")
    choose(ready.ui.deviceSelector, "cpu")
    choose(ready.ui.qualitySelector, "until_certain")
    parameters = ready.panel.parameters
    assert (parameters.class_name, parameters.device, parameters.quality) == ("benign", "cpu", "until_certain")
    parameters.quality = "quick"
    assert ready.ui.qualitySelector.currentIndex == 0
    assert "first look" in ready.ui.qualityLabel.text


def test_devices_are_named_with_their_memory(ready):
    texts = [ready.ui.deviceSelector.itemText(n) for n in range(ready.ui.deviceSelector.count)]
    assert texts[0] == "Automatic"
    assert any("CPU" in text and "GB" in text for text in texts)


def test_each_quality_says_how_long_it_takes(ready):
    ready.panel.inputs._estimated = None
    ready.panel.inputs.set_parameters(ready.panel.parameters)
    until(lambda: "about" in ready.ui.qualitySelector.itemText(1))
    texts = [ready.ui.qualitySelector.itemText(n) for n in range(4)]
    assert [text.split(" (")[0] for text in texts] == ["Quick", "Standard", "Thorough", "Until certain"]
    assert "at most" in texts[3]


def test_the_point_is_asked_for_only_where_the_bundle_needs_it(ready, small_volume):
    panel, ui = ready.panel, ready.ui
    panel.parameters.volume = small_volume
    assert not ui.pointFrame.isHidden()
    assert ui.sliceFrame.isHidden()
    panel.engine.bundles["picture"] = PICTURE
    try:
        panel.inputs.open_bundle("picture")
        assert ui.pointFrame.isHidden()
        assert not ui.sliceFrame.isHidden()
    finally:
        del panel.engine.bundles["picture"]


def test_a_missing_point_is_a_message_with_what_to_do(ready, small_volume):
    ready.panel.parameters.volume = small_volume
    ready.ui.explainButton.click()
    assert "no point" in ready.ui.messageLabel.text
    assert "Place" in ready.ui.hintLabel.text
    assert not ready.ui.messageFrame.isHidden()
    ready.ui.dismissButton.click()
    assert ready.ui.messageFrame.isHidden()


def test_place_makes_a_point_list_and_waits_for_a_click(ready, small_volume):
    ready.panel.parameters.volume = small_volume
    ready.ui.placePointButton.click()
    node = ready.panel.parameters.point
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID() == node.GetID()
    assert ready.ui.pointLabel.text == "Not placed yet."
    node.AddControlPoint(0, 8, 12)
    assert ready.ui.pointLabel.text == "R 0.0, A 8.0, S 12.0 mm"
    node.SetNthControlPointPosition(0, 500, 8, 12)
    assert "outside" in ready.ui.pointLabel.text
    ready.ui.explainButton.click()
    assert "outside" in ready.ui.messageLabel.text


def test_place_leaves_points_alone_that_the_user_brought(ready, small_volume):
    ready.panel.parameters.volume = small_volume
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "findings")
    for at in ((0, 8, 12), (1, 9, 13)):
        own.AddControlPoint(*at)
    ready.panel.parameters.point = own
    ready.ui.placePointButton.click()
    assert own.GetNumberOfControlPoints() == 2
    placed = ready.panel.parameters.point
    assert placed is not own
    placed.AddControlPoint(0, 8, 12)
    ready.ui.placePointButton.click()
    assert ready.panel.parameters.point is placed
    assert placed.GetNumberOfControlPoints() == 0


def test_the_slice_follows_the_view_and_a_range_is_checked(ready, small_volume):
    panel, ui = ready.panel, ready.ui
    panel.parameters.volume = small_volume
    red = slice_node(slicer.mrmlScene, "Red")
    panel.engine.bundles["picture"] = PICTURE
    try:
        panel.inputs.open_bundle("picture")
        red.JumpSliceByCentering(0, 15, 11 + 3 * 4)
        assert ui.sliceLabel.text == "slice 4 of 0 to 7"
        case = panel._case()
        assert case.slices == SliceRange(axis=2, first=4, last=4)
        assert case.fields()["slices"] == {"axis": 2, "first": 4, "last": 4}
        ui.sliceRangeCheckBox.checked = True
        assert ui.firstSliceSpinBox.enabled
        assert (ui.firstSliceSpinBox.value, ui.lastSliceSpinBox.value) == (4, 4)
        ui.firstSliceSpinBox.value, ui.lastSliceSpinBox.value = 5, 3
        assert panel._case().slices == SliceRange(axis=2, first=3, last=5)
        assert panel._case(one_slice=True).slices == SliceRange(axis=2, first=4, last=4)
        ui.lastSliceSpinBox.value = 8
        ui.explainButton.click()
        assert "no slice 8" in ui.messageLabel.text
        ui.sliceRangeCheckBox.checked = False
        choose(ui.sliceViewSelector, "Yellow")
        slice_node(slicer.mrmlScene, "Yellow").JumpSliceByCentering(0, 15, 20)
        assert panel._case().slices.axis == 0
    finally:
        del panel.engine.bundles["picture"]


def test_a_folder_of_ones_own_is_described_and_chosen(ready, tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "mine")
    ready.answers.folder = str(tmp_path / "mine")
    ready.ui.bundleFolderButton.click()
    until(lambda: ready.panel.inputs.bundle is not None)
    assert ready.panel.parameters.bundle == str(tmp_path / "mine")
    assert ready.ui.bundleSelector.currentIndex >= 0


def test_a_folder_that_is_no_bundle_is_a_message(ready, tmp_path):
    ready.answers.folder = str(tmp_path)
    ready.ui.bundleFolderButton.click()
    until(lambda: ready.ui.messageLabel.text)
    assert "metadata.json" in ready.ui.messageLabel.text
    assert "Choose" in ready.ui.hintLabel.text
    assert not ready.ui.explainButton.enabled
    assert not ready.panel.run.running


def test_a_zip_is_unpacked_and_chosen(ready, tmp_path):
    archive = tmp_path / "lungs.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for part in ("configs", "models"):
            for path in (SHIPPED / part).iterdir():
                made.write(path, f"lungs/{part}/{path.name}")
    ready.answers.zip = str(archive)
    ready.ui.bundleZipButton.click()
    until(lambda: ready.panel.inputs.bundle is not None and "lungs" in ready.panel.parameters.bundle)
    assert (Path(ready.panel.parameters.bundle) / "configs" / "metadata.json").is_file()


@pytest.mark.parametrize("yes", [False, True])
def test_code_of_its_own_runs_only_after_a_yes(ready, tmp_path, yes):
    folder = tmp_path / f"own-{yes}"
    shutil.copytree(SHIPPED, folder)
    config = json.loads((folder / "configs" / "inference.json").read_text())
    (folder / "scripts").mkdir(exist_ok=True)
    mark = tmp_path / "ran"
    (folder / "scripts" / "own.py").write_text(
        f"open({str(mark)!r}, 'w').close()\nfrom monai.networks.nets import resnet18\n"
    )
    config["network_def"]["_target_"] = "scripts.own.resnet18"
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    ready.answers.folder, ready.answers.yes = str(folder), yes
    ready.ui.bundleFolderButton.click()
    until(lambda: ready.answers.asked)
    assert not mark.exists() or yes
    assert "Code of its own" in ready.answers.asked[0]
    if yes:
        until(lambda: ready.panel.inputs.bundle is not None or ready.ui.messageLabel.text)
        assert mark.exists()
    else:
        until(lambda: ready.ui.messageLabel.text)
        assert ready.panel.inputs.bundle is None


def test_the_active_volume_and_the_one_point_are_taken_when_the_module_is_opened(ready, small_volume):
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(small_volume.GetID())
    ready.widget.enter()
    assert ready.panel.parameters.volume is small_volume
    assert ready.panel.parameters.point is point


def test_the_segment_selector_follows_the_segmentation(ready, small_volume):
    ready.panel.parameters.volume = small_volume
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "parts")
    first = segmentation.GetSegmentation().AddEmptySegment("", "first")
    second = segmentation.GetSegmentation().AddEmptySegment("", "second")
    ready.ui.whatIfSegmentationSelector.setCurrentNode(segmentation)
    assert ready.panel.parameters.what_if_segment == first
    choose(ready.ui.whatIfSegmentSelector, second)
    assert ready.panel.parameters.what_if_segment == second
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    point.AddControlPoint(*np.array([0.0, 8.0, 12.0]))
    ready.panel.parameters.point = point
    ready.ui.whatIfButton.click()
    assert "no voxel" in ready.ui.messageLabel.text
    assert not ready.panel.questions.running
