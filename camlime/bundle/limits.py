"""Bounds on what a bundle may ask for: sizes in arguments, memory while a network is built, the grid that a step makes.

They are there so that a nonsensical or hostile size is an error that names it, not a machine that stands still.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

MAX_VOXELS = 2**30
"""Of an image that a transform makes: 4 GiB as float32."""

MAX_EDGE = 2**20
MAX_PARAMETERS = 2**31
"""Numbers that a network may hold while it is built, temporary ones included: 8 GiB as float32."""

MAX_STEPS = 500
"""Transforms in a preprocessing or postprocessing, compositions unfolded."""

_SIZES = ("size", "shape", "pad", "border", "repeats", "margin", "divisible")
_OTHER_LIMITS = {
    "k": 4096,
    "n": 65536,
    "zoom": 100,
    "scale_factor": 100,
    "upscale_factor": 100,
    "sigma": 1000,
    "radius": 200,
    "window_length": 65536,
    "num_bins": 65536,
    "to_onehot": 4096,
}
_COUNTS = (
    "num_layers",
    "num_res_units",
    "num_blocks",
    "block_config",
    "blocks",
    "blocks_down",
    "blocks_up",
    "layers",
    "depth",
    "depths",
    "num_cells",
)
MAX_BLOCKS = 1000
"""Of a network, one kind: modules without numbers take memory as well."""


class TooLarge(ValueError):  # noqa: N818 - a finding, turned into an error by the caller
    """An argument asks for something that is too large."""


def check_sizes(arguments: Mapping[str, Any]) -> None:
    """Look at the numbers among a target's arguments.

    Args:
        arguments: by name; what is not a number or a list of numbers is passed over.

    Raises:
        TooLarge: names the argument; also a type that is none of numbers, such as a million letters a voxel.

    Example:
        >>> check_sizes({"spatial_size": [96, 96, 96], "mode": "bilinear"})
    """
    for name, value in arguments.items():
        numbers = value if isinstance(value, (list, tuple)) else [value]
        if "dtype" in name and not all(_is_plain_type(n) for n in numbers):
            raise TooLarge(f"'{name}: {str(value)[:80]}' is not a plain type of numbers")
        if not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
            continue
        edges = [min(abs(float(n)), 1e30) for n in numbers]
        if name in _COUNTS and sum(edges) > MAX_BLOCKS:
            raise TooLarge(f"'{name}: {str(value)[:80]}' are more than {MAX_BLOCKS} parts of a network")
        sized = any(word in name for word in _SIZES)
        if (
            (sized and (math.prod(max(n, 1.0) for n in edges) > MAX_VOXELS or max(edges, default=0) > MAX_EDGE))
            or (name == "pixdim" and any(0 < n < 1e-3 for n in edges))
            or any(n > _OTHER_LIMITS.get(name, math.inf) for n in edges)
            or any(math.isnan(n) for n in edges if sized or name in _OTHER_LIMITS)
        ):
            raise TooLarge(f"'{name}: {str(value)[:80]}' would make an image that is too large")


def _is_plain_type(name: object) -> bool:
    """Whether a type's name is one of numbers of at most 16 bytes, or none that NumPy knows, such as ``torch.half``."""
    if isinstance(name, (dict, list, tuple)):
        return False
    if not isinstance(name, str):
        return True
    try:
        found = np.dtype(name)
    except (TypeError, ValueError, SyntaxError):
        return True
    return found.kind in "biufc" and found.itemsize <= 16 and found.names is None and not found.shape


def check_grid(shape: Sequence[int]) -> None:
    """Refuse a grid, channels included, that would not fit into memory.

    Raises:
        TooLarge: says how large it is.
    """
    if math.prod(int(size) for size in shape) > MAX_VOXELS:
        raise TooLarge(f"it would make an image of {' x '.join(map(str, shape))}, which is too large")


class AllocationLimit(TorchDispatchMode):
    """Inside, torch refuses to make more new numbers than :data:`MAX_PARAMETERS` in all, before it takes their memory.

    Raises:
        TooLarge: what is built is too large.
    """

    def __init__(self, limit: int = MAX_PARAMETERS) -> None:
        super().__init__()
        self._left = limit

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        sizes = args[0] if args and func.overloadpacket in _FACTORIES else None
        if isinstance(sizes, (list, tuple, torch.Size)) and all(isinstance(size, int) for size in sizes):
            self._left -= math.prod(sizes)
            if self._left < 0:
                raise TooLarge(f"a tensor of {' x '.join(map(str, sizes))} is too large")
        return func(*args, **(kwargs or {}))


_FACTORIES = frozenset(
    getattr(torch.ops.aten, name) for name in ("empty", "zeros", "ones", "full", "rand", "randn", "empty_strided")
)
