"""Maps that know nothing of the model: random, the centre, the intensity, and the map itself in the wrong place.

A map is judged against copies of *itself*, mirrored and shifted round the image (the toroidal shift of spatial
statistics, Lotwick and Silverman 1982): a copy has the map's values, its smoothness, its region sizes and its signs,
and only the place is lost. Permuting the weights of single regions, or voxels, would break a map's large patches into
crumbs, and crumbs remove less: even a map in the wrong place would win against them. Shifts work alike for every kind
of map, and for user-given anatomy, where few regions have few permutations.

Copies that lie nearly where the map lies say nothing, so a shift is at least a quarter of the longest edge, in mm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from camlime.bundle.model_input import ModelInput

FEWEST_COPIES = 19
"""With fewer, the 95th percentile of the copies is beyond the largest."""

LEAST_SHIFT = 0.25
"""Of the longest edge of the valid box."""

Map = NDArray[np.float32]


def control_maps(model_input: ModelInput, seed: int) -> dict[str, Map]:
    """Maps ``(*S,)``: ``random`` (each voxel for itself), ``centre`` (Gaussian in mm), ``intensity`` (channels' mean).

    Only the order of a map's values matters, so neither the Gaussian's width nor the image's units do.
    """
    shape = model_input.spatial_shape
    rng = np.random.default_rng([seed, 1])
    extent = np.array(shape) * np.array(model_input.spacing)
    distance = np.zeros(shape)
    for axis, (size, step) in enumerate(zip(shape, model_input.spacing, strict=True)):
        offset = (np.arange(size) - (size - 1) / 2) * step
        distance = distance + (offset**2).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return {
        "random": rng.random(shape).astype(np.float32),
        "centre": np.exp(-distance / (2 * (extent.max() / 4) ** 2)).astype(np.float32),
        "intensity": model_input.image.numpy().mean(axis=0),
    }


def shifted_copy(values: Map, valid: NDArray[np.bool_], spacing: Sequence[float], rng: np.random.Generator) -> Map:
    """The map ``(*S,)`` mirrored along random axes and shifted round the box of its valid voxels, at random.

    Padding is first filled from the nearest valid voxel, so that no copy has a hole where none was.

    Example:
        >>> values, valid = np.arange(8, dtype=np.float32), np.ones(8, dtype=bool)
        >>> sorted(shifted_copy(values, valid, (1.0,), np.random.default_rng(0)).tolist()) == values.tolist()
        True
    """
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(valid))
    if not valid.all():
        nearest = ndimage.distance_transform_edt(~valid, sampling=spacing, return_distances=False, return_indices=True)
        values = values[tuple(nearest)]
    inside = values[box]
    mirrored = tuple(axis for axis in range(inside.ndim) if rng.random() < 0.5)
    copy = values.copy()
    copy[box] = np.roll(np.flip(inside, mirrored), _shift(inside.shape, spacing, rng), tuple(range(inside.ndim)))
    return copy


def _shift(shape: Sequence[int], spacing: Sequence[float], rng: np.random.Generator) -> tuple[int, ...]:
    """Evenly drawn among the shifts round a box that move it far enough, the shorter way round, in mm."""
    size, step = np.array(shape), np.array(spacing)
    least = LEAST_SHIFT * float((size * step).max()) if size.max() > 1 else 0.0
    while True:
        shift = rng.integers(0, size)
        moved = np.minimum(shift, size - shift) * step
        if math.hypot(*moved) >= least:
            return tuple(int(s) for s in shift)


def copies_within(passes: int, passes_each: int) -> int:
    """The most copies of 19, 39, ..., 199 for that many passes; 0 if they do not suffice for 19.

    With these numbers a map without relation to the model exceeds their 95th percentile in exactly 5 % of cases.
    """
    affordable = min(passes // passes_each, 199)
    return 20 * ((affordable + 1) // 20) - 1 if affordable >= FEWEST_COPIES else 0


def percentile_95(of_copies: Sequence[float]) -> float:
    """What a map must exceed so that a map without relation to the model does so in at most 5 % of cases.

    The ``ceil(0.95 (N + 1))``-th smallest of N, the map itself being one more draw (Phipson and Smyth 2010, doi
    10.2202/1544-6115.1585); the largest of 19.
    """
    return float(sorted(of_copies)[math.ceil(0.95 * (len(of_copies) + 1) - 1e-9) - 1])
