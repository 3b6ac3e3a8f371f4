"""Localisation against closed forms, and against the slow obvious way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from camlime.benchmark.localisation import localisation, prevalence, rank_accuracy


def slowly(scores: np.ndarray, inside: np.ndarray) -> float:
    """Mean over all orders that the scores allow of the share of the first K that lie inside."""
    size, found = int(inside.sum()), []
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            found.append(inside[list(order[:size])].mean())
    return float(np.mean(found))


@pytest.mark.parametrize("seed", range(6))
def test_rank_accuracy_is_the_mean_over_all_orders_that_ties_allow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, 6).astype(float)
    inside = np.zeros(6, dtype=bool)
    inside[rng.permutation(6)[: rng.integers(1, 5)]] = True
    assert rank_accuracy(scores, inside) == pytest.approx(slowly(scores, inside))


def test_a_map_equal_to_the_outline_is_perfect_and_its_negative_is_not() -> None:
    mask = np.zeros((6, 6), dtype=bool)
    mask[1:3, 2:5] = True
    valid = np.ones_like(mask)
    assert localisation(mask.astype(float), mask, valid) == {"pointing": 1.0, "mass": 1.0, "rank": 1.0, "auprc": 1.0}
    opposite = localisation(-mask.astype(float), mask, valid)
    assert (opposite["pointing"], opposite["mass"], opposite["rank"]) == (0.0, None, 0.0)


def test_a_constant_map_scores_the_prevalence() -> None:
    mask = np.arange(20) < 5
    found = localisation(np.ones(20), mask, np.ones(20, dtype=bool))
    assert all(found[name] == pytest.approx(0.25) for name in ("pointing", "mass", "rank", "auprc"))
    assert prevalence(mask, np.ones(20, dtype=bool)) == 0.25


def test_average_precision_by_hand() -> None:
    """Outline at ranks 1 and 3: (1/1 + 2/3) / 2."""
    found = localisation(np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False]), np.ones(4, dtype=bool))
    assert found["auprc"] == pytest.approx((1 + 2 / 3) / 2)


def test_padding_does_not_count() -> None:
    values = np.array([9.0, 3.0, 2.0, 1.0])
    valid = np.array([False, True, True, True])
    found = localisation(values, np.array([False, True, False, False]), valid)
    assert found == {"pointing": 1.0, "mass": 0.5, "rank": 1.0, "auprc": 1.0}
