"""Segments: disjoint, with the right millilitres, in the right place, with names, colours and codes of the levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs the slicer extra: slicer-core")

import slicer
import slicer.util
import vtk
from SlicerXAILib import segments
from SlicerXAILib.scene_nodes import SceneExplanation
from SlicerXAILib.shapes import SURFACE_VOXELS, shapes_of
from SlicerXAILib.surfaces import surface_of

from camlime.levels import AGREEMENT, CONFLICT, EVIDENCE_LEVELS, LEVELS, STRONG_FOR
from slicer_display.grids import GRIDS


def explain(desk: Any, result: Any) -> SceneExplanation:
    ct = desk.add_volume(np.zeros((20, 20, 20), np.int16), np.eye(4))
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(result)
    return explanation


def world_voxels(node: Any, key: str) -> tuple[np.ndarray, np.ndarray]:
    """RAS mm of a segment's voxels, one a row, and the matrix that takes them there."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(key, image)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = np.array(slicer.util.arrayFromVTKMatrix(matrix))
    flat = np.array([image.GetPointData().GetScalars().GetTuple1(i) for i in range(image.GetNumberOfPoints())])
    first, size = np.array(image.GetExtent()[::2]), image.GetDimensions()
    index = np.argwhere(flat.reshape(size[::-1]) > 0)[:, ::-1] + first
    return index @ affine[:3, :3].T + affine[:3, 3], affine


@pytest.mark.parametrize("name", list(GRIDS))
def test_voxels_places_and_millilitres(desk: Any, make_result: Callable[..., Any], name: str) -> None:
    result = make_result(GRIDS[name])
    explanation = explain(desk, result)
    node, labels = explanation.segmentation("evidence"), result.levels["evidence"]
    listed = {row["key"]: row["volume_ml"] for row in explanation.summary["legend"]}
    seen = set()
    for level in EVIDENCE_LEVELS:
        points, affine = world_voxels(node, level.key)
        expected = np.argwhere(labels == level.label) @ result.affine_ras[:3, :3].T + result.affine_ras[:3, 3]
        order, wanted = np.lexsort(points.round(6).T), np.lexsort(expected.round(6).T)
        np.testing.assert_allclose(points[order], expected[wanted], atol=1e-6)
        ml = len(points) * np.linalg.norm(affine[:3, :3], axis=0).prod() / 1000
        assert listed[level.key] == pytest.approx(ml)
        seen |= {tuple(point) for point in points.round(4)}
    assert len(seen) == (labels > 0).sum()  # no voxel is in two segments


@pytest.mark.parametrize("name", list(GRIDS))
def test_surfaces_enclose_about_the_same_volume(desk: Any, make_result: Callable[..., Any], name: str) -> None:
    result = make_result(GRIDS[name])
    result.levels["evidence"][...] = 0
    result.levels["evidence"][4:20, 4:16, 3:13] = STRONG_FOR.label
    explanation = explain(desk, result)
    explanation.look = replace(explanation.look, segments=("evidence",), surfaces=True)
    surface = vtk.vtkPolyData()
    node = explanation.segmentation("evidence")
    assert node.GetClosedSurfaceRepresentation(STRONG_FOR.key, surface)
    measure = vtk.vtkMassProperties()
    measure.SetInputData(surface)
    (row,) = (row for row in explanation.summary["legend"] if row["key"] == STRONG_FOR.key)
    assert measure.GetVolume() / 1000 == pytest.approx(row["volume_ml"], rel=0.15)
    centre = result.affine_ras @ np.array([11.5, 9.5, 7.5, 1.0])
    np.testing.assert_allclose(surface.GetCenter(), box_centre(result.affine_ras), atol=0.5)
    assert np.linalg.norm(centre[:3] - surface.GetCenter()) < 1.0


def box_centre(affine: np.ndarray) -> np.ndarray:
    corners = np.array([[i, j, k, 1.0] for i in (3.5, 19.5) for j in (3.5, 15.5) for k in (2.5, 12.5)])
    points = (corners @ affine.T)[:, :3]
    return (points.min(axis=0) + points.max(axis=0)) / 2


