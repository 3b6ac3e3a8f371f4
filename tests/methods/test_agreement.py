"""The badge on constructed cases, and how often chance earns one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from support.rows import paired_rows

from camlime.methods.agreement import compare
from camlime.methods.evidence_model import RunningSums

Array = NDArray[np.float64]
D = 50


def answered(weights: Array, n: int, *, noise: float = 0.5, seed: int = 0) -> RunningSums:
    rng = np.random.default_rng(seed)
    sums = RunningSums.empty(len(weights))
    for rows in paired_rows(len(weights), n, rng):
        sums.add(rows / 2, rows / 2 @ weights + noise * rng.standard_normal(len(rows)))
    return sums


def scattered(seed: int) -> Array:
    """A few strong regions, many weak ones."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(D) * np.where(rng.random(D) < 0.2, 3.0, 0.3)


@pytest.mark.parametrize("n", [32, 64, 256])
@pytest.mark.parametrize(
    ("slope", "scatter", "badge"),
    [(1.0, 0.3, "concordant"), (-1.0, 0.3, "conflict"), (0.0, 1.0, "CAM uninformative")],
)
def test_badges(n: int, slope: float, scatter: float, badge: str) -> None:
    weights = scattered(0)
    noise = np.random.default_rng(3).standard_normal(D) * np.abs(weights).mean()
    noise -= weights * (noise @ weights) / (weights @ weights)
    agreement = compare(answered(weights, n), slope * weights + scatter * noise, cam="gradcam")
    assert agreement.badge == badge
    assert agreement.interval[0] <= agreement.weight <= agreement.interval[1]
    if slope:
        assert np.sign(agreement.weight) == slope
        assert agreement.log_evidence_gain > 1
    else:
        assert agreement.interval[0] < 0 < agreement.interval[1]


def test_a_flat_or_empty_cam_and_constant_answers_are_uninformative() -> None:
    sums = answered(scattered(0), 64)
    for column in (np.zeros(D), np.full(D, np.nan)):
        assert compare(sums, column, cam="gradcam").badge == "CAM uninformative"
    silent = RunningSums(sums.xtx, np.zeros(D), 0.0, sums.n)
    agreement = compare(silent, scattered(1), cam="gradcam")
    assert agreement.badge == "CAM uninformative"
    assert np.isnan(agreement.sign_agreement)
    json.dumps(agreement.as_dict(), allow_nan=False)


def test_chance_seldom_earns_a_badge() -> None:
    """Random columns, 200 cases below and above one block: at most 5 % of either badge (expected: 2.5 %)."""
    badges = []
    for seed in range(100):
        weights = scattered(seed)
        column = np.random.default_rng(500 + seed).standard_normal(D)
        badges += [compare(answered(weights, n, seed=seed), column, cam="gradcam").badge for n in (32, 128)]
    assert badges.count("conflict") <= 10
    assert badges.count("concordant") <= 10


def test_sign_agreement_and_overlap_by_hand() -> None:
    weights = np.array([5.0, 4.0, 3.0, -2.0, 0.01, 0.0, 0.02, -1.0])
    column = np.array([9.0, -1.0, 8.0, -3.0, -5.0, -5.0, -5.0, 7.0])
    agreement = compare(answered(weights, 512, noise=0.01), column, cam="gradcam", top=3)
    assert agreement.sign_agreement == pytest.approx(3 / 5)  # of regions 0, 1, 2, 3, 7
    assert agreement.top_overlap == pytest.approx(2 / 3)  # 0, 1, 2 against 0, 2, 7
    assert compare(answered(weights, 64), column, cam="gradcam", top=10).top == 4
    assert compare(answered(weights, 64), np.ones(8), cam="gradcam").top_overlap == 0
