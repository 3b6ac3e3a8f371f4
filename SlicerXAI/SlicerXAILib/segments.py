"""Levels of evidence as segments: outlines in slices, surfaces in 3D, with names, colours and codes from the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from camlime.levels import CODE_SCHEME, MODERATE_FOR, Level

_CATEGORY = "SCT^309825002^Spatial and Relational Concept"
_OUTER = {MODERATE_FOR.key: 0.35}
"""Opacity in 3D of bands that lie around others, which would hide them."""


def add_segmentation(scene: Any, name: str) -> Any:
    """An empty segmentation node that shows outlines in slices."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().SetConversionParameter("Smoothing factor", "0.5")
    return node


def set_levels(node: Any, labels: np.ndarray, levels: tuple[Level, ...], affine_ras: np.ndarray) -> None:
    """Replace a segmentation's segments by the levels that occur in a label map, on the label map's own grid.

    Args:
        node: the segmentation node.
        labels: uint8, axes ``(i, j, k)``.
        levels: which numbers become segments; the others are ignored.
        affine_ras: 4x4, voxel index to RAS mm in the frame of the node's parent transform.
    """
    segmentation = node.GetSegmentation()
    modifying = node.StartModify()
    segmentation.RemoveAllSegments()
    node.RemoveClosedSurfaceRepresentation()
    for level in levels:
        where = labels == level.label
        if not where.any():
            continue
        segment = slicer.vtkSegment()
        segment.SetName(level.name)
        segment.SetColor(*(channel / 255 for channel in level.colour))
        segment.SetTerminology(terminology(level))
        segment.AddRepresentation(
            slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(),
            _oriented(where, affine_ras),
        )
        segmentation.AddSegment(segment, level.key)
        node.GetDisplayNode().SetSegmentOpacity3D(level.key, _OUTER.get(level.key, 1.0))
    node.EndModify(modifying)


def show(node: Any, *, visible: bool, surfaces: bool, fill: float) -> None:
    """Set what views show of a segmentation.

    Args:
        node: the segmentation node.
        visible: whether anything is shown.
        surfaces: whether 3D views show surfaces; they are made the first time.
        fill: opacity inside the outlines in slices.
    """
    if visible and surfaces and node.GetSegmentation().GetNumberOfSegments():
        node.CreateClosedSurfaceRepresentation()
    display = node.GetDisplayNode()
    modifying = display.StartModify()
    display.SetVisibility(visible)
    display.SetVisibility2DOutline(True)
    display.SetVisibility2DFill(fill > 0)
    display.SetOpacity2DFill(fill)
    display.SetVisibility3D(surfaces)
    display.EndModify(modifying)


def volumes_ml(labels: np.ndarray, levels: tuple[Level, ...], affine_ras: np.ndarray) -> dict[str, float]:
    """Volume of each level that occurs, in ml, by its key: its voxels times the volume of one, at any axes' angles."""
    voxel = abs(float(np.linalg.det(affine_ras[:3, :3]))) / 1000.0
    counts = {level.key: int((labels == level.label).sum()) for level in levels}
    return {key: count * voxel for key, count in counts.items() if count}


def terminology(level: Level) -> str:
    """The level's code as Slicer writes terminology entries: a place of interest, neither tissue nor lesion.

    Example:
        >>> from camlime.levels import AGAINST
        >>> terminology(AGAINST).split("~")[2]
        '99CAMLIME^against^Evidence against'
    """
    kind = f"{CODE_SCHEME}^{level.key}^{level.name}"
    return f"SlicerXAI~{_CATEGORY}~{kind}~^^~Anatomic codes - DICOM master list~^^~^^"


def _oriented(where: np.ndarray, affine_ras: np.ndarray) -> Any:
    """A binary label map with its geometry, on that part of the grid where there is something: large maps stay fast."""
    found = [np.flatnonzero(where.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    extent = [int(end) for index in found for end in (index[0], index[-1])]
    part = where[tuple(slice(index[0], index[-1] + 1) for index in found)]
    image = slicer.vtkOrientedImageData()
    image.SetExtent(extent)
    voxels = part.transpose(2, 1, 0).ravel().astype(np.uint8)
    image.GetPointData().SetScalars(numpy_to_vtk(voxels, deep=True, array_type=vtk.VTK_UNSIGNED_CHAR))
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine_ras))
    return image
