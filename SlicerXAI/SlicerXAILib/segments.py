"""Levels of evidence as segments: outlines in slices, surfaces in 3D, with names, colours and codes from the engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from camlime.levels import CODE_SCHEME, MODERATE_FOR, Level
from SlicerXAILib.shapes import Shape
from SlicerXAILib.surfaces import surface_of

_CATEGORY = "SCT^309825002^Spatial and Relational Concept"
_OUTER = {MODERATE_FOR.key: 0.35}
"""Opacity in 3D of bands that lie around others, which would hide them."""


def add_segmentation(scene: Any, name: str) -> Any:
    """An empty segmentation node that shows outlines in slices."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().SetConversionParameter("Smoothing factor", "0.5")
    return node


def set_levels(node: Any, shapes: Iterable[Shape], affine_ras: np.ndarray) -> Iterator[None]:
    """Replace a segmentation's segments by levels of evidence, on their label map's own grid; one step each.

    Args:
        node: the segmentation node.
        shapes: the levels, cut out of their label map.
        affine_ras: 4x4, voxel index to RAS mm in the frame of the node's parent transform.
    """
    converter = slicer.vtkSegmentationConverter
    node.GetSegmentation().RemoveAllSegments()
    for shape in shapes:
        level = shape.level
        segment = slicer.vtkSegment()
        segment.SetName(level.name)
        segment.SetColor(*(channel / 255 for channel in level.colour))
        segment.SetTerminology(terminology(level))
        segment.AddRepresentation(
            converter.GetSegmentationBinaryLabelmapRepresentationName(), _oriented(shape, affine_ras)
        )
        segment.AddRepresentation(
            converter.GetSegmentationClosedSurfaceRepresentationName(), surface_of(shape, affine_ras)
        )
        node.GetSegmentation().AddSegment(segment, level.key)
        node.GetDisplayNode().SetSegmentOpacity3D(level.key, _OUTER.get(level.key, 1.0))
        yield


def show(node: Any, *, visible: bool, surfaces: bool, fill: float) -> None:
    """Set what views show of a segmentation.

    Args:
        node: the segmentation node.
        visible: whether anything is shown.
        surfaces: whether 3D views show surfaces; they are made where they were not kept, as in a scene that was loaded.
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


def volumes_ml(shapes: Iterable[Shape], affine_ras: np.ndarray) -> dict[str, float]:
    """Volume of each level in ml, by its key: its voxels times the volume of one, at any axes' angles."""
    voxel = abs(float(np.linalg.det(affine_ras[:3, :3]))) / 1000.0
    return {shape.level.key: shape.voxels * voxel for shape in shapes}


def terminology(level: Level) -> str:
    """The level's code as Slicer writes terminology entries: a place of interest, neither tissue nor lesion.

    Example:
        >>> from camlime.levels import AGAINST
        >>> terminology(AGAINST).split("~")[2]
        '99CAMLIME^against^Evidence against'
    """
    kind = f"{CODE_SCHEME}^{level.key}^{level.name}"
    return f"SlicerXAI~{_CATEGORY}~{kind}~^^~Anatomic codes - DICOM master list~^^~^^"


def _oriented(shape: Shape, affine_ras: np.ndarray) -> Any:
    """A binary label map with its geometry, on that part of the grid where there is something: large maps stay fast."""
    image = slicer.vtkOrientedImageData()
    ends = [(first, first + size - 1) for first, size in zip(shape.first, shape.inside.shape, strict=True)]
    image.SetExtent([end for pair in ends for end in pair])
    voxels = shape.inside.ravel(order="F").astype(np.uint8)
    image.GetPointData().SetScalars(numpy_to_vtk(voxels, deep=True, array_type=vtk.VTK_UNSIGNED_CHAR))
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine_ras))
    return image
