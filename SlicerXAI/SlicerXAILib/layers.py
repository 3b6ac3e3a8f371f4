"""Layers of slice views: which volumes of an explanation lie over the scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from SlicerXAILib.folder import MARK

FIRST_EXTRA = 3
"""Number of the first layer beyond background, foreground and labels (Slicer 5.10 and later)."""


def show(composite: Any, background: Any, maps: Sequence[Any], labels: Any | None, *, opacity: float) -> None:
    """Put maps and labels over a volume in one slice view, in place of those of any explanation.

    Volumes that are none of an explanation's stay in foreground and labels where nothing has to take their place.

    Args:
        composite: the view's ``vtkMRMLSliceCompositeNode``.
        background: the volume below; ``None`` leaves what is there.
        maps: volume nodes, the lowest first.
        labels: a label map volume node, or ``None``.
        opacity: of maps and labels.
    """
    modifying = composite.StartModify()
    clear(composite)
    if background is not None:
        composite.SetBackgroundVolumeID(background.GetID())
    for i, node in enumerate(maps):
        layer = count(composite) if i else slicer.vtkMRMLSliceCompositeNode.LayerForeground
        composite.SetNthLayerVolumeID(layer, node.GetID())
        composite.SetNthLayerOpacity(layer, opacity)
    if labels is not None:
        composite.SetLabelVolumeID(labels.GetID())
        composite.SetLabelOpacity(opacity)
    composite.EndModify(modifying)


def clear(composite: Any) -> None:
    """Take the volumes of all explanations out of one slice view."""
    for layer in reversed(range(1, count(composite))):  # what is above a layer that goes moves down
        node = composite.GetNthLayerVolume(layer)
        if node is not None and node.GetAttribute(MARK):
            composite.SetNthLayerVolumeID(layer, None)


def count(composite: Any) -> int:
    """How many layers a slice view has, the empty ones of the first three included."""
    return FIRST_EXTRA + int(composite.GetNumberOfAdditionalLayers())


def composites(scene: Any) -> list[Any]:
    """The slice views' composite nodes."""
    found = scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")
    return [scene.GetNthNodeByClass(i, "vtkMRMLSliceCompositeNode") for i in range(found)]
