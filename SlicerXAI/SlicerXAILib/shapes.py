"""Where levels of evidence lie, cut out of their label maps: numpy alone, so that a thread can do it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camlime.levels import Level

SURFACE_VOXELS = 100_000
"""A surface is made from a grid of at most so many voxels around the level, which takes some hundredths of a second."""


@dataclass(frozen=True)
class Shape:
    """One level of a label map.

    Args:
        level: which.
        first: voxel index of the corner of the box that holds it, ``(3,)``.
        inside: bool, axes ``(i, j, k)`` of that box.
        voxels: how many.
        block: edges in voxels of the blocks that ``coarse`` is made of, ``(3,)``; 1 where the box is small.
        coarse: float32, the share of each block that belongs to the level, with a border of nothing around; its first
            block within the border begins at ``first``.
    """

    level: Level
    first: tuple[int, int, int]
    inside: np.ndarray
    voxels: int
    block: tuple[int, int, int]
    coarse: np.ndarray


def shapes_of(labels: np.ndarray, levels: tuple[Level, ...]) -> tuple[Shape, ...]:
    """The levels that occur in a label map, axes ``(i, j, k)``; other numbers are ignored.

    Example:
        >>> from camlime.levels import EVIDENCE_LEVELS
        >>> labels = np.zeros((4, 4, 4), np.uint8)
        >>> labels[1:3, 2, 3] = 1
        >>> [(shape.level.key, shape.first, shape.voxels) for shape in shapes_of(labels, EVIDENCE_LEVELS)]
        [('strong_for', (1, 2, 3), 2)]
    """
    found = []
    for level in levels:
        where = labels == level.label
        ends = [_ends(where.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        if None in ends:
            continue
        inside = np.asfortranarray(where[tuple(slice(first, last + 1) for first, last in ends)])
        block, coarse = _coarse(inside)
        i, j, k = (int(first) for first, _last in ends)
        found.append(Shape(level, (i, j, k), inside, int(np.count_nonzero(inside)), block, coarse))
    return tuple(found)


def _ends(any_at: np.ndarray) -> tuple[int, int] | None:
    at = np.flatnonzero(any_at)
    return (int(at[0]), int(at[-1])) if at.size else None


def _coarse(inside: np.ndarray) -> tuple[tuple[int, int, int], np.ndarray]:
    block = [1, 1, 1]
    size = np.array(inside.shape)
    while np.prod(-(-size // block)) > SURFACE_VOXELS:
        block[int(np.argmax(-(-size // block)))] += 1  # the longest axis first, so that blocks of a cube are cubes
    share = inside.astype(np.float32)
    for axis, edge in enumerate(block):
        if edge > 1:
            starts = np.arange(0, size[axis], edge)
            share = np.add.reduceat(share, starts, axis=axis)
    share /= np.float32(np.prod(block))
    i, j, k = block
    return (i, j, k), np.pad(share, 1)
