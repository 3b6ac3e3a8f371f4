"""Simulated models whose CAM is right, useless, in the wrong place or the opposite, while their answer is the same.

The network has two branches: one whose features a CAM is taken from, and one that makes up for it, so that their sum is
the wanted function of which regions are present, whatever the CAM shows. The image is 1 and the baseline 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camlime.methods.case import Case
from camlime.regions import Regions
from support.toy_cases import OfPresence, case_of

Array = NDArray[np.float64]
CAM_LAYER = "features"
CAMS = ("right", "useless", "permuted", "opposite")
LONG = 1 << 15
"""Pairs of masks of the long run, a hundred times what any map has."""


class Model(OfPresence):
    """A function of presences, by way of features that show ``shown`` (voxels) of it."""

    def __init__(self, regions: Regions, function: Callable[[Tensor], Tensor], shown: Tensor) -> None:
        super().__init__(regions, function)
        convolution = nn.Conv2d if regions.labels.ndim == 2 else nn.Conv3d
        self.features = convolution(1, 1, 1, bias=False)
        self.features.weight.data.fill_(1.0)
        self.register_buffer("shown", shown)

    def forward(self, x: Tensor) -> Tensor:
        seen = (self.features(x) * self.shown).flatten(1).sum(dim=1, keepdim=True).double()
        made_up_for = (x * self.shown).flatten(1).sum(dim=1, keepdim=True).double()
        return super().forward(x) + (seen - made_up_for)


def cubes(dimensions: int, *, edge: int = 2) -> Regions:
    """64 equal squares or cubes."""
    number = {2: 8, 3: 4}[dimensions]
    places = np.indices((number * edge,) * dimensions) // edge
    labels = np.ravel_multi_index(tuple(places), (number,) * dimensions) + 1
    return Regions(labels.astype(np.int32))


def simulated(
    function: Callable[[Tensor], Tensor], truth: Array, *, dimensions: int = 2, cam: str = "right", seed: int = 0
) -> Case:
    """A case with 64 regions whose log-odds are ``function`` of presences ``(N, 64)``.

    Args:
        function: of presences, float64.
        truth: shape ``(64,)``: the weights, which a right CAM shows.
        dimensions: 2 or 3.
        cam: one of :data:`CAMS`.
        seed: of the masks and of what a wrong CAM shows.
    """
    regions = cubes(dimensions)
    rng = np.random.default_rng([seed, 77])
    shown = {
        "right": truth,
        "useless": np.linalg.norm(truth) * rng.standard_normal(len(truth)) / np.sqrt(len(truth)),
        "permuted": rng.permutation(truth),
        "opposite": -truth,
    }[cam]
    voxels = torch.from_numpy((shown / regions.voxel_counts())[regions.labels - 1].astype(np.float32))
    image = torch.ones(1, *regions.labels.shape)
    return case_of(Model(regions, function, voxels), image, (regions,), seed=seed, batch_size=64)


def long_run(function: Callable[[Tensor], Tensor], d: int, seed: int = 0) -> Array:
    """Main effects ``(d,)`` from very many complementary pairs, asked directly."""
    rng = np.random.default_rng([seed, 99])
    signs = torch.from_numpy(2.0 * rng.integers(0, 2, size=(LONG, d)) - 1)
    with torch.no_grad():
        odd = (function((1 + signs) / 2) - function((1 - signs) / 2)) / 2
    found: Array = torch.linalg.solve(signs.T @ signs, 2 * signs.T @ odd).numpy()
    return found


def uneven_weights(d: int, rng: np.random.Generator) -> Array:
    """Of very different size, either sign."""
    found: Array = rng.standard_normal(d) * 10.0 ** rng.uniform(-1.5, 0, d)
    return found


def linear(d: int, seed: int) -> tuple[Callable[[Tensor], Tensor], Array]:
    """No interactions; the truth is in closed form."""
    weights = uneven_weights(d, np.random.default_rng([seed, 1]))
    slope = torch.from_numpy(weights)
    return lambda p: p @ slope, weights


def odd_interactions(d: int, seed: int) -> tuple[Callable[[Tensor], Tensor], Array]:
    """Third and fifth-order products of signs, of a third of the variance: in closed form they change no weight."""
    rng = np.random.default_rng([seed, 2])
    weights = uneven_weights(d, rng)
    slope = torch.from_numpy(weights)
    groups = [rng.choice(d, size=size, replace=False) for size in (3,) * 12 + (5,) * 4]
    sizes = rng.standard_normal(len(groups))
    sizes *= np.sqrt(0.5) * np.linalg.norm(weights / 2) / np.linalg.norm(sizes)

    def function(p: Tensor) -> Tensor:
        signs = 2 * p - 1
        products = [size * signs[:, group].prod(dim=1) for group, size in zip(groups, sizes, strict=True)]
        return p @ slope + torch.stack(products).sum(dim=0)

    return function, weights


def network(d: int, seed: int, kind: str) -> tuple[Callable[[Tensor], Tensor], Array]:
    """Two layers of tanh or ReLU, driven far into saturation; the truth is a long run."""
    rng = np.random.default_rng([seed, 3])
    hidden = 12
    first = torch.from_numpy(rng.standard_normal((hidden, d)) * 10.0 ** rng.uniform(-1, 0, d) * 1.2)
    shift = torch.from_numpy(rng.standard_normal(hidden)) - first.sum(dim=1) / 2
    last = torch.from_numpy(rng.standard_normal(hidden) * 2)
    act = {"tanh": torch.tanh, "relu": torch.relu}[kind]

    def function(p: Tensor) -> Tensor:
        return act(p @ first.T + shift) @ last

    return function, long_run(function, d, seed)


MODELS: dict[str, tuple[int, Callable[[int, int], tuple[Callable[[Tensor], Tensor], Array]]]] = {
    "linear": (2, linear),
    "odd interactions": (2, odd_interactions),
    "tanh, 2D": (2, lambda d, seed: network(d, seed, "tanh")),
    "ReLU, 3D": (3, lambda d, seed: network(d, seed, "relu")),
}
"""Dimensions, and a maker from the number of regions and a seed of function and truth."""