def test_names_colours_and_codes_are_those_of_the_levels(desk: Any, make_result: Callable[..., Any]) -> None:
    explanation = explain(desk, make_result(np.eye(4)))
    for which, keys in (("evidence", {"strong_for", "moderate_for", "against"}), ("agreement", {"agreement"})):
        segmentation = explanation.segmentation(which).GetSegmentation()
        assert set(segmentation.GetSegmentIDs()) >= keys
    for level in LEVELS:
        for which in ("evidence", "agreement"):
            segment = explanation.segmentation(which).GetSegmentation().GetSegment(level.key)
            if segment is not None:
                assert segment.GetName() == level.name
                np.testing.assert_allclose(np.array(segment.GetColor()) * 255, level.colour, atol=0.5)
                assert f"99CAMLIME^{level.key}^{level.name}" in segment.GetTerminology()


def test_agreement_and_conflict_are_told_apart(desk: Any, make_result: Callable[..., Any]) -> None:
    result = make_result(np.eye(4))  # Grad-CAM is positive where LIME is negative
    explanation = explain(desk, result)
    keys = explanation.segmentation("agreement").GetSegmentation().GetSegmentIDs()
    assert keys == (AGREEMENT.key, CONFLICT.key)
    node = explanation.volume("agreement")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node).transpose(2, 1, 0), result.levels["agreement"])


def test_a_second_result_replaces_the_segments(desk: Any, make_result: Callable[..., Any]) -> None:
    explanation = explain(desk, make_result(np.eye(4)))
    explanation.look = replace(explanation.look, segments=("evidence",))
    before = desk.nodes()
    explanation.complete(make_result(np.eye(4), signed=False))
    keys = explanation.segmentation("evidence").GetSegmentation().GetSegmentIDs()
    assert keys == ("strong_for", "moderate_for")
    assert explanation.segmentation("evidence").GetDisplayNode().GetVisibility()
    assert len(desk.nodes()) == len(before)


def test_what_is_shown_of_segments(desk: Any, make_result: Callable[..., Any]) -> None:
    explanation = explain(desk, make_result(np.eye(4)))
    node = explanation.segmentation("evidence")
    display = node.GetDisplayNode()
    explanation.look = replace(explanation.look, segments=(), surfaces=False)
    assert not display.GetVisibility()
    explanation.look = replace(explanation.look, segments=("evidence",), fill=0.3, surfaces=False)
    assert display.GetVisibility() and display.GetVisibility2DOutline() and not display.GetVisibility3D()
    assert display.GetVisibility2DFill() and display.GetOpacity2DFill() == pytest.approx(0.3)
    assert not explanation.segmentation("agreement").GetDisplayNode().GetVisibility()
    explanation.look = replace(explanation.look, fill=0.0, surfaces=True)
    assert not display.GetVisibility2DFill() and display.GetVisibility3D()
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_millilitres_of_a_sheared_grid() -> None:
    affine = np.array([[1, 0.5, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])
    labels = np.full((10, 10, 10), STRONG_FOR.label, dtype=np.uint8)
    assert segments.volumes_ml(shapes_of(labels, EVIDENCE_LEVELS), affine) == {"strong_for": pytest.approx(6.0)}


def test_a_large_ball_has_its_surface_where_it_is_from_blocks_of_voxels() -> None:
    index = np.stack(np.indices((90, 80, 120)), axis=-1)
    labels = np.zeros((90, 80, 120), np.uint8)
    labels[((index - [50, 41, 62]) ** 2).sum(axis=-1) <= 30**2] = STRONG_FOR.label
    (shape,) = shapes_of(labels, EVIDENCE_LEVELS)
    assert np.prod(np.array(shape.coarse.shape) - 2) <= SURFACE_VOXELS < shape.inside.size
    affine = np.array([[0, 2, 0, 10], [-1, 0, 0, 20], [0, 0, 0.5, 30], [0, 0, 0, 1.0]])
    surface = surface_of(shape, affine)
    np.testing.assert_allclose(surface.GetCenter(), (affine @ [50, 41, 62, 1])[:3], atol=0.5)
    measure = vtk.vtkMassProperties()
    measure.SetInputData(surface)
    assert measure.GetVolume() == pytest.approx((labels > 0).sum(), rel=0.05)


def test_a_sheet_thinner_than_half_a_block_is_still_drawn() -> None:
    labels = np.zeros((200, 200, 40), np.uint8)
    labels[..., 3] = labels[..., 30] = STRONG_FOR.label
    labels[0, 0, :] = STRONG_FOR.label
    (shape,) = shapes_of(labels, EVIDENCE_LEVELS)
    assert max(shape.block) > 2
    assert surface_of(shape, np.eye(4)).GetNumberOfPolys() > 100
