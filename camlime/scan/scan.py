"""The scan: an image and where it lies in the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import MetaKeys, SpaceKeys

from camlime.errors import RequestError, ScanError
from camlime.scan import geometry
from camlime.scan.reading import read_pixels


@dataclass(frozen=True, eq=False)
class Scan:
    """An image with its place in the patient; made by :meth:`read` or :meth:`from_array`, which check it.

    Coordinates are RAS mm throughout (x grows to the patient's right, y to the front, z to the head); indices are
    continuous voxel indices, whole numbers at voxel centres. 2D images lie in a plane of a 3D space, their points have
    three coordinates too.

    Attributes:
        image: ``(C, *S)`` float32 MONAI MetaTensor on the CPU, ``S`` 2D or 3D, axes in nibabel's order (i, j, k);
            ``image.affine`` is the 4x4 that takes a voxel index to RAS mm (2D: the third axis is a unit vector).
        source: what was read, a file or a folder.
        series_uid: the DICOM series instance UID, or None.
        inside: for each spatial axis the range of indices ``(start, stop)`` that were really scanned; None where all
            were. Only a crop that reaches beyond its scan has voxels (edge padding) outside this box.
        header: what the DICOM header says of the sequence, from whoever gave an array without its file (names as in
            :mod:`camlime.sequence`); None where nobody said.
        notes: what the file does not say of where the image lies and had to be made up, in sentences.

    Example:
        >>> scan = Scan.from_array(np.arange(60.0).reshape(1, 3, 4, 5), np.diag([2.0, 2.0, 3.0, 1.0]))
        >>> scan.shape, scan.spacing
        ((3, 4, 5), (2.0, 2.0, 3.0))
        >>> scan.voxel_to_ras([1, 0, 2])
        array([2., 0., 6.])
    """

    image: MetaTensor
    source: Path
    series_uid: str | None = None
    inside: tuple[tuple[int, int], ...] | None = None
    header: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str | Path, *, series: str | None = None) -> Scan:
        """Read NIfTI, NRRD, MetaImage, a DICOM series, or a PNG, JPEG, TIFF or BMP picture.

        NIfTI goes through nibabel (the sform wins over the qform; metres and micrometres become mm), NRRD, MetaImage
        and DICOM through SimpleITK, and pictures through Pillow. All agree on voxel order: the same volume saved in any
        format has the same RAS point for the same value, and the same array unless the format stores it another way
        round. Rescale slope and intercept are applied.

        DICOM slices are stacked along their normal, by ImagePositionPatient and not by file name. The affine is
        measured from the positions, so a tilted gantry gives a sheared one. The gaps between slices have to agree
        within 5 % (a uniform gap larger than the slice thickness is fine): nothing is interpolated silently.

        A picture's first axis is its columns (to the right), its second its rows (downwards), as MONAI's ``PILReader``
        has it. It lies nowhere in a patient; by convention its affine is the identity: pixel (i, j) lies at RAS
        (i, j, 0), one mm a pixel. Print resolutions (dpi) and EXIF rotations are not used. Alpha is dropped, palettes
        are expanded, 16 bits are kept.

        Args:
            path: a file, or a folder that holds DICOM files (searched with its sub-folders). A single DICOM file
                stands for its series, whose other files are looked for beside it.
            series: the series instance UID to read, needed where a folder holds several.

        Returns:
            A scan with finite values that are not all the same, and an affine that can be inverted.

        Raises:
            ScanError: whatever is wrong with the file, its header or its values.
        """
        pixels = read_pixels(Path(path), series=series)
        read = cls.from_array(pixels.array, pixels.affine, source=path, series_uid=pixels.series_uid)
        return replace(read, notes=pixels.notes)

    @classmethod
    def from_array(
        cls,
        array: Any,
        affine: Any,
        *,
        source: str | Path = "array",
        series_uid: str | None = None,
        header: Mapping[str, str] | None = None,
    ) -> Scan:
        """Make a scan from an array in memory, with the same checks as :meth:`read`.

        Args:
            array: ``(C, *S)``, real numbers, ``S`` 2D or 3D, an array or a tensor. Not copied where it already is
                contiguous float32: do not change it afterwards.
            affine: 4x4, voxel index to RAS mm.
            source: a name for messages and reports.
            series_uid: the DICOM series instance UID, if there is one.
            header: what its DICOM header says of the sequence, if that is known.

        Raises:
            ScanError: if values are not finite, all the same or not real, an axis is empty, or the affine is singular.

        Example:
            >>> Scan.from_array(np.eye(4)[None], np.eye(4)).image.shape
            torch.Size([1, 4, 4])
        """
        what = str(source)
        values = _as_numpy(array)
        matrix = geometry.checked_affine(affine, what, shape=values.shape[1:])
        values = _checked_values(values, what)
        meta = {
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_AFFINE: matrix.copy(),
            MetaKeys.SPATIAL_SHAPE: np.array(values.shape[1:]),
            MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
            "filename_or_obj": what,
        }
        image = MetaTensor(torch.from_numpy(values), affine=torch.from_numpy(matrix), meta=meta)
        return cls(image=image, source=Path(source), series_uid=series_uid, header=header)

    @property
    def shape(self) -> tuple[int, ...]:
        """The spatial shape ``S``, channels left out."""
        return tuple(self.image.shape[1:])

    @property
    def channels(self) -> int:
        """The number of channels."""
        return int(self.image.shape[0])

    @property
    def affine(self) -> np.ndarray:
        """4x4 float64, voxel index to RAS mm."""
        return np.array(self.image.affine.numpy(), dtype=np.float64)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel spacing in mm, one number for each spatial axis."""
        return geometry.spacing_of(self.affine, len(self.shape))

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3): least and greatest RAS mm that the scanned voxels reach, their extents included."""
        return geometry.ras_bounds(self.affine, self._inside)

    def ras_to_voxel(self, point: Any) -> np.ndarray:
        """Turn RAS mm, shape (..., 3), into continuous voxel indices, shape (..., 3)."""
        return geometry.apply(np.linalg.inv(self.affine), point)

    def voxel_to_ras(self, index: Any) -> np.ndarray:
        """Turn continuous voxel indices, shape (..., 3), into RAS mm, shape (..., 3)."""
        return geometry.apply(self.affine, index)

    def covers(self, points_ras: Any) -> np.ndarray:
        """Tell which points lie in a scanned voxel, its extent of half a voxel to either side included.

        Padding of a crop does not count as scanned. A 2D image is one voxel thick.

        Args:
            points_ras: RAS mm, shape (..., 3).

        Returns:
            bool array of shape (...).
        """
        index = self.ras_to_voxel(points_ras)
        starts, stops = np.array([*self._inside, *[(0, 1)] * (3 - len(self.shape))]).T
        tolerance = 1e-6  # of a voxel: a point on the very edge stays inside whatever the last digit of the inverse
        within = (index >= starts - 0.5 - tolerance) & (index <= stops - 0.5 + tolerance)
        return np.asarray(within.all(axis=-1))

    def crop(
        self,
        center_ras: Sequence[float] | np.ndarray,
        size_mm: float | Sequence[float],
        *,
        further: Sequence[int] = (0, 0, 0),
    ) -> Scan:
        """Cut out a box around a point, so that no more than this has to be resampled or kept.

        The box has an odd number of voxels on each axis, and its middle voxel is the one nearest the point. It holds
        a field of view of ``size_mm`` along the **RAS** axes around the point, however oblique the scan lies, and two
        voxels beyond it for interpolation. Where it reaches beyond the scan, the nearest scanned voxel is repeated,
        so that the point stays in the middle; :meth:`covers` tells those voxels from scanned ones.

        Args:
            center_ras: RAS mm, shape (3,), inside the scan.
            size_mm: the field of view in mm: one number, or one for each of R, A, S.
            further: so many voxels more on each axis, at its end where positive, at its start where negative: the
                image's middle then lies half as many voxels away from the middle voxel.

        Returns:
            A scan with an image of its own; ``source``, ``series_uid``, ``header`` and ``notes`` are kept, the affine
            is moved along.

        Raises:
            RequestError: if the point lies outside the scan or the size is no size.

        Example:
            >>> scan = Scan.from_array(np.arange(1000.0).reshape(1, 10, 10, 10), np.eye(4))
            >>> small = scan.crop((2.2, 5, 7), 3)
            >>> small.shape, small.voxel_to_ras([4, 4, 4])
            ((9, 9, 9), array([2., 5., 7.]))
        """
        center = np.asarray(center_ras, dtype=np.float64)
        if center.shape != (3,) or not np.isfinite(center).all():
            raise RequestError(f"{center_ras} is not a point", hint="give three finite numbers: R, A and S in mm")
        if not self.covers(center):
            raise self._outside(center)
        dims = len(self.shape)
        radius = geometry.crop_radius(self.affine, size_mm, dims)
        box = np.array(self._inside)
        middle = np.clip(np.rint(self.ras_to_voxel(center)[:dims]).astype(int), box[:, 0], box[:, 1] - 1)

        picks, inside = [], []
        first = middle - np.array(radius) + np.minimum(further[:dims], 0)
        count = 2 * np.array(radius) + 1 + np.abs(further[:dims])
        for axis in range(dims):
            start, stop = self._inside[axis]
            wanted = first[axis] + np.arange(count[axis])
            index = torch.from_numpy(wanted.clip(start, stop - 1))
            picks.append(index.reshape([-1 if a == axis else 1 for a in range(dims)]))
            inside.append((max(0, start - int(wanted[0])), min(len(wanted), stop - int(wanted[0]))))
        pick: Any = (slice(None), *picks)
        values = self.image.as_tensor()[pick]

        affine = self.affine
        corner = np.zeros(3)
        corner[:dims] = first
        affine[:3, 3] = self.voxel_to_ras(corner)
        meta = {key: value for key, value in self.image.meta.items() if key != MetaKeys.AFFINE}
        meta[MetaKeys.SPATIAL_SHAPE] = np.array(values.shape[1:])
        image = MetaTensor(values, affine=torch.from_numpy(affine), meta=meta)
        padded = any(part != (0, n) for part, n in zip(inside, count, strict=True))
        return Scan(image, self.source, self.series_uid, tuple(inside) if padded else None, self.header, self.notes)

    @property
    def _inside(self) -> tuple[tuple[int, int], ...]:
        return self.inside or tuple((0, n) for n in self.shape)

    def _outside(self, center: np.ndarray) -> RequestError:
        low, high = self.bounds
        reach = ", ".join(
            f"{name} {least:.1f} to {most:.1f}" for name, least, most in zip("RAS", low, high, strict=True)
        )
        flipped = center * (-1, -1, 1)
        hint = "give a point in RAS mm that lies in the scan"
        if self.covers(flipped):
            hint = (
                f"({_mm(flipped)}) does lie inside: the point seems to be in LPS (DICOM, ITK); "
                "pass it with --point-lps or negate x and y"
            )
        return RequestError(
            f"the point ({_mm(center)}) mm RAS is outside {self.source}, which spans {reach}", hint=hint
        )


def _mm(point: np.ndarray) -> str:
    return ", ".join(f"{value:.1f}" for value in point)


def _as_numpy(array: Any) -> np.ndarray:
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        array = array.as_tensor() if isinstance(array, MetaTensor) else array
        return np.asarray(array.numpy())
    return np.asarray(array)


def _checked_values(array: np.ndarray, what: str) -> np.ndarray:
    """Return ``(C, *S)`` contiguous float32 values that can be explained, or raise ScanError."""
    if array.dtype.kind not in "biuf":
        kind = "complex numbers" if array.dtype.kind == "c" else f"values of type {array.dtype}"
        raise ScanError(f"{what} holds {kind}", hint="save real numbers, for instance the magnitude as float32")
    if array.ndim not in (3, 4):
        raise ScanError(
            f"{what}: an array of shape {array.shape} is not (channels, *space)", hint="space has two or three axes"
        )
    if 0 in array.shape:
        raise ScanError(f"{what} is empty: its shape is {array.shape[1:]} with {array.shape[0]} channel(s)")
    with np.errstate(over="ignore", invalid="ignore"):  # too large for float32 becomes Inf, which is reported below
        values = np.ascontiguousarray(array, dtype=np.float32)
    if not values.flags.writeable:
        values = values.copy()  # torch does not know read-only memory
    finite = np.isfinite(values)
    if not finite.all():
        where = np.unravel_index(int(np.argmin(finite)), values.shape)
        place = ", ".join(str(int(i)) for i in where[1:])
        channel = f" of channel {int(where[0])}" if values.shape[0] > 1 else ""
        bad = finite.size - int(np.count_nonzero(finite))
        raise ScanError(
            f"{what}: {bad} of {finite.size} values are NaN or Inf, the first at voxel ({place}){channel}",
            hint="replace them, for instance with the background value, and save the image again",
        )
    if values.min() == values.max():
        raise ScanError(
            f"{what} is constant: every voxel is {values.flat[0]:g}",
            hint="there is nothing to explain",
        )
    return values
