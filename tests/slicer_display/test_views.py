"""Points and slices between views and a volume's own frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs the slicer extra: slicer-core")

import slicer
import slicer.util
import vtk
from SlicerXAILib import views

from slicer_display.grids import GRIDS, grid

SHAPE = (24, 20, 16)


def below(desk: Any, node: Any, matrix: np.ndarray) -> None:
    transform = desk.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())


@pytest.fixture(params=list(GRIDS))
def volume(request: pytest.FixtureRequest, desk: Any) -> tuple[Any, np.ndarray]:
    return desk.add_volume(np.zeros(SHAPE, np.int16), GRIDS[request.param]), GRIDS[request.param]


def test_a_markup_comes_in_the_volumes_own_frame(desk: Any, volume: Any) -> None:
    node, affine = volume
    matrix = grid((1.2, 1, 0.8), (15, 25, -35), origin=(9, 8, 7))
    below(desk, node, matrix)
    own = (affine @ np.array([4, 5, 6, 1.0]))[:3]
    markup = desk.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    below(desk, markup, grid((1, 1, 1), (0, 0, 77), origin=(1, 2, 3)))
    assert views.markup_point(None, node) is None
    assert views.markup_point(markup, node) is None
    markup.AddControlPointWorld(vtk.vtkVector3d(0, 0, 0))
    markup.AddControlPointWorld(vtk.vtkVector3d(*(matrix @ np.append(own, 1.0))[:3]))
    np.testing.assert_allclose(views.markup_point(markup, node), own, atol=1e-6)
    np.testing.assert_allclose(views.markup_point(markup, node, 0), views.world_to_input(node, np.zeros(3)), atol=1e-6)
    assert views.markup_point(markup, node, 2) is None
    markup.SetNthControlPointPositionMissing(1)
    np.testing.assert_allclose(views.markup_point(markup, node), views.world_to_input(node, np.zeros(3)), atol=1e-6)


def test_points_go_there_and_back_through_a_warp(desk: Any, volume: Any) -> None:
    node, _ = volume
    spline = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.array(np.meshgrid([-60, 60], [-60, 60], [-60, 60])).reshape(3, -1).T:
        source.InsertNextPoint(corner)
        target.InsertNextPoint(corner + np.array([corner[1], -corner[2], corner[0] * corner[1] / 60]) / 20)
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    warp = desk.scene.AddNewNodeByClass("vtkMRMLTransformNode")
    warp.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(warp.GetID())
    own = np.array([5.0, -3.0, 8.0])
    world = views.input_to_world(node, own)
    assert np.linalg.norm(world - own) > 0.1
    np.testing.assert_allclose(views.world_to_input(node, world), own, atol=1e-2)


def test_inside_reaches_to_the_outer_faces(volume: Any) -> None:
    node, affine = volume
    last = np.array(SHAPE) - 1
    for index, inside in (
        ((0, 0, 0), True),
        (last, True),
        (last + 0.49, True),
        (last + 0.51, False),
        ((-0.49, 3, 3), True),
        ((-0.51, 3, 3), False),
        ((3, 3, 99), False),
    ):
        point = (affine @ np.append(index, 1.0))[:3]
        assert views.is_inside(node, point) == inside


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_slice_that_a_view_shows(desk: Any, volume: Any, axis: int) -> None:
    node, affine = volume
    matrix = grid((1, 1, 1), (20, -10, 40), origin=(3, 2, 1))
    below(desk, node, matrix)
    index = np.array([5.0, 6.0, 7.0])
    index[axis] += 0.4
    world = matrix @ affine
    slice_node = desk.slices["Red"].GetSliceNode()
    columns = np.roll(world[:3, :3] / np.linalg.norm(world[:3, :3], axis=0), -axis - 1, axis=1)
    view = np.eye(4)
    view[:3, :3] = columns
    view[:3, 3] = (world @ np.append(index, 1.0))[:3]
    slice_node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(view))
    slice_node.UpdateMatrices()
    found = views.shown_slice(slice_node, node)
    assert (found.axis, found.index, found.count) == (axis, (5, 6, 7)[axis], SHAPE[axis])
    assert found.oblique_degrees == pytest.approx(0, abs=1e-3)
    turned = view.copy()
    turned[:3, :3] = view[:3, :3] @ grid((1, 1, 1), (12, 0, 0))[:3, :3]
    slice_node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(turned))
    slice_node.UpdateMatrices()
    assert views.shown_slice(slice_node, node).oblique_degrees == pytest.approx(12, abs=1e-3)


def test_a_view_that_looks_elsewhere_shows_no_slice(desk: Any, volume: Any) -> None:
    node, _ = volume
    views.jump(desk.scene, np.array([1000.0, 0, 0]))
    assert views.shown_slice(desk.slices["Red"].GetSliceNode(), node) is None
