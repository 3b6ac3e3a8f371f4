r"""Do two seeds say the same, and how far is a run from the limit of very many passes?

Agreement between seeds is worth nothing without the error to the limit beside it: a strong prior makes two runs agree
on a wrong answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from camlime.attribution import FloatArray
from camlime.evidence.repeatability import jaccard, number_of_strongest, spearman, strongest

TIE = 0.05
"""Regions whose magnitude is within this share of the largest of the last one in the top ten are ties with it."""


def agreement(runs: Sequence[FloatArray]) -> dict[str, float] | None:
    """Means over all pairs of runs ``(d,)`` on the same regions; ``None`` for fewer than two.

    Returns:
        ``jaccard`` of the ten strongest by magnitude (half of the regions where there are fewer than 20),
        ``jaccard_ties_aside`` (see :func:`jaccard_ties_aside`), and ``spearman``, in which each region counts by its
        mean magnitude.
    """
    pairs = list(itertools.combinations(runs, 2))
    if not pairs:
        return None
    top = number_of_strongest(len(runs[0]))
    return {
        "jaccard": float(np.mean([jaccard(a, b, top) for a, b in pairs])),
        "jaccard_ties_aside": float(np.mean([jaccard_ties_aside(a, b, top) for a, b in pairs])),
        "spearman": float(np.mean([spearman(a, b) for a, b in pairs])),
    }


def jaccard_ties_aside(a: FloatArray, b: FloatArray, top: int) -> float:
    """As :func:`jaccard`, but a region that is only in one set by a near-tie does not count against the agreement.

    A strong region of one run is missed by the other only if its magnitude there is lower than that of the other's last
    strong region by more than 5 % of the other's largest. With :math:`m` the mean number missed each way, the index is
    :math:`(k - m) / (k + m)`, which without ties is the Jaccard index of two sets of size :math:`k`.
    """
    missed = 0
    for own, other in ((a, b), (b, a)):
        size = np.abs(other)
        last = np.sort(size)[-top]
        missed += sum(size[region] < last - TIE * size.max() for region in strongest(own, top))
    mean = missed / 2
    return float((top - mean) / (top + mean))


def nrmse(weights: FloatArray, limit: FloatArray) -> float | None:
    r"""Error relative to the limit, :math:`|b - b^*| / |b^*|`; ``None`` where the limit is zero."""
    size = float(np.linalg.norm(limit))
    return float(np.linalg.norm(weights - limit)) / size if size else None


def coverage(weights: FloatArray, std: FloatArray, limit: FloatArray, factor: float) -> float:
    """Share of the regions whose 95 % interval, ``factor`` standard errors to either side, holds the limit."""
    return float(np.mean(np.abs(weights - limit) <= factor * std))
