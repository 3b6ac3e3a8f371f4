"""Plain ways to combine two finished maps, as baselines for the fusion: mean, geometric mean, rank mean."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from camlime.attribution import Attribution

Rule = Literal["mean", "geometric", "rank"]
RULES: tuple[Rule, ...] = ("mean", "geometric", "rank")


def combine(rule: Rule, cam: Attribution, lime: Attribution, valid: NDArray[np.bool_]) -> Attribution:
    r"""Combine a CAM and a LIME map, each first scaled to largest magnitude 1 over the valid voxels.

    - ``mean``: :math:`(a + b)/2`.
    - ``geometric``: :math:`\sqrt{ab}` where both are positive, :math:`-\sqrt{ab}` where both are negative, 0 where
      they differ.
    - ``rank``: mean of the voxels' ranks, each from -1 (lowest) to 1 (highest), ties averaged.

    Args:
        rule: which.
        cam: one parent.
        lime: the other, on the same grid.
        valid: shape ``(*S,)``; elsewhere the result is 0.

    Returns:
        An attribution without a standard deviation: these rules know none.
    """
    a, b = (_unit(parent.values, valid) for parent in (cam, lime))
    if rule == "mean":
        values = (a + b) / 2
    elif rule == "geometric":
        values = np.where(np.sign(a) == np.sign(b), np.sign(a) * np.sqrt(np.abs(a * b)), 0.0)
    else:
        values = np.zeros(a.shape)
        values[valid] = (_ranks(a[valid]) + _ranks(b[valid])) / 2
    return Attribution(
        method=rule,
        values=np.where(valid, values, 0.0).astype(np.float32),
        forward_passes=cam.forward_passes + lime.forward_passes,
        backward_passes=cam.backward_passes + lime.backward_passes,
        seconds=cam.seconds + lime.seconds,
        target_layer=cam.target_layer,
        parameters={"of": [cam.method, lime.method]},
    )


def _unit(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    largest = float(np.abs(values[valid]).max(initial=0.0))
    return np.where(valid, values, 0.0).astype(float) / (largest or 1.0)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks = rankdata(values)
    return 2 * (ranks - 1) / max(len(values) - 1, 1) - 1
