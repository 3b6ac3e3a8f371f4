"""From nodes of the scene to what the worker takes: arrays in files, points and affines in the volume's own frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _

from camlime.worker.requests import LONGEST_HEADER
from SlicerXAILib.problems import InputError


@dataclass(frozen=True)
class Plane:
    """One slice of a volume, for bundles that look at pictures.

    Args:
        axis: the voxel axis (0 i, 1 j, 2 k) that the slice is perpendicular to.
        index: its number on this axis.
    """

    axis: int
    index: int


def affine_of(volume: Any) -> np.ndarray:
    """4x4, voxel index to RAS mm in the volume's own frame: parent transforms are left out, as the worker wants it."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


_HEADER = {
    "modality": "0008,0060",
    "series_description": "0008,103E",
    "protocol_name": "0018,1030",
    "contrast_agent": "0018,0010",
}
"""Tags of all that is told of a header, by the worker's names: what tells a sequence, not whose it is."""


def header_of(volume: Any) -> dict[str, str]:
    """What the DICOM header of a volume's first image says of its sequence; empty where Slicer has none.

    An array has no header of its own: without this, the engine could not know a series that its bundle is not for.
    """
    images = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not images or database is None or not database.isOpen:
        return {}
    values = {name: database.instanceValue(images[0], tag).replace("\0", " ") for name, tag in _HEADER.items()}
    told = {name: " ".join(value.split())[:LONGEST_HEADER] for name, value in values.items()}
    return {name: value for name, value in told.items() if value}


def pixels_of(volume: Any) -> np.ndarray:
    """The volume's voxels without a copy, axes ``(channel, i, j, k)``.

    Raises:
        InputError: the volume is empty.
    """
    if volume.GetImageData() is None or 0 in volume.GetImageData().GetDimensions():
        raise InputError(_("The volume '{name}' is empty.").format(name=volume.GetName()), _("Choose another volume."))
    array = slicer.util.arrayFromVolume(volume)
    return array.T[None] if array.ndim == 3 else array.T


def plane_of(array: np.ndarray, plane: Plane) -> np.ndarray:
    """One slice of ``(..., i, j, k)``: ``(..., a, b)``, the other two axes in their order."""
    return np.take(array, plane.index, axis=array.ndim - 3 + plane.axis)


def plane_affine(affine: np.ndarray, plane: Plane) -> np.ndarray:
    """4x4 that takes ``(a, b, 0, 1)`` of a slice to RAS mm; the third column is the step to the next slice.

    Example:
        >>> plane_affine(np.diag([2.0, 3.0, 4.0, 1.0]), Plane(axis=1, index=5))[:3].tolist()
        [[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 15.0], [0.0, 4.0, 0.0, 0.0]]
    """
    others = [axis for axis in range(3) if axis != plane.axis]
    out = np.eye(4)
    out[:3, :3] = affine[:3, [*others, plane.axis]]
    out[:3, 3] = affine[:3, 3] + plane.index * affine[:3, plane.axis]
    return out


def save_array(path: Path, array: np.ndarray) -> Path:
    """Write a ``.npy`` under a hidden name, then rename it: a file that is there is whole.

    An array that is contiguous in Fortran's order, such as a transposed view of Slicer's, is written without a copy.
    """
    hidden = path.with_name(f".{path.name}.part")
    with hidden.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    return hidden.replace(path)


class ScanFiles:
    """Writes volumes to files for the worker, each state of a volume once.

    Args:
        folder: where to; whoever made it removes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._known: dict[tuple[Any, ...], Path] = {}

    def job(self, volume: Any, plane: Plane | None, channels: int | None = None) -> ScanJob:
        """What has to be done to hand a volume over; its ``write`` may run in a thread.

        Args:
            volume: a scalar or vector volume.
            plane: one slice of it, or all.
            channels: how many the bundle takes: a fourth one, of opacity, is left out where it takes three.

        Raises:
            InputError: the volume is empty, or it has no such slice.
        """
        pixels = pixels_of(volume)
        if channels == 3 and pixels.shape[0] == 4:
            pixels = pixels[:3]
        affine = affine_of(volume)
        if plane is not None:
            count = pixels.shape[1 + plane.axis]
            if not 0 <= plane.index < count:
                raise InputError(
                    _("There is no slice {index}: the volume has {count} on this axis.").format(
                        index=plane.index, count=count
                    ),
                    _("Choose a slice from 0 to {last}.").format(last=count - 1),
                )
            pixels, affine = plane_of(pixels, plane), plane_affine(affine, plane)
        key = (volume.GetID(), volume.GetImageData().GetMTime(), plane, pixels.shape)
        path = self._known.get(key)
        if path is None:
            self._count += 1
            path = self._folder / f"scan-{self._count}.npy"
            self._known[key] = path
        return ScanJob(path, pixels, affine, volume.GetName(), header_of(volume))


@dataclass(frozen=True)
class ScanJob:
    """A volume on its way to a file.

    Args:
        path: of the file.
        pixels: ``(channel, i, j, k)`` or ``(channel, a, b)``.
        affine: 4x4 to RAS mm in the volume's own frame.
        name: of the volume.
        header: what its DICOM header says of the sequence; empty where there is none.
    """

    path: Path
    pixels: np.ndarray
    affine: np.ndarray
    name: str
    header: Mapping[str, str]

    def write(self) -> Mapping[str, Any]:
        """Write the file if it is not there; returns the field ``scan`` of a request."""
        if not self.path.is_file():
            save_array(self.path, self.pixels)
        field = {"array": str(self.path), "affine_ras": self.affine.tolist(), "name": self.name}
        return {**field, "header": dict(self.header)} if self.header else field
