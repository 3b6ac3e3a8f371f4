"""Would another seed have shown the same? Region weights of two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from camlime.attribution import Attribution, FloatArray
from camlime.evidence.randomisation import rank_correlation

TOP = 10


@dataclass(frozen=True)
class Repeatability:
    """Two runs with different seeds on the same regions.

    It says nothing of whether either is right: with a strong prior two runs agree on a wrong answer just as well.

    Args:
        top: how many regions are the strongest.
        jaccard: of the sets of the strongest regions by magnitude: shared over all that are in either.
        spearman: rank correlation of the signed weights, each region weighted by the mean of its two magnitudes, so
            that the many regions of no importance do not count for much.
        passes_each: pass-equivalents of each run.
        of_the_map: one of the runs is the map that is shown; else both were made with a smaller budget.
    """

    top: int
    jaccard: float
    spearman: float
    passes_each: int
    of_the_map: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return asdict(self)

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Repeatability:
        """What :meth:`as_dict` wrote."""
        return Repeatability(**record)


def compare_runs(one: Attribution, other: Attribution, *, of_the_map: bool) -> Repeatability | None:
    """Compare two runs; ``None`` where a method has no region weights."""
    a, b = one.region_weights, other.region_weights
    if a is None or b is None or len(a) != len(b):
        return None
    top = min(TOP, max(len(a) // 2, 1))
    sets = [set(np.argsort(-np.abs(weights), kind="stable")[:top].tolist()) for weights in (a, b)]
    return Repeatability(
        top=top,
        jaccard=len(sets[0] & sets[1]) / len(sets[0] | sets[1]),
        spearman=rank_correlation(a, b, weights=_mean_magnitude(a, b)),
        passes_each=other.forward_passes + 2 * other.backward_passes,
        of_the_map=of_the_map,
    )


def _mean_magnitude(a: FloatArray, b: FloatArray) -> FloatArray:
    mean: FloatArray = (np.abs(a) + np.abs(b)) / 2
    return mean
