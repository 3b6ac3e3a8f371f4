"""A volume seen as a stack of slices, held as a bundle's training images were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from torch import Tensor

from camlime.bundle.slice_settings import PLANES
from camlime.errors import RequestError
from camlime.overview.units import PICTURE_FILES
from camlime.scan import Scan

NATIVE = "native"
"""The plane that the series was acquired in."""

AS_DISPLAYED: Mapping[str, str] = {"axial": "LP", "coronal": "LI", "sagittal": "PI"}
"""Where the columns and rows of an image grow to, as radiologists are shown it: the patient's right on the left, and
the face to the left in a sagittal slice."""

_ACROSS = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal", "L": "sagittal", "R": "sagittal"}
_SAME = 1.01


@dataclass(frozen=True, eq=False)
class SliceStack:
    """Slices along one axis of a scan's own grid: nothing is resampled, an oblique scan stays oblique.

    Args:
        image: ``(C, X, Y, N)`` float32: X and Y as the bundle wants them held, N the slices in the scan's own order.
        affine: 4x4, index (x, y, n) to RAS mm.
        plane: the anatomical plane nearest to the slices.
        axis: of the scan, along which slices are counted, 0 to 2.
        scan: what was cut.
        native: whether this is the plane that the series was acquired in.
    """

    image: Tensor
    affine: NDArray[np.float64]
    plane: str
    axis: int
    scan: Scan
    native: bool

    def __len__(self) -> int:
        return int(self.image.shape[-1])

    @property
    def step_mm(self) -> float:
        """Distance from one slice to the next."""
        return float(np.linalg.norm(self.affine[:3, 2]))

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Edges of a pixel along X and along Y."""
        x, y = np.linalg.norm(self.affine[:3, :2], axis=0)
        return float(x), float(y)

    def is_constant(self, n: int) -> bool:
        """Whether slice ``n`` has one value everywhere: there is nothing to see."""
        pixels = self.image[..., n]
        return bool(pixels.min() == pixels.max())

    def checked(self, n: int) -> int:
        """The index of a slice that there is.

        Raises:
            RequestError: there is none.
        """
        if 0 <= n < len(self):
            return n
        source = self.scan.source
        if len(self) > 1:
            hint = f"slices are 0 to {len(self) - 1}"
            raise RequestError(f"there is no {self.plane} slice {n} in {source}", hint=hint)
        has = "is a picture, which has one slice" if _is_picture(self.scan) else f"has one {self.plane} slice"
        raise RequestError(f"there is no slice {n}: {source} {has}", hint="it is slice 0, and need not be named")

    def slice(self, n: int) -> Scan:
        """Slice ``n`` as a 2D scan that lies where it lies in the patient.

        Raises:
            ScanError: it has one value everywhere.
        """
        x, y, step, origin = self.affine[:3].T
        normal = np.cross(x, y)
        normal *= np.sign(normal @ step) / np.linalg.norm(normal)
        affine = np.eye(4)
        affine[:3] = np.stack([x, y, normal, origin + n * step], axis=1)
        pixels = self.image[..., n].contiguous()
        whole = self.scan
        return Scan.from_array(pixels, affine, source=whole.source, series_uid=whole.series_uid, header=whole.header)

    def centre_ras(self, n: int) -> NDArray[np.float64]:
        """RAS mm of the middle of slice ``n``, shape ``(3,)``."""
        wide, high = self.image.shape[1:3]
        point: NDArray[np.float64] = self.affine[:3] @ np.array([(wide - 1) / 2, (high - 1) / 2, n, 1.0])
        return point


