"""A bundle that looks at pictures, on a volume: each slice is explained where it lies in the patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.blob_bundle import write_blob_bundle
from support.slicer_panel import bootstrapped, until

bootstrapped()

import slicer  # noqa: E402
import slicer.util  # noqa: E402
from SlicerXAILib.inputs import affine_of  # noqa: E402
from SlicerXAILib.place_panel import slice_node  # noqa: E402
from SlicerXAILib.scene_nodes import SceneExplanation  # noqa: E402

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
    bundle = write_blob_bundle(tmp_path / "blob", (24, 20), steps=[SCALE])
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
    assert len(found) == 4
    assert [one.title.split()[-1] for one in found[1:]] == ["2", "3", "4"]
    heights = [affine_of(one.volume("fused"))[2, 3] for one in found[1:]]
    assert np.allclose(heights, [14, 16, 18])
    assert ui.explanationSelector.count == 4
    ui.explanationSelector.setCurrentIndex(3)
    assert panel.shown.hub is found[0].hub
    ui.removeButton.click()
    assert ui.explanationSelector.count == 3
