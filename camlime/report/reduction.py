"""Volumes made small enough for a page: cropped, averaged over blocks, and in 16 or 8 bits."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 16 * 2**20
"""Of all volumes together, before compression, which hardly shrinks noise."""


@dataclass(frozen=True)
class Grid:
    """A part of a grid, at full or reduced resolution.

    Args:
        box: the voxels that are kept, one slice an axis.
        factors: how many voxels are averaged along each axis.
        affine: 4x4, voxel index of the result to RAS mm.
    """

    box: tuple[slice, ...]
    factors: tuple[int, ...]
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result, with three axes."""
        sizes = [-(-(part.stop - part.start) // factor) for part, factor in zip(self.box, self.factors, strict=True)]
        return (*sizes, *[1] * (3 - len(sizes)))

    def averaged(self, volume: NDArray[Any]) -> NDArray[np.float32]:
        """Mean of each block, ``(*S,)``; a block at the upper edge may be smaller."""
        values: NDArray[Any] = volume[self.box].astype(np.float32)
        for axis, factor in enumerate(self.factors):
            if factor > 1:
                starts = np.arange(0, values.shape[axis], factor)
                sizes = np.diff(np.append(starts, values.shape[axis])).astype(np.float32)
                shape = [-1 if a == axis else 1 for a in range(values.ndim)]
                values = np.add.reduceat(values, starts, axis=axis) / sizes.reshape(shape)
        return values

    def picked(self, labels: NDArray[Any]) -> NDArray[Any]:
        """The voxel in the middle of each block, for labels."""
        values = labels[self.box]
        for axis, factor in enumerate(self.factors):
            places = np.minimum(np.arange(0, values.shape[axis], factor) + factor // 2, values.shape[axis] - 1)
            values = values.take(places, axis=axis)
        return values


def reduced_grid(affine: NDArray[np.float64], box: tuple[slice, ...], most_voxels: int) -> Grid:
    """The grid over ``box``, with blocks averaged until it has at most ``most_voxels``.

    The axis whose voxels are the smallest in mm is reduced first, so that they become more alike.

    Example:
        >>> reduced_grid(np.diag([1.0, 1.0, 4.0, 1.0]), (slice(0, 8), slice(0, 8), slice(0, 4)), 64).factors
        (2, 2, 1)
    """
    sizes = np.array([part.stop - part.start for part in box])
    spacing = np.linalg.norm(affine[:3, : len(box)], axis=0)
    factors = np.ones(len(box), dtype=int)
    while np.prod(-(-sizes // factors)) > most_voxels:
        can = -(-sizes // factors) > 1
        factors[np.argmin(np.where(can, spacing * factors, np.inf))] += 1
    moved = affine.copy()
    moved[:3, : len(box)] = affine[:3, : len(box)] * factors
    corner = np.array([part.start + (factor - 1) / 2 for part, factor in zip(box, factors, strict=True)])
    moved[:3, 3] = affine[:3, 3] + affine[:3, : len(box)] @ corner
    return Grid(box, tuple(int(f) for f in factors), moved)


def box_of(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds all of a mask; everything if it is empty."""
    if not mask.any():
        return tuple(slice(0, n) for n in mask.shape)
    reached = [
        np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis))) for axis in range(mask.ndim)
    ]
    return tuple(slice(int(r[0]), int(r[-1]) + 1) for r in reached)


def packed(values: NDArray[Any], affine: NDArray[np.float64], *, kind: str) -> bytes:
    """A gzip-compressed NIfTI file, the same bytes each time.

    Args:
        values: ``(*S,)``; for colour ``(*S, 3)`` in [0, 1].
        affine: 4x4, voxel index to RAS mm.
        kind: ``grey`` (8 bits over the range of the values), ``map`` (16 bits over plus and minus the largest
            magnitude), ``labels`` (whole numbers), or ``colour`` (8 bits a channel).
    """
    shape = values.shape[:-1] if kind == "colour" else values.shape
    flat = (*shape, *[1] * (3 - len(shape)))
    slope, inter = 1.0, 0.0
    if kind == "colour":
        stored: NDArray[Any] = np.zeros(flat, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
        for name, channel in zip("RGB", np.moveaxis(np.rint(values * 255), -1, 0), strict=True):
            stored[name] = channel.reshape(flat)
    elif kind == "labels":
        stored = values.reshape(flat).astype(np.uint8 if values.max(initial=0) < 256 else np.int32)
    elif kind == "grey":
        low, high = float(values.min()), float(values.max())
        slope, inter = max(high - low, 1e-12) / 255, low
        stored = np.rint((values.reshape(flat) - low) / slope).astype(np.uint8)
    else:
        slope = (float(np.abs(values).max(initial=0.0)) or 1.0) / 32767
        stored = np.rint(values.reshape(flat) / slope).astype(np.int16)
    image = nib.Nifti1Image(stored, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    if kind in {"grey", "map"}:
        image.header.set_slope_inter(slope, inter)
    return gzip.compress(image.to_bytes(), 9, mtime=0)
