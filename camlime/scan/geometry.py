"""Where voxels lie: affines, spacings, and the box of voxels around a point.

An affine is 4x4 and takes a voxel index (i, j, k) to RAS millimetres: x grows to the patient's right, y to the front,
z to the head. DICOM and ITK speak LPS, with x and y negated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from camlime.errors import RequestError, ScanError

LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Takes LPS millimetres to RAS millimetres, and back."""

CROP_MARGIN = 2
"""Voxels that a crop has beyond the field of view, so that an interpolation at its rim has neighbours."""

MAX_CROP_VOXELS = 2**29

MIN_SPACING = 1e-5
"""mm: ten nanometres. Whatever is finer is a header in another unit, or damaged."""

MAX_EXTENT = 1e4
"""mm: no scanned volume is longer than ten metres, and no voxel."""

MAX_POSITION = 1e6
"""mm: no scan lies a kilometre from its origin."""

_UNIT = "repair the header: are its numbers in mm?"
_MIN_VOLUME = 1e-4  # of the unit cube that the three axis directions span: below, two axes are as good as parallel


def affine_from_itk(spacing: Sequence[float], direction: Sequence[float], origin: Sequence[float]) -> np.ndarray:
    """Turn ITK's spacing, direction (row-major) and origin, all LPS, of a 2D or 3D image into a 4x4 RAS affine."""
    n = len(spacing)
    affine = np.eye(4)
    affine[:n, :n] = np.asarray(direction, dtype=float).reshape(n, n) * np.asarray(spacing, dtype=float)
    affine[:n, 3] = origin
    lps_to_ras: np.ndarray = LPS_RAS @ affine
    if n == 2:
        lps_to_ras[:, 2] = (0, 0, 1, 0)
    return lps_to_ras


def checked_affine(affine: object, what: str, *, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Return the affine as a 4x4 float64 array, or raise :class:`ScanError` where it places no volume in space.

    Args:
        affine: 4x4, voxel index to RAS mm.
        what: it is of, for messages.
        shape: of the volume, if its extent is to be checked as well. Pictures and single slices may have any: one mm a
            pixel stands for a spacing that nobody knows.
    """
    try:
        matrix = np.array(affine, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ScanError(f"{what}: the affine is not a matrix of numbers") from error
    if matrix.shape != (4, 4):
        raise ScanError(f"{what}: the affine has shape {matrix.shape}", hint="give a 4x4 matrix, voxel index to RAS mm")
    if not np.isfinite(matrix).all():
        raise ScanError(f"{what}: the affine holds NaN or Inf", hint="repair the header's orientation")
    if not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise ScanError(f"{what}: the last row of the affine is {matrix[3].tolist()}, not 0 0 0 1")
    check_numbers(matrix[:3, :3], matrix[:3, 3], what)
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if (lengths < MIN_SPACING).any():
        axis = int(np.argmin(lengths))
        if lengths[axis] == 0:
            raise ScanError(
                f"{what}: the voxel spacing along axis {axis} is zero, so the affine is singular",
                hint="repair the spacing in the header",
            )
        raise ScanError(
            f"{what}: the voxel spacing along axis {axis} is {lengths[axis]:.3g} mm, which no scan has", hint=_UNIT
        )
    if len(shape) == 3 and min(shape) > 1 and (lengths * shape > MAX_EXTENT).any():
        axis = int(np.argmax(lengths * shape))
        raise ScanError(
            f"{what}: {shape[axis]} voxels of {lengths[axis]:.3g} mm along axis {axis} make "
            f"{lengths[axis] * shape[axis] / 1000:.3g} m, which no scan has",
            hint=_UNIT,
        )
    if abs(np.linalg.det(matrix[:3, :3] / lengths)) < _MIN_VOLUME:
        raise ScanError(
            f"{what}: the affine is singular, two voxel axes point the same way", hint="repair the header's orientation"
        )
    return matrix


def check_numbers(spacing: npt.ArrayLike, position: npt.ArrayLike, what: str) -> None:
    """Raise :class:`ScanError` where spacings, or what a voxel's place is made of, lie beyond any scan.

    To be asked before anything is calculated with them: the length of a step of 1e200 mm overflows.
    """
    largest, farthest = np.abs(spacing).max(), np.abs(position).max()
    if largest > MAX_EXTENT:
        raise ScanError(f"{what}: the voxel spacing is {largest:.3g} mm, which no scan has", hint=_UNIT)
    if farthest > MAX_POSITION:
        raise ScanError(
            f"{what}: the first voxel lies {farthest:.3g} mm from the origin, which no scan does", hint=_UNIT
        )


def spacing_of(affine: np.ndarray, dims: int) -> tuple[float, ...]:
    """Return the voxel spacing in mm of the first ``dims`` axes (the lengths of the affine's columns)."""
    return tuple(float(v) for v in np.linalg.norm(affine[:3, :dims], axis=0))


def apply(affine: np.ndarray, points: object) -> np.ndarray:
    """Apply a 4x4 affine to points of shape (..., 3)."""
    array = np.asarray(points, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != 3:
        raise ValueError(f"points must have shape (..., 3), not {array.shape}")
    moved: np.ndarray = array @ affine[:3, :3].T + affine[:3, 3]
    return moved


def ras_bounds(affine: np.ndarray, box: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the (2, 3) least and greatest RAS mm over the extents of the voxels in ``box`` (stop excluded)."""
    ranges = [*box, *[(0, 1)] * (3 - len(box))]
    corners = np.array(np.meshgrid(*[(start - 0.5, stop - 0.5) for start, stop in ranges])).reshape(3, -1).T
    points = apply(affine, corners)
    return np.stack([points.min(axis=0), points.max(axis=0)])


def crop_radius(affine: np.ndarray, size_mm: float | Sequence[float], dims: int) -> tuple[int, ...]:
    """Return how many voxels a crop reaches to either side of its middle voxel, for each of its ``dims`` axes.

    The field of view is a box of ``size_mm`` whose sides run along the RAS axes. In voxels it is a parallelepiped; its
    half extent along voxel axis a is ``sum_b |inv(M)[a, b]| size_b / 2``. Half a voxel is added because the point may
    lie that far from the middle voxel's centre, and :data:`CROP_MARGIN` for interpolation. The result depends on the
    affine and the size alone, so that crops around any two points of a scan have one shape.

    Raises:
        RequestError: if the size is not positive, or the crop would not fit in memory.
    """
    size = np.asarray(size_mm, dtype=np.float64)
    if size.ndim == 0:
        size = np.full(3, float(size))
    elif size.shape == (2,) and dims == 2:
        size = np.append(size, 0.0)
    if size.shape != (3,) or not np.isfinite(size).all() or (size[:dims] <= 0).any() or (size < 0).any():
        raise RequestError(
            f"the field of view {size_mm} is not a size in mm", hint="give one positive number, or one for each axis"
        )
    half = np.abs(np.linalg.inv(affine[:3, :3])) @ (size / 2)
    radius = np.ceil(half[:dims] + 0.5 - 1e-6) + CROP_MARGIN
    if np.prod(2 * radius + 1) > MAX_CROP_VOXELS:
        shape = "x".join(f"{2 * r + 1:.0f}" for r in radius)
        raise RequestError(f"a field of view of {size_mm} mm takes {shape} voxels", hint="ask for a smaller one")
    return tuple(int(r) for r in radius)
