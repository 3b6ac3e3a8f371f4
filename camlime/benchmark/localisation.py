r"""Does a map lie where an expert drew an outline? Four measures, each on the valid voxels alone.

With the map :math:`r`, the outline :math:`M` and its size :math:`K = |M|`:

- **pointing** (Zhang et al. 2018, doi 10.1007/s11263-017-1059-x): whether the largest value lies in :math:`M`; where
  several are largest, the share of them that does.
- **mass** (relevance mass accuracy, Arras et al. 2022, doi 10.1016/j.inffus.2021.11.008):
  :math:`\sum_{v \in M} r_v^+ / \sum_v r_v^+` of the positive part.
- **rank** (relevance rank accuracy, ibid.): share of the :math:`K` largest voxels that lie in :math:`M`. Voxels of
  equal value at the border count by their expected share under a random order.
- **auprc**: area under the precision-recall curve (average precision) of :math:`r` as a score for :math:`M`. A map that
  knows nothing has the **prevalence** :math:`K / n`.

A map must show what the model uses, not what resembles an outline: these are reported beside the removal test, not
instead of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEASURES = ("pointing", "mass", "rank", "auprc")


def localisation(
    values: NDArray[np.floating], mask: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> dict[str, float | None]:
    """The four measures of a map ``(*S,)``; ``mass`` is ``None`` where nothing in the map is positive.

    Args:
        values: the map.
        mask: the outline, with at least one valid voxel.
        valid: what padding did not make up.

    Example:
        >>> inside = np.array([False, True, True, False])
        >>> localisation(np.array([0.0, 2.0, 1.0, 1.0]), inside, np.ones(4, dtype=bool))["rank"]
        0.75
    """
    from sklearn.metrics import average_precision_score

    scores, inside = values[valid].astype(np.float64), mask[valid]
    positive = np.maximum(scores, 0.0)
    return {
        "pointing": float(inside[scores == scores.max()].mean()),
        "mass": float(positive[inside].sum() / positive.sum()) if positive.any() else None,
        "rank": rank_accuracy(scores, inside),
        "auprc": float(average_precision_score(inside, scores)),
    }


def rank_accuracy(scores: NDArray[np.float64], inside: NDArray[np.bool_]) -> float:
    """Expected share of the K largest scores ``(n,)`` that lie inside, K being the number of those inside."""
    size = int(inside.sum())
    threshold = np.partition(scores, len(scores) - size)[len(scores) - size]
    above, tied = scores > threshold, scores == threshold
    left = size - int(above.sum())
    return float((inside[above].sum() + left * inside[tied].mean()) / size)


def prevalence(mask: NDArray[np.bool_], valid: NDArray[np.bool_]) -> float:
    """Share of the valid voxels that lie in the outline."""
    return float(mask[valid].mean())
