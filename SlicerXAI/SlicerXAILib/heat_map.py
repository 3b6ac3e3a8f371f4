"""Volume nodes of maps: scalar volumes on the network's own grid, with colours, limits and a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util

from SlicerXAILib import colours


def set_voxels(node: Any, values: np.ndarray, affine_ras: np.ndarray) -> None:
    """Give a volume node its voxels and where they lie.

    Args:
        node: any scalar or label map volume node.
        values: axes ``(i, j, k)``.
        affine_ras: 4x4, voxel index to RAS mm in the frame of the node's parent transform.
    """
    modifying = node.StartModify()
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(values.transpose(2, 1, 0)))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine_ras))
    node.EndModify(modifying)


def voxels(node: Any) -> np.ndarray:
    """The voxels of a volume node, axes ``(i, j, k)``."""
    return slicer.util.arrayFromVolume(node).transpose(2, 1, 0)


def add_map(scene: Any, name: str) -> Any:
    """An empty volume node for a map, with a display node whose window is not set by itself."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetInterpolate(True)
    return node


def scale(node: Any, limit: float, *, signed: bool) -> None:
    """Set a map's window to its limit: symmetric about zero if it has both signs, else from zero.

    Args:
        node: the volume node.
        limit: the magnitude at which the colours end.
        signed: whether the map has both signs.
    """
    node.GetDisplayNode().SetWindowLevelMinMax(-limit if signed else 0.0, limit)


def dress(node: Any, colour_node: Any, table: np.ndarray, threshold: float, *, signed: bool) -> None:
    """Put colours on a map, transparent below a threshold.

    Args:
        node: the volume node.
        colour_node: this explanation's colour node for it.
        table: its colours, ``(256, 3)``.
        threshold: share of the map's limit, 0 to 1.
        signed: whether the map's window is symmetric about zero.
    """
    hidden = colours.below(threshold, signed=signed)
    colours.paint(colour_node, table, hidden=hidden)
    node.GetDisplayNode().SetAndObserveColorNodeID(colour_node.GetID())


def add_label_map(scene: Any, name: str, colour_node: Any) -> Any:
    """An empty label map volume node with the colours given."""
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAndObserveColorNodeID(colour_node.GetID())
    return node
