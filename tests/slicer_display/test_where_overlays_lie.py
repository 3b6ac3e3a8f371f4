"""The hottest pixel of an overlay lies on the phantom's known point, in every view, whatever grids and transforms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs the slicer extra: slicer-core")

import slicer
import slicer.util
from SlicerXAILib import layers, views
from SlicerXAILib.scene_nodes import SceneExplanation

from slicer_display.grids import GRIDS, grid

SCAN = grid((1.3, 1.1, 2.0), (5, 10, -15), flips=(-1, -1, 1), origin=(20, 25, -30))
MOVED = grid((1.1, 0.9, 1.2), (12, -8, 25), origin=(15, -4, 33))
"""A transform that turns, shifts and stretches."""


def scan_around(point: np.ndarray) -> np.ndarray:
    """The scan's affine, put so that the point lies near its middle."""
    affine = SCAN.copy()
    affine[:3, 3] += point - (SCAN @ np.array([31, 28, 19, 1.0]))[:3]
    return affine


def move(desk: Any, node: Any, matrix: np.ndarray) -> Any:
    transform = desk.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


@pytest.mark.parametrize("moved", [False, True], ids=["plain", "below a transform"])
@pytest.mark.parametrize("name", list(GRIDS))
def test_hottest_pixel_lies_on_the_known_point(
    desk: Any, make_result: Callable[..., Any], name: str, moved: bool
) -> None:
    result = make_result(GRIDS[name])
    point = np.array(result.strongest_point_ras)
    ct = desk.add_volume(np.zeros((62, 57, 39), np.int16), scan_around(point))
    if moved:
        move(desk, ct, MOVED)
    world = (MOVED @ np.append(point, 1.0))[:3] if moved else point
    np.testing.assert_allclose(views.input_to_world(ct, point), world)
    oblique = desk.add_slice_view("Oblique", "Axial").GetSliceNode()
    oblique.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(grid((1, 1, 1), (33, 21, 48))))
    oblique.UpdateMatrices()
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(result)
    desk.fit()
    explanation.jump_to_strongest()
    for view in desk.slices:
        values = desk.layer(view)
        y, x = np.unravel_index(np.nanargmax(values), values.shape)
        pixel = np.linalg.norm(desk.to_ras(view, 1, 1) - desk.to_ras(view, 0, 0))
        assert np.nanmax(values) == pytest.approx(2.0, abs=0.2)
        assert np.linalg.norm(desk.to_ras(view, x, y) - world) <= pixel
        shown = desk.picture(view)[y, x].astype(int)
        red, green, blue = shown
        assert red > green > blue  # warm: for the class


def test_the_coldest_pixel_is_cool_and_where_it_belongs(desk: Any, make_result: Callable[..., Any]) -> None:
    result = make_result(GRIDS["oblique, anisotropic"])
    against = result.region_table[2]
    ct = desk.add_volume(np.zeros((62, 57, 39), np.int16), scan_around(np.array(against["centre_ras_mm"])))
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(result)
    desk.fit()
    explanation.jump_to_region(against["id"])
    for view in desk.slices:
        values = desk.layer(view)
        y, x = np.unravel_index(np.nanargmin(values), values.shape)
        pixel = np.linalg.norm(desk.to_ras(view, 1, 1) - desk.to_ras(view, 0, 0))
        assert np.linalg.norm(desk.to_ras(view, x, y) - against["centre_ras_mm"]) <= pixel
        red, green, blue = desk.picture(view)[y, x].astype(int)
        assert blue > green > red


def test_voxels_stay_as_the_engine_made_them(desk: Any, make_result: Callable[..., Any]) -> None:
    result = make_result(GRIDS["oblique, flipped, axes in another order"])
    ct = desk.add_volume(np.zeros((30, 30, 30), np.int16), SCAN)
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(result)
    node = explanation.volume("lime")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node).transpose(2, 1, 0), result.maps["lime"].values)
    np.testing.assert_allclose(views.ijk_to_ras(node), result.affine_ras, atol=1e-9)
    deviation = explanation.volume("lime.std")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(deviation).transpose(2, 1, 0), result.maps["lime"].std)


def test_a_picture_is_one_slice(desk: Any, make_result: Callable[..., Any]) -> None:
    affine = grid((0.5, 0.5, 1.0), flips=(-1, -1, 1))
    result = make_result(affine, (40, 30, 1), (25, 8, 0))
    picture = desk.add_volume(np.zeros((80, 60, 1), np.uint8), affine @ np.diag([0.5, 0.5, 1, 1]))
    explanation = SceneExplanation.begin(picture, "Why?")
    explanation.complete(result)
    desk.fit()
    explanation.jump_to_strongest()
    values = desk.layer("Red")
    y, x = np.unravel_index(np.nanargmax(values), values.shape)
    pixel = np.linalg.norm(desk.to_ras("Red", 1, 1) - desk.to_ras("Red", 0, 0))
    assert np.linalg.norm(desk.to_ras("Red", x, y) - result.strongest_point_ras) <= pixel


def test_several_maps_are_layers_of_one_view(desk: Any, make_result: Callable[..., Any]) -> None:
    ct = desk.add_volume(np.zeros((30, 30, 30), np.int16), SCAN)
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(make_result(GRIDS["straight"]))
    explanation.look = replace(explanation.look, maps=("lime", "gradcam", "lime.std", "agreement"), opacity=0.3)
    for composite in layers.composites(desk.scene):
        shown = [composite.GetNthLayerVolume(i) for i in range(5)]
        keys = ("lime", "agreement", "gradcam", "lime.std")
        assert shown == [ct, *[explanation.volume(key) for key in keys]]
        assert [composite.GetNthLayerOpacity(i) for i in range(1, 5)] == [0.3] * 4
    explanation.look = replace(explanation.look, maps=("gradcam",))
    for composite in layers.composites(desk.scene):
        shown = [composite.GetNthLayerVolume(i) for i in range(5)]
        assert shown == [ct, explanation.volume("gradcam"), None, None, None]
