"""What a wrong CAM costs the fusion: the same masked images with columns that belong to other regions.

The columns are permuted over the regions, which keeps their values and loses their place. Each has a partner that sees
exactly the same masked images and has no such columns, so that the difference is the columns' doing alone:

- ``fused-wrong-cam`` (CAM columns permuted, the masked gradient right) against ``fused-no-cam``;
- ``fused-wrong-columns`` (all of them permuted) against ``fused-no-columns``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from camlime.attribution import Attribution, FloatArray
from camlime.methods.case import Case
from camlime.methods.fused import GRADIENT_PAIRS, Fused
from camlime.methods.lime import Lime
from camlime.regions import Regions

CAM_PASSES = 3
"""Of the CAM columns: one forward pass and one backward pass, counted as two."""

GRADIENT_PASSES = 4 * GRADIENT_PAIRS
"""What the backward passes of the masked gradient cost."""

PAIRS = {"fused-wrong-cam": "fused-no-cam", "fused-wrong-columns": "fused-no-columns"}
"""Method with wrong columns, and its partner without."""


@dataclass(frozen=True)
class _Misplaced(Regions):
    """Regions that attribute what is summed over them to other regions."""

    order: tuple[int, ...] = ()

    def pool(self, voxels: NDArray[np.floating]) -> FloatArray:
        return super().pool(voxels)[list(self.order)]


class _WrongCams(Fused):
    """Fused whose CAM columns, and not its masked gradient, are permuted over the regions."""

    def _cam_maps(self, case: Case) -> tuple[str | None, dict[str, NDArray[np.floating]]]:
        layer, maps = super()._cam_maps(case)
        regions = case.regions[0]
        order, sizes = _order(case), regions.voxel_counts()
        return layer, {name: regions.paint(regions.pool(values)[order] / sizes) for name, values in maps.items()}


def explain(case: Case, budget: int, name: str, layer: str | None) -> Attribution:
    """Run one of the four on the case's first segmentation."""
    case = replace(case, regions=case.regions[:1])
    if name == "fused-no-columns":
        return Lime(budget=budget - CAM_PASSES - GRADIENT_PASSES).explain(case)
    if name == "fused-no-cam":
        return Fused(budget=budget - CAM_PASSES, cam_columns=()).explain(case)
    if name == "fused-wrong-cam":
        return _WrongCams(budget=budget, target_layer=layer).explain(case)
    first = case.regions[0]
    misplaced = _Misplaced(first.labels, first.names, first.origin, tuple(_order(case).tolist()))
    return Fused(budget=budget, target_layer=layer).explain(replace(case, regions=(misplaced,)))


def _order(case: Case) -> NDArray[np.int64]:
    return np.random.default_rng([case.seed, 5]).permutation(case.regions[0].count)
