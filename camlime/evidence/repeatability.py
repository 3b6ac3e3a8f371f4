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
    """Two runs with different seeds on the same regions, those of the first segmentation.

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
    top = number_of_strongest(len(a))
    return Repeatability(
        top=top,
        jaccard=jaccard(a, b, top),
        spearman=spearman(a, b),
        passes_each=other.forward_passes + 2 * other.backward_passes,
        of_the_map=of_the_map,
    )


def number_of_strongest(regions: int) -> int:
    """Ten, or half of the regions where there are fewer than 20."""
    return min(TOP, max(regions // 2, 1))


def strongest(weights: FloatArray, top: int) -> set[int]:
    """The ``top`` regions of largest magnitude; the lower number first where two are equal."""
    return set(np.argsort(-np.abs(weights), kind="stable")[:top].tolist())


def jaccard(a: FloatArray, b: FloatArray, top: int) -> float:
    """Shared over all of the ``top`` strongest regions of two runs ``(d,)``."""
    one, two = strongest(a, top), strongest(b, top)
    return len(one & two) / len(one | two)


def spearman(a: FloatArray, b: FloatArray) -> float:
    """Rank correlation of two runs ``(d,)`` in which each region counts by its mean magnitude."""
    return rank_correlation(a, b, weights=(np.abs(a) + np.abs(b)) / 2)
