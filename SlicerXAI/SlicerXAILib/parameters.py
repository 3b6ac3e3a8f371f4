"""What the user chose: kept in the scene by Slicer's parameter node wrapper, so that it is saved and loaded with it."""

from __future__ import annotations

from typing import Annotated

from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLScriptedModuleNode,
    vtkMRMLSegmentationNode,
)
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper

QUALITIES = ("quick", "standard", "thorough", "until_certain")


@parameterNodeWrapper
class Parameters:
    """The panel's choices.

    Attributes:
        volume: what to explain; a vector volume holds colours.
        bundle: name of a shipped bundle, or the folder of another.
        class_name: the class to explain; empty for the predicted one.
        point: its last control point says where a bundle that works on a region looks.
        regions: segments that take the place of supervoxels.
        device: a name that the worker gave, or ``auto``.
        quality: one of :data:`QUALITIES`.
        slice_view: layout name of the slice view whose slice a 2D bundle gets.
        use_slice_range: whether it gets a range of slices instead.
        first_slice: of the range, a number on the axis that the view looks along.
        last_slice: of the range.
        what_if_segmentation: where the part to take away is.
        what_if_segment: ID of its segment.
        explanation: hub of the explanation that the panel shows.
        export_folder: where explanations are exported to.
        native_grid: whether an export holds the maps on the scan's own grid as well.
    """

    volume: vtkMRMLScalarVolumeNode
    bundle: str
    class_name: str
    point: vtkMRMLMarkupsFiducialNode
    regions: vtkMRMLSegmentationNode
    device: str = "auto"
    quality: Annotated[str, Choice(list(QUALITIES))] = "standard"
    slice_view: str = "Red"
    use_slice_range: bool = False
    first_slice: int = 0
    last_slice: int = 0
    what_if_segmentation: vtkMRMLSegmentationNode
    what_if_segment: str
    explanation: vtkMRMLScriptedModuleNode
    export_folder: str
    native_grid: bool = False
