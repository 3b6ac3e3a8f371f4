"""Points and slices between the views and a volume's own frame, undoing its parent transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk


def world_to_input(input_node: Any, point_world: np.ndarray) -> np.ndarray:
    """A point ``(3,)`` in world RAS mm, as markups give it, in the volume's own RAS frame, as the worker wants it."""
    return _carry(None, input_node.GetParentTransformNode(), point_world)


def input_to_world(input_node: Any, point_ras: np.ndarray) -> np.ndarray:
    """A point ``(3,)`` in the volume's own RAS frame in world RAS mm, where the views show it."""
    return _carry(input_node.GetParentTransformNode(), None, point_ras)


def _carry(source: Any, target: Any, point: np.ndarray) -> np.ndarray:
    """A point from below one transform node to below another, ``None`` being the world; warps included."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, transform)
    return np.array(transform.TransformPoint(*(float(x) for x in point)))


def markup_point(markup_node: Any, input_node: Any, index: int = -1) -> np.ndarray | None:
    """A control point in the volume's own RAS frame; ``None`` if there is none that has been placed.

    Args:
        markup_node: a markups node, or ``None``.
        input_node: the volume.
        index: which of the placed points; the last by default.
    """
    if markup_node is None:
        return None
    placed = [
        i
        for i in range(markup_node.GetNumberOfControlPoints())
        if markup_node.GetNthControlPointPositionStatus(i) == slicer.vtkMRMLMarkupsNode.PositionDefined
    ]
    if not placed or not -len(placed) <= index < len(placed):
        return None
    world = [0.0, 0.0, 0.0]
    markup_node.GetNthControlPointPositionWorld(placed[index], world)
    return world_to_input(input_node, np.array(world))


def ijk_to_ras(input_node: Any) -> np.ndarray:
    """A volume's 4x4 affine: voxel index to RAS mm in its own frame."""
    matrix = vtk.vtkMatrix4x4()
    input_node.GetIJKToRASMatrix(matrix)
    return np.array(slicer.util.arrayFromVTKMatrix(matrix))


def is_inside(input_node: Any, point_ras: np.ndarray) -> bool:
    """Whether a point in the volume's own RAS frame lies within it, up to the outer faces of its voxels."""
    index = _index(input_node, point_ras)
    size = np.array(input_node.GetImageData().GetDimensions())
    return bool(((index >= -0.5) & (index <= size - 0.5)).all())


def _index(input_node: Any, point_ras: np.ndarray) -> np.ndarray:
    return np.linalg.solve(ijk_to_ras(input_node), np.append(point_ras, 1.0))[:3]


def jump(scene: Any, point_world: np.ndarray) -> None:
    """Centre every slice view of the scene on a point in world RAS mm, and move the crosshair there."""
    r, a, s = (float(x) for x in point_world)
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, r, a, s, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(r, a, s)


def slice_node(scene: Any, layout_name: str) -> Any | None:
    """The node of a slice view by its layout name, such as ``Red``."""
    nodes = slice_nodes(scene)
    return next((node for node in nodes if node.GetLayoutName() == layout_name), None)


def slice_nodes(scene: Any) -> list[Any]:
    """All slice views' nodes of a scene."""
    count = scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")
    return [scene.GetNthNodeByClass(n, "vtkMRMLSliceNode") for n in range(count)]


@dataclass(frozen=True)
class ShownSlice:
    """Which of a volume's slices a view shows.

    Args:
        axis: 0, 1 or 2: the voxel axis (i, j, k) that the view looks along.
        index: the slice's number on this axis.
        count: of slices on this axis.
        oblique_degrees: angle between the view and the slice; 0 if the view shows exactly one.
    """

    axis: int
    index: int
    count: int
    oblique_degrees: float


def shown_slice(slice_node: Any, input_node: Any) -> ShownSlice | None:
    """The slice of the volume nearest to what a slice view shows at its centre; ``None`` outside the volume."""
    view = slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())
    point = world_to_input(input_node, view[:3, 3])
    if not is_inside(input_node, point):
        return None
    # A plane's normal is a covector: it goes from the world to the input by the transpose of the map the other way.
    normal = _derivative(input_node, point).T @ view[:3, 2]
    of_slices = np.linalg.inv(ijk_to_ras(input_node)[:3, :3])
    cosines = np.abs(of_slices @ normal) / (np.linalg.norm(of_slices, axis=1) * np.linalg.norm(normal))
    axis = int(np.argmax(cosines))
    count = int(input_node.GetImageData().GetDimensions()[axis])
    index = int(np.clip(round(float(_index(input_node, point)[axis])), 0, count - 1))
    angle = float(np.degrees(np.arccos(np.clip(cosines[axis], -1.0, 1.0))))
    return ShownSlice(axis, index, count, angle)


def _derivative(input_node: Any, point_ras: np.ndarray) -> np.ndarray:
    """Of :func:`input_to_world` at a point, 3x3, over 1 mm."""
    steps = [point_ras + step for step in np.eye(3) / 2], [point_ras - step for step in np.eye(3) / 2]
    ahead, behind = (np.array([input_to_world(input_node, at) for at in points]) for points in steps)
    return (ahead - behind).T
