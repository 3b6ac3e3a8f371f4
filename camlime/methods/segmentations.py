"""From weights by region, over one or several segmentations, to a map with a standard deviation at each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlime.methods.evidence_model import Posterior, RunningSums
from camlime.regions import Regions


@dataclass(frozen=True)
class SegmentationResult:
    """The weights of one segmentation and the sums that they came from."""

    regions: Regions
    posterior: Posterior
    sums: RunningSums

    @property
    def explained_share(self) -> float:
        """Share of the answers' mean square that the weights explain, in [0, 1]; in sample, so no proof of anything."""
        if self.sums.yty == 0:
            return 1.0
        mean = self.posterior.mean
        residual = self.sums.yty - 2 * mean @ self.sums.xty + mean @ self.sums.xtx @ mean
        return float(np.clip(1 - residual / self.sums.yty, 0, 1))


def average_over_segmentations(
    results: Sequence[SegmentationResult],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation at each voxel, both ``(*S,)``.

    The variance is the mean of the weights' variances plus the variance of the weights between segmentations: a voxel
    whose region changes its weight with the region's borders is uncertain, however many masks were used.
    """
    weights = np.stack([result.regions.paint(result.posterior.mean) for result in results])
    variances = np.stack([result.regions.paint(result.posterior.std**2) for result in results])
    return weights.mean(axis=0), np.sqrt(variances.mean(axis=0) + weights.var(axis=0))
