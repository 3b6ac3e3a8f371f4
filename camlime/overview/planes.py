"""Axial, coronal and sagittal slices in radiological convention: the patient's right on the viewer's left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

NAMES = ("sagittal", "coronal", "axial")
"""By the RAS axis that a plane is perpendicular to."""

_LETTERS = (("A", "P", "S", "I"), ("R", "L", "S", "I"), ("R", "L", "A", "P"))
_ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
_OBLIQUE = np.cos(np.radians(10))
_RASTER = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Plane:
    """One slice through a grid.

    Args:
        title: its name and where it lies.
        axis: the RAS axis, or the one nearest to it, that it is perpendicular to.
        index: which slice, on the grid brought to RAS order.
        size_mm: width and height.
        cross_mm: the point of interest, from the left and from the top.
        letters: at the left, right, top and bottom edge; ``None`` where not known.
    """

    title: str
    axis: int
    index: int
    size_mm: tuple[float, float]
    cross_mm: tuple[float, float]
    letters: tuple[str, str, str, str] | None


class Slicer:
    """Cuts maps on one grid into slices through a point.

    Args:
        affine: 4x4, voxel index to RAS mm; an oblique grid is cut along its own axes, named by the nearest
            anatomical ones.
        shape: 2D or 3D.
        point_ras: RAS mm, the point that all slices go through.
        in_patient: whether the grid lies in a patient; a picture is shown as it is stored, without letters.

    Example:
        >>> slicer = Slicer(np.diag([1.0, 1.0, 4.0, 1.0]), (4, 5, 2), (0.0, 0.0, 4.0))
        >>> [plane.title for plane in slicer.planes], slicer.planes[1].size_mm
        (['axial, S 4.0 mm', 'coronal, A 0.0 mm', 'sagittal, R 0.0 mm'], (4.0, 8.0))
    """

    def __init__(
        self, affine: NDArray[np.float64], shape: Sequence[int], point_ras: Sequence[float], *, in_patient: bool = True
    ) -> None:
        self._flat = len(shape) == 2
        grid = (*shape, 1) if self._flat else tuple(shape)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        point = np.linalg.inv(affine) @ [*point_ras, 1.0]
        if not in_patient:
            affine = _RASTER @ np.diag([*spacing, 1.0])
        self._orientation = nib.orientations.io_orientation(affine)
        self._shape = grid
        ras = affine @ nib.orientations.inv_ornt_aff(self._orientation, grid)
        size = np.array(self.to_ras_order(np.zeros(grid)).shape)
        index = np.rint(np.linalg.inv(ras) @ affine @ point)[:3].astype(int)
        self._index = np.clip(index, 0, size - 1)
        self._size = size
        self._spacing = np.linalg.norm(ras[:3, :3], axis=0)
        directions = np.abs(np.diag(ras)[:3]) / self._spacing
        self._oblique = bool((directions < _OBLIQUE).any())
        self._point = np.asarray(point_ras, dtype=float)
        self._in_patient = in_patient
        axes = (int(self._orientation[2, 0]),) if self._flat else (2, 1, 0)
        self.planes = tuple(self._plane(axis) for axis in axes)

    def to_ras_order(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Axes swapped and flipped so that they run to the right, the front and the head as nearly as they can."""
        return nib.orientations.apply_orientation(volume.reshape(self._shape), self._orientation)

    def cut(self, volume: NDArray[Any], plane: Plane) -> NDArray[Any]:
        """The slice of a volume ``(*S,)``, rows from the top, columns from the viewer's left."""
        return np.take(self.to_ras_order(volume), plane.index, axis=plane.axis)[::-1, ::-1].T

    def _plane(self, axis: int) -> Plane:
        across, down = (a for a in range(3) if a != axis)
        steps = self._spacing
        cross = [float((self._size[a] - 1 - self._index[a] + 0.5) * steps[a]) for a in (across, down)]
        return Plane(
            title=self._title(axis),
            axis=axis,
            index=int(self._index[axis]),
            size_mm=(float(self._size[across] * steps[across]), float(self._size[down] * steps[down])),
            cross_mm=(cross[0], cross[1]),
            letters=_LETTERS[axis] if self._in_patient else None,
        )

    def _title(self, axis: int) -> str:
        if not self._in_patient:
            return ""
        where = self._point[axis]
        tilt = " (oblique)" if self._oblique else ""
        return f"{NAMES[axis]}{tilt}, {_ENDS[axis][int(where >= 0)]} {abs(where):.1f} mm"