def cut(scan: Scan, plane: str = NATIVE, held: Mapping[str, str] = AS_DISPLAYED) -> SliceStack:
    """Cut a scan into slices.

    Args:
        scan: 3D, or 2D: one slice, taken as it is.
        plane: ``axial``, ``coronal``, ``sagittal``: along the scan's axis nearest to it; or ``native``: along the axis
            with the largest distance between voxels, the last of equals.
        held: by plane, where X and Y point in the patient; a plane left out is held as displayed.

    Raises:
        RequestError: there is no such plane, a 2D image is to be cut in another plane than its own, or a picture, which
            lies in no patient, in any that has a name.

    Example:
        >>> scan = Scan.from_array(np.random.rand(1, 4, 5, 6), np.diag([1.0, 1.0, 3.0, 1.0]))
        >>> stack = cut(scan, "axial")
        >>> len(stack), stack.plane, stack.native, stack.pixel_mm
        (6, 'axial', True, (1.0, 1.0))
        >>> stack.affine[:3, :2].T.tolist()  # X grows to the left, Y to the back
        [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]
    """
    if plane not in (*PLANES, NATIVE):
        raise RequestError(f"there is no plane '{plane}'", hint=f"planes: {', '.join(PLANES)}, {NATIVE}")
    if len(scan.shape) == 2:
        return _single(scan, plane)
    codes = aff2axcodes(scan.affine)
    own = _native_axis(scan)
    axis = own if plane == NATIVE else next(i for i, code in enumerate(codes) if _ACROSS[code] == plane)
    found = _ACROSS[codes[axis]]
    wanted = {**AS_DISPLAYED, **held}[found]
    image, affine = scan.image.as_tensor(), scan.affine
    order, flips = [], []
    for letter in wanted:
        voxel_axis = next(i for i, code in enumerate(codes) if _ACROSS[code] == _ACROSS[letter])
        order.append(voxel_axis)
        if codes[voxel_axis] != letter:
            flips.append(voxel_axis)
    for voxel_axis in flips:
        affine[:3, 3] += (scan.shape[voxel_axis] - 1) * affine[:3, voxel_axis]
        affine[:3, voxel_axis] *= -1
    image = image.flip([1 + voxel_axis for voxel_axis in flips]) if flips else image
    order.append(axis)
    return SliceStack(
        image=image.permute(0, *[1 + voxel_axis for voxel_axis in order]),
        affine=np.column_stack([affine[:, order], affine[:, 3]]),
        plane=found,
        axis=axis,
        scan=scan,
        native=axis == own,
    )


def plane_of(scan: Scan, axis: int) -> str:
    """The anatomical plane of the slices along one of a scan's axes, which :func:`cut` cuts along that axis.

    Example:
        >>> plane_of(Scan.from_array(np.random.rand(1, 4, 5, 6), np.eye(4)), 0)
        'sagittal'
    """
    return _ACROSS[aff2axcodes(scan.affine)[axis]]


def cut_labels(labels: NDArray[np.int32], stack: SliceStack) -> NDArray[np.int32]:
    """A label map on the scan's voxels, ``(I, J, K)``, as the stack's slices hold it: ``(X, Y, N)``."""
    order = [*(axis for axis in _turned(stack)[0]), stack.axis]
    return labels[_turned(stack)[1]].transpose(order)


def _turned(stack: SliceStack) -> tuple[list[int], tuple[slice, ...]]:
    """The scan's axes that X and Y go along, and the step along each axis of the scan."""
    between = np.rint(np.linalg.inv(stack.scan.affine)[:3, :3] @ stack.affine[:3, :2])
    steps = [slice(None)] * 3
    order = []
    for column in between.T:
        axis = int(np.argmax(np.abs(column)))
        order.append(axis)
        steps[axis] = slice(None, None, int(np.sign(column[axis])))
    return order, tuple(steps)


def _single(scan: Scan, plane: str) -> SliceStack:
    found = _ACROSS[aff2axcodes(scan.affine)[2]]
    if plane != NATIVE and _is_picture(scan):
        raise RequestError(
            f"{scan.source} is a picture, which lies in no patient and has no {plane} slices", hint="leave --plane out"
        )
    if plane not in (NATIVE, found):
        raise RequestError(f"{scan.source} is one {found} image, which has no {plane} slices", hint="leave --plane out")
    return SliceStack(scan.image.as_tensor()[..., None], scan.affine, found, 2, scan, native=True)


def _is_picture(scan: Scan) -> bool:
    return len(scan.shape) == 2 and scan.source.suffix.lower() in PICTURE_FILES


def _native_axis(scan: Scan) -> int:
    if 1 in scan.shape:
        return max(i for i, size in enumerate(scan.shape) if size == 1)
    longest = max(scan.spacing)
    return max(i for i, mm in enumerate(scan.spacing) if mm * _SAME >= longest)
