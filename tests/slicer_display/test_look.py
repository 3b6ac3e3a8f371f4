"""Threshold, opacity, colours, legends and the side-by-side layout, as the views show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs the slicer extra: slicer-core")

import slicer
from SlicerXAILib import colours, side_by_side
from SlicerXAILib.look import Look
from SlicerXAILib.scene_nodes import SceneExplanation

from camlime.palette import evidence_table, for_table, limit_of, spread_table
from slicer_display.grids import grid


@pytest.fixture
def shown(desk: Any, make_result: Callable[..., Any]) -> tuple[Any, Any, SceneExplanation]:
    """A grey scan on the grid of the map, all of it in the views."""
    affine = grid((1, 1, 1), flips=(-1, -1, 1))
    result = make_result(affine)
    ct = desk.add_volume(np.full((24, 20, 16), 50, np.int16), affine)
    ct.GetDisplayNode().AutoWindowLevelOff()
    ct.GetDisplayNode().SetWindowLevelMinMax(0, 100)
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(result)
    desk.fit()
    return desk, result, explanation


def coloured(desk: Any, view: str) -> np.ndarray:
    picture = desk.picture(view).astype(int)
    return np.ptp(picture, axis=-1) > 3


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_the_threshold_hides_small_magnitudes_of_both_signs(shown: Any, threshold: float) -> None:
    desk, result, explanation = shown
    explanation.look = replace(explanation.look, threshold=threshold, legend=False, segments=())
    limit = limit_of(result.maps["lime"].values)
    for place in (explanation.jump_to_strongest, lambda: explanation.jump_to_region(3)):
        place()
        values, visible = desk.layer("Red"), coloured(desk, "Red")
        share = np.nan_to_num(values) / limit
        assert visible[np.abs(share) > threshold + 0.02].all()
        assert not visible[np.abs(share) < threshold - 0.02].any()


def test_warm_is_for_and_cool_is_against(shown: Any) -> None:
    desk, _, explanation = shown
    explanation.look = replace(explanation.look, threshold=0.2, opacity=1.0, legend=False)
    explanation.jump_to_strongest()
    picture, values = desk.picture("Red").astype(int), np.nan_to_num(desk.layer("Red"))
    assert (picture[values > 0.6] @ [1, 0, -1] > 0).all()
    explanation.jump_to_region(3)
    picture, values = desk.picture("Red").astype(int), np.nan_to_num(desk.layer("Red"))
    assert (values < -0.6).any() and (picture[values < -0.6] @ [1, 0, -1] < 0).all()


def test_opacity_blends_with_the_scan(shown: Any) -> None:
    desk, _, explanation = shown
    explanation.look = replace(explanation.look, legend=False)
    explanation.jump_to_strongest()
    pictures = []
    for opacity in (0.0, 0.5, 1.0):
        explanation.look = replace(explanation.look, opacity=opacity)
        pictures.append(desk.picture("Red").astype(int))
    assert np.ptp(pictures[0], axis=-1).max() == 0
    np.testing.assert_allclose(pictures[1], (pictures[0] + pictures[2]) / 2, atol=1.5)


def test_windows_are_robust_and_symmetric_only_where_a_map_has_both_signs(shown: Any) -> None:
    _, result, explanation = shown
    window = {key: explanation.volume(key).GetDisplayNode() for key in ("lime", "gradcam", "lime.std")}
    limit = limit_of(result.maps["lime"].values)
    assert window["lime"].GetWindowLevelMin() == pytest.approx(-limit)
    assert window["lime"].GetWindowLevelMax() == pytest.approx(limit)
    assert window["gradcam"].GetWindowLevelMin() == 0 and window["lime.std"].GetWindowLevelMin() == 0
    for key, table in (("lime", evidence_table()), ("gradcam", for_table()), ("lime.std", spread_table())):
        np.testing.assert_allclose(colours.table_of(window[key].GetColorNode()), table, atol=1 / 255)


def test_other_colours_can_be_chosen_and_taken_back(shown: Any) -> None:
    desk, _, explanation = shown
    iron = desk.scene.GetNodeByID("vtkMRMLColorTableNodeIron")
    explanation.look = replace(explanation.look, colours=iron.GetID(), threshold=0.0)
    node = explanation.volume("lime").GetDisplayNode().GetColorNode()
    assert node is not iron  # a colour node of others is never changed
    np.testing.assert_allclose(colours.table_of(node), colours.table_of(iron), atol=1 / 255)
    np.testing.assert_allclose(
        colours.table_of(explanation.volume("lime.std").GetDisplayNode().GetColorNode()), spread_table(), atol=1 / 255
    )
    explanation.look = replace(explanation.look, colours="no such node")
    np.testing.assert_allclose(colours.table_of(node), evidence_table(), atol=1 / 255)


def legends(desk: Any) -> dict[str, Any]:
    count = desk.scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode")
    nodes = [desk.scene.GetNthNodeByClass(i, "vtkMRMLColorLegendDisplayNode") for i in range(count)]
    return {node.GetDisplayableNode().GetName(): node for node in nodes if node.GetVisibility()}


def test_one_legend_tells_what_the_first_map_shows(shown: Any) -> None:
    desk, _, explanation = shown
    assert list(legends(desk)) == ["LIME"]
    assert legends(desk)["LIME"].GetTitleText() == "LIME\nNOT SUPPORTED\nlog-odds a region"
    explanation.look = replace(explanation.look, maps=("gradcam", "lime"))
    assert list(legends(desk)) == ["Grad-CAM"]
    explanation.look = replace(explanation.look, maps=("agreement",))
    assert legends(desk) == {}  # the segments' names say it
    explanation.look = replace(explanation.look, maps=("lime",), legend=False)
    assert legends(desk) == {}


def test_side_by_side_shows_what_was_looked_at(shown: Any) -> None:
    desk, _, explanation = shown
    for i in range(3):
        desk.add_slice_view(f"{side_by_side.VIEWS}{i}", "Axial")
        desk.slices[f"{side_by_side.VIEWS}{i}"].GetSliceNode().SetDimensions(100 + 50 * i, 120, 1)
    red = desk.slices["Red"].GetSliceNode()
    red.JumpSliceByCentering(400.0, -300.0, 903.0)
    explanation.look = replace(explanation.look, maps=("gradcam", "lime"), side_by_side=True, segments=())
    for i in range(3):
        node = desk.slices[f"{side_by_side.VIEWS}{i}"].GetSliceNode()
        np.testing.assert_allclose(matrix_of(node), matrix_of(red), atol=1e-6)
        ratios = np.array(node.GetFieldOfView()[:2]) / np.array(red.GetFieldOfView()[:2])
        assert ratios.min() == pytest.approx(1.0)  # all of it, and no more than that on one axis
        width, height, _ = node.GetFieldOfView()
        assert width / (100 + 50 * i) == pytest.approx(height / 120)  # pixels are squares
    node.JumpSliceByCentering(0.0, 0.0, 0.0)
    explanation.look = replace(explanation.look, opacity=0.3)
    assert matrix_of(node)[:3, 3] == pytest.approx([0, 0, 0])  # the user has moved it since


def matrix_of(node: Any) -> np.ndarray:
    return np.array([[node.GetSliceToRAS().GetElement(row, column) for column in range(4)] for row in range(4)])


def test_side_by_side_shows_one_map_a_view_and_goes_back(shown: Any) -> None:
    desk, _, explanation = shown
    layout = desk.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    layout.SetViewArrangement(layout.SlicerLayoutConventionalView)
    for i in range(3):  # as the application makes the views that a layout asks for
        desk.add_slice_view(f"{side_by_side.VIEWS}{i}", "Axial")
    explanation.look = replace(explanation.look, maps=("gradcam", "lime"), side_by_side=True, segments=())
    assert layout.GetViewArrangement() == side_by_side.LAYOUT
    composites = [desk.slices[f"{side_by_side.VIEWS}{i}"].GetSliceCompositeNode() for i in range(3)]
    scan = explanation.input_node
    assert [each.GetNthLayerVolume(0) for each in composites] == [scan] * 3
    wanted = [None, explanation.volume("gradcam"), explanation.volume("lime")]
    assert [each.GetNthLayerVolume(1) for each in composites] == wanted
    assert all(each.GetLinkedControl() for each in composites)
    placed = {name: legend.GetViewNodeIDs() for name, legend in legends(desk).items()}
    assert placed == {
        "Grad-CAM": (f"vtkMRMLSliceNode{side_by_side.VIEWS}1",),
        "LIME": (f"vtkMRMLSliceNode{side_by_side.VIEWS}2",),
    }
    explanation.look = replace(explanation.look, side_by_side=False)
    assert layout.GetViewArrangement() == layout.SlicerLayoutConventionalView
    assert legends(desk)["Grad-CAM"].GetViewNodeIDs() == ()


def test_the_layout_is_one_that_slicer_understands(desk: Any) -> None:
    layout = desk.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    for count in (2, 3, 5):
        side_by_side.enter(desk.scene, count)
        root = layout.GetLayoutRootElement()
        assert root is not None and root.GetName() == "layout"
        made = [desk.scene.GetNodeByID(f"vtkMRMLSliceNode{side_by_side.VIEWS}{i}") for i in range(count)]
        assert all(node is not None and node.GetOrientation() == "Axial" for node in made)
    side_by_side.leave(desk.scene)


def test_nothing_shown_leaves_the_scan_and_the_layers_of_others(shown: Any) -> None:
    desk, _, explanation = shown
    other = desk.add_volume(np.zeros((5, 5, 5), np.int16), np.eye(4), "PET")
    composite = desk.slices["Red"].GetSliceCompositeNode()
    explanation.look = Look()
    assert composite.GetBackgroundVolumeID() == explanation.input_node.GetID()
    assert composite.GetForegroundVolumeID() is None
    composite.SetForegroundVolumeID(other.GetID())
    explanation.look = replace(explanation.look, opacity=0.1)
    assert composite.GetForegroundVolumeID() == other.GetID()


@pytest.mark.parametrize("signed", [True, False])
def test_which_colours_are_hidden(signed: bool) -> None:
    assert not colours.below(0.0, signed=signed).any()
    hidden = colours.below(0.3, signed=signed)
    level = np.linspace(-1 if signed else 0, 1, 256)
    np.testing.assert_array_equal(hidden, np.abs(level) < 0.3)


def test_colour_nodes_of_few_colours_are_stretched(desk: Any) -> None:
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetNumberOfColors(2)
    node.SetColor(0, "a", 0, 0, 0, 1)
    node.SetColor(1, "b", 1, 1, 1, 1)
    assert colours.table_of(node)[[0, 127, 128, 255], 0].tolist() == [0, 0, 1, 1]
