"""What wrong hints cost the fusion: the same masked images with columns that belong to other regions.

The columns are permuted over the regions, which keeps their values and loses their place. Each variant has a partner
that is fitted to exactly the same answers without those columns, so that the difference is their doing alone:

- ``fused-wrong-cam`` (CAM columns permuted, masked gradient and profile right) against ``fused-no-cam``;
- ``fused-wrong-columns`` (CAMs and derivatives permuted) against ``fused-no-columns``, both with the masks of the
  permuted derivatives.
"""

from __future__ import annotations

import numpy as np

from camlime.attribution import Attribution, FloatArray
from camlime.methods.budget import split_pairs
from camlime.methods.cam import input_grid_maps
from camlime.methods.case import Case
from camlime.methods.designs import supports_intervals
from camlime.methods.fused import CAM_COLUMNS, Fused, pooled
from camlime.methods.profiled_model import Derivatives, fit_profiled
from camlime.methods.sampling import PairSampler

CAM_PASSES = 3
"""Of the CAM columns: one forward pass and one backward pass, counted as two."""

PAIRS = {"fused-wrong-cam": "fused-no-cam", "fused-wrong-columns": "fused-no-columns"}
"""Method with wrong columns, and its partner without."""

WITHOUT_DERIVATIVES = ("fused-wrong-columns", "fused-no-columns")


def explain(case: Case, budget: int, name: str, layer: str | None) -> Attribution:
    """Run one of the four on the case's first segmentation, with fused's masked images at this budget."""
    regions = case.regions[0]
    _, maps = input_grid_maps(case, CAM_COLUMNS, target_layer=layer)
    gradient_pairs = Fused(budget=budget).gradient_pairs
    (pairs,) = split_pairs(budget, [regions.count], spent=CAM_PASSES + 4 * gradient_pairs)
    sampler = PairSampler(case, regions, pairs=pairs, method=name)
    right = sampler.run_with_gradient(min(gradient_pairs, pairs)).derivatives(regions, 0)
    order = np.random.default_rng([case.seed, 5]).permutation(regions.count)
    wrong = Derivatives(right.mean[order], right.square[order])
    sampler.prefer((wrong if name in WITHOUT_DERIVATIVES else right).square)
    sampler.run(sampler.pairs_left)
    cams = pooled(maps, regions.pool)
    permuted = None if cams is None else cams[order]
    hints: dict[str, tuple[FloatArray | None, Derivatives | None]] = {
        "fused-wrong-cam": (permuted, right),
        "fused-no-cam": (None, right),
        "fused-wrong-columns": (permuted, wrong),
        "fused-no-columns": (None, None),
    }
    posterior = fit_profiled(sampler.sums, *hints[name]).posterior
    return Attribution(
        name,
        regions.paint(posterior.mean),
        region_weights=posterior.mean,
        region_std=posterior.std,
        parameters={
            "intervals_supported": supports_intervals(regions.count, sampler.sums.n),
            "interval_factor": posterior.interval_factor,
        },
    )
