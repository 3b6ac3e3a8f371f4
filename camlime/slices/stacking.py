"""Values of single slices as one volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def stacked(
    by_slice: Mapping[int, NDArray[Any]], shape: tuple[int, int, int], first: int, *, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """One slice after the other, 0 where there is none.

    Args:
        by_slice: values ``(X, Y)`` by the slice's index.
        shape: of the volume.
        first: slice at index 0 of it.
        dtype: of its values.

    Example:
        >>> stacked({4: np.ones((1, 2))}, (1, 2, 3), 3).tolist()
        [[[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    volume = np.zeros(shape, dtype=dtype)
    for n, values in by_slice.items():
        volume[..., n - first] = values
    return volume
