"""Bring a map from one grid to another by way of the patient."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mode = Literal["linear", "nearest"]


def resample(
    volume: NDArray[Any],
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    target_affine: NDArray[np.float64],
    *,
    mode: str = "linear",
) -> NDArray[Any]:
    """Resample a volume on the grid ``affine`` to the grid ``target_affine`` of the given shape.

    Args:
        volume: shape ``(*S)``, 2D or 3D.
        affine: 4x4, its voxel index to RAS mm.
        shape: of the target grid, 2D or 3D.
        target_affine: 4x4, the target's voxel index to RAS mm.
        mode: ``linear`` or ``nearest``.

    Returns:
        Shape ``shape``, the volume's type; 0 beyond the volume's outer voxel edges, and in the outer half of an edge
        voxel that voxel's value.

    Example:
        >>> resample(np.ones((2, 2, 2)), np.eye(4), (1, 1, 3), np.eye(4)).tolist()
        [[[1.0, 1.0, 0.0]]]
    """
    source = volume.reshape(*volume.shape, *[1] * (3 - volume.ndim))
    target = (*shape, *[1] * (3 - len(shape)))
    to_source = np.asarray(np.linalg.inv(affine) @ target_affine, dtype=np.float64)
    result = np.zeros(target, dtype=volume.dtype)
    to_target = np.asarray(np.linalg.inv(to_source), dtype=np.float64)
    box = _reach(source.shape, to_target, target)
    part = tuple(slice(low, high) for low, high in box)
    if any(low >= high for low, high in box):
        return result.reshape(shape)
    offset = to_source[:3, :3] @ np.array([low for low, _ in box]) + to_source[:3, 3]
    size = tuple(high - low for low, high in box)
    sampled = ndimage.affine_transform(
        source, to_source[:3, :3], offset, output_shape=size, order=1 if mode == "linear" else 0, mode="nearest"
    )
    index = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in size], indexing="ij"), axis=-1)
    position = index @ to_source[:3, :3].T + offset
    inside = np.all((position >= -0.5) & (position < np.array(source.shape) - 0.5), axis=-1)
    result[part] = np.where(inside, sampled, 0)
    return result.reshape(shape)


def _reach(source: tuple[int, ...], to_target: NDArray[np.float64], target: tuple[int, ...]) -> list[tuple[int, int]]:
    """The range of indices on each target axis that the source can reach: a crop is a small part of a whole CT."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in source], indexing="ij")).reshape(3, -1)
    reached = to_target[:3, :3] @ corners + to_target[:3, 3:]
    low = np.clip(np.floor(reached.min(axis=1)), 0, target).astype(int)
    high = np.clip(np.ceil(reached.max(axis=1)) + 1, 0, target).astype(int)
    return [(int(a), int(b)) for a, b in zip(low, high, strict=True)]
