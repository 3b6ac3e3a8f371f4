"""From segmentations of the scene to label maps on the scan's voxels, which the worker takes as regions or masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
from slicer.i18n import tr as _

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


@dataclass(frozen=True)
class LabelJob:
    """All segments of a segmentation on their way to a label map file; labels are 1, 2, ... in the segments' order.

    Args:
        labels: whole numbers, ``(i, j, k)`` or ``(a, b)``; where segments overlap, the later one wins.
        names: of the segments, in their order.
        affine: 4x4, index to RAS mm in the volume's own frame.
        source: the segmentation's name, for messages.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    affine: np.ndarray
    source: str

    def write(self, path: Path) -> Path:
        """Write a ``.seg.nrrd`` with the names of the segments that occur; touches no node, so that a thread may do it.

        Raises:
            InputError: no segment covers a voxel.
        """
        occur = [int(n) for n in np.flatnonzero(np.bincount(self.labels.ravel(order="K"))) if n]
        if not occur:
            raise InputError(
                _("No segment of '{name}' has a voxel in the volume.").format(name=self.source),
                _("Choose another segmentation, or none."),
            )
        solid = self.labels.reshape(self.labels.shape + (1,) * (3 - self.labels.ndim)).astype("<i2", copy=False)
        hidden = path.with_name(f".{path.name}.part")
        with hidden.open("wb") as file:
            file.write(self._header(solid.shape, occur).encode("utf-8"))
            file.write(solid.tobytes(order="F"))
        return hidden.replace(path)

    def _header(self, shape: tuple[int, ...], occur: list[int]) -> str:
        """As the NRRD format wants it, and Slicer's names of segments."""

        def vector(numbers: np.ndarray) -> str:
            return f"({','.join(repr(float(number)) for number in numbers)})"

        lines = [
            "NRRD0004",
            "type: short",
            "dimension: 3",
            "space: right-anterior-superior",
            f"sizes: {' '.join(map(str, shape))}",
            f"space directions: {' '.join(vector(self.affine[:3, axis]) for axis in range(3))}",
            "kinds: domain domain domain",
            "endian: little",
            "encoding: raw",
            f"space origin: {vector(self.affine[:3, 3])}",
        ]
        for number, label in enumerate(occur):
            name = self.names[label - 1].replace("\\", "\\\\").replace("\n", "\\n")
            lines += [
                f"Segment{number}_ID:=Segment_{label}",
                f"Segment{number}_LabelValue:={label}",
                f"Segment{number}_Layer:=0",
                f"Segment{number}_Name:={name}",
            ]
        return "\n".join(lines) + "\n\n"


def label_job(segmentation_node: Any, volume: Any, plane: Plane | None = None) -> LabelJob:
    """All segments on a volume's voxels, or on those of a picture, to be written by :meth:`LabelJob.write`."""
    segmentation = segmentation_node.GetSegmentation()
    ids = segment_ids(segmentation_node)
    labels, affine = _exported(segmentation_node, ids, volume), affine_of(volume)
    if plane is not None:
        labels, affine = plane_of(labels, plane), plane_affine(affine, plane)
    names = tuple(segmentation.GetSegment(one).GetName() for one in ids)
    return LabelJob(labels, names, affine, segmentation_node.GetName())


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
