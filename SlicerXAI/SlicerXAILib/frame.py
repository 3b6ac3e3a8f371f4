"""Where an explanation lies: in its input's own frame, below the same parent transform, wherever the input goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util

from SlicerXAILib import hub, views

_GEOMETRY = "geometry"


def remember(hub_node: Any, input_node: Any) -> None:
    """Keep the input's geometry at the time of the explanation."""
    now = _geometry(input_node)
    hub.write(hub_node, _GEOMETRY, {"then": now, "seen": now})


def placed(hub_node: Any) -> list[Any]:
    """The explanation's nodes that lie somewhere: volumes and segmentations."""
    nodes = [hub_node.GetNodeReference(role) for role in hub.roles(hub_node)]
    return [node for node in nodes if isinstance(node, slicer.vtkMRMLTransformableNode)]


def place(hub_node: Any, node: Any, *, fresh: bool) -> None:
    """Put a node below the input's parent transform.

    Args:
        hub_node: the explanation's hub.
        node: one of its nodes.
        fresh: its geometry was just set as the engine gave it, and the input may have moved since.
    """
    if fresh:
        _move(node, moved(hub_node))
    input_node = hub_node.GetNodeReference(hub.INPUT)
    if input_node is not None:
        node.SetAndObserveTransformNodeID(input_node.GetTransformNodeID())


def moved(hub_node: Any) -> np.ndarray:
    """4x4: where the input's own frame at the time of the explanation lies in the input's frame now.

    The identity, unless the input's voxels were put elsewhere, as when a transform is hardened.
    """
    kept = hub.read(hub_node, _GEOMETRY, None)
    if kept is None:
        return np.eye(4)
    return _from(kept["then"], kept["seen"])


def follow(hub_node: Any) -> None:
    """Bring all nodes of an explanation to where the input is now."""
    input_node, kept = hub_node.GetNodeReference(hub.INPUT), hub.read(hub_node, _GEOMETRY, None)
    if input_node is None or kept is None:
        return
    now = _geometry(input_node)
    if now != kept["seen"]:
        step = _from(kept["then"], now) @ np.linalg.inv(_from(kept["then"], kept["seen"]))
        for node in placed(hub_node):
            _move(node, step)
        hub.write(hub_node, _GEOMETRY, {"then": kept["then"], "seen": now})
    for node in placed(hub_node):
        if node.GetTransformNodeID() != input_node.GetTransformNodeID():
            node.SetAndObserveTransformNodeID(input_node.GetTransformNodeID())


def _geometry(input_node: Any) -> dict[str, Any]:
    image = input_node.GetImageData()
    size = list(image.GetDimensions()) if image is not None else None
    return {"affine": views.ijk_to_ras(input_node).tolist(), "size": size}


def _from(before: dict[str, Any], after: dict[str, Any]) -> np.ndarray:
    """How voxels moved. With another number of voxels it is another image (a crop, a resample): nothing moved."""
    if before["size"] != after["size"]:
        return np.eye(4)
    return np.array(after["affine"]) @ np.linalg.inv(np.array(before["affine"]))


def _move(node: Any, step: np.ndarray) -> None:
    if not np.allclose(step, np.eye(4)):
        node.ApplyTransformMatrix(slicer.util.vtkMatrixFromArray(step))
