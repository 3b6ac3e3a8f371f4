"""When it is enough: a sequential rule on the posterior, with a stated confidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from camlime.methods.designs import block_pairs, supports_intervals
from camlime.methods.evidence_model import Posterior, RunningSums

if TYPE_CHECKING:
    from camlime.methods.sampling import PairSampler


@dataclass(frozen=True)
class StoppingRule:
    """Stop when every weight is known well enough and the strongest regions are told from the rest.

    Args:
        relative_error: every standard error is at most this share of the largest weight.
        top: the strongest regions that must be separated from the rest.
        confidence: of that separation, one-sided; regions that differ by less than ``relative_error`` of the largest
            weight are ties, which no number of passes need tell apart.
        most_passes: bound on the passes, if certainty does not come.
    """

    relative_error: float = 0.05
    top: int = 10
    confidence: float = 0.95
    most_passes: int = 8192

    def satisfied(self, posterior: Posterior) -> bool:
        """Whether the posterior is certain enough."""
        size = np.abs(posterior.mean)
        largest = float(size.max(initial=0.0))
        if largest == 0:
            return True
        if posterior.std.max() > self.relative_error * largest:
            return False
        top = min(self.top, len(size) - 1)
        order = np.argsort(-size)
        inside, outside = order[top - 1], order[top]
        gap = size[inside] - size[outside]
        signs = np.sign(posterior.mean[[inside, outside]])
        block = posterior.covariance[np.ix_([inside, outside], [inside, outside])] * np.outer(signs, signs)
        spread = np.sqrt(max(block[0, 0] + block[1, 1] - 2 * block[0, 1], 0.0))
        return bool(gap < self.relative_error * largest or gap >= norm.ppf(self.confidence) * spread)

    def run(self, sampler: PairSampler, fit: Callable[[RunningSums], Posterior]) -> tuple[bool, str]:
        """Sample until satisfied or the sampler's pairs are spent: (False if cancelled, the reason for stopping)."""
        step = max(block_pairs(len(sampler.sums.xty)) // 2, 32)
        while sampler.pairs_left > 0:
            if not sampler.run(step):
                return False, "cancelled"
            if supports_intervals(len(sampler.sums.xty), sampler.sums.n) and self.satisfied(fit(sampler.sums)):
                return True, (
                    f"certain enough: errors within {self.relative_error:.0%} of the largest weight, "
                    f"top {self.top} separated at {self.confidence:.0%} confidence or tied"
                )
        return True, f"the bound of {self.most_passes} passes was reached before certainty"
