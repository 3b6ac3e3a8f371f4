"""From segmentations of the scene to label maps on the scan's voxels, which the worker takes as regions or masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from SlicerXAILib.inputs import Plane, affine_of, plane_affine, plane_of
from SlicerXAILib.problems import InputError


def segment_ids(segmentation_node: Any) -> list[str]:
    """IDs of the segments, in the order in which the node lists them."""
    segmentation = segmentation_node.GetSegmentation()
    return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]


def segment_mask(segmentation_node: Any, segment_id: str, volume: Any, plane: Plane | None = None) -> np.ndarray:
    """Voxels of the volume that a segment covers: bool ``(i, j, k)``, or ``(a, b)`` of a slice.

    Parent transforms of both are taken into account.

    Raises:
        InputError: the segment is not there, or covers no voxel.
    """
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise InputError(_("The segment is no longer there."), _("Choose another segment."))
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume)
    mask = np.zeros(volume.GetImageData().GetDimensions(), dtype=bool) if array is None else array.T.astype(bool)
    if plane is not None:
        mask = plane_of(mask, plane)
    if not mask.any():
        where = _("volume") if plane is None else _("slice")
        raise InputError(
            _("The segment '{name}' has no voxel in the {where}.").format(name=segment.GetName(), where=where),
            _("Paint some, or choose another segment."),
        )
    return mask


def label_map(segmentation_node: Any, volume: Any, plane: Plane | None = None) -> tuple[np.ndarray, dict[int, str]]:
    """All segments as one label map: int16 ``(i, j, k)`` or ``(a, b)``, and each label's name.

    Labels are 1, 2, ... in the order of the segments; where segments overlap, the later one wins.

    Raises:
        InputError: no segment covers a voxel.
    """
    segmentation = segmentation_node.GetSegmentation()
    ids = segment_ids(segmentation_node)
    labels = _exported(segmentation_node, ids, volume)
    if plane is not None:
        labels = plane_of(labels, plane)
    occur = np.flatnonzero(np.bincount(labels.ravel(order="K")))
    names = {int(n): segmentation.GetSegment(ids[n - 1]).GetName() for n in occur if n}
    if not names:
        raise InputError(
            _("No segment of '{name}' has a voxel in the volume.").format(name=segmentation_node.GetName()),
            _("Choose another segmentation, or none."),
        )
    return labels, names


def _exported(segmentation_node: Any, ids: list[str], volume: Any) -> np.ndarray:
    """All segments at once, which is far faster than one by one: int16 ``(i, j, k)``."""
    scene = segmentation_node.GetScene()
    known = set(_nodes(scene))
    exported = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    try:
        logic = slicer.modules.segmentations.logic()
        if not ids or not logic.ExportSegmentsToLabelmapNode(segmentation_node, ids, exported, volume):
            return np.zeros(volume.GetImageData().GetDimensions(), dtype=np.int16)
        return slicer.util.arrayFromVolume(exported).T.astype(np.int16)
    finally:
        for node in _nodes(scene):
            if node not in known:
                scene.RemoveNode(node)


def _nodes(scene: Any) -> list[Any]:
    """All there are: an export adds display and colours of its own."""
    return [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]


def save_label_map(
    path: Path, labels: np.ndarray, names: dict[int, str], volume: Any, plane: Plane | None = None
) -> Path:
    """Write a label map as ``.seg.nrrd``, with its segments' names, on the volume's own grid.

    Args:
        path: ends in ``.seg.nrrd``.
        labels: as :func:`label_map` gives them.
        names: of the labels.
        volume: whose grid it is.
        plane: the slice, where ``labels`` are those of a slice.
    """
    affine = affine_of(volume) if plane is None else plane_affine(affine_of(volume), plane)
    solid = labels.reshape(labels.shape + (1,) * (3 - labels.ndim))
    image = vtk.vtkImageData()
    image.SetDimensions(*solid.shape)
    flat = numpy_support.numpy_to_vtk(solid.ravel(order="F"), deep=True)
    flat.SetName("labels")
    image.GetPointData().SetScalars(flat)
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, affine[row, column])
    writer = slicer.vtkTeemNRRDWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.SetIJKToRASMatrix(matrix)
    for number, (label, name) in enumerate(names.items()):
        writer.SetAttribute(f"Segment{number}_ID", f"Segment_{label}")
        writer.SetAttribute(f"Segment{number}_LabelValue", str(label))
        writer.SetAttribute(f"Segment{number}_Layer", "0")
        writer.SetAttribute(f"Segment{number}_Name", name)
    writer.Write()
    if not path.is_file():
        raise InputError(_("The regions cannot be written to '{path}'.").format(path=path), _("Is the disk full?"))
    return path
