"""Agreement of seeds and errors to a limit, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from camlime.benchmark.stability import agreement, coverage, jaccard_ties_aside, nrmse
from camlime.evidence.repeatability import jaccard


def test_jaccard_by_hand() -> None:
    a = np.array([5.0, -4.0, 3.0, 0.1, 0.0])
    b = np.array([5.0, 4.0, 0.1, -3.0, 0.0])
    assert jaccard(a, b, 3) == 2 / 4


def test_a_near_tie_at_the_border_does_not_count() -> None:
    a, b = np.array([10.0, 5.0, 4.9, 0.0]), np.array([10.0, 4.9, 5.0, 0.0])
    assert jaccard(a, b, 2) == 1 / 3
    assert jaccard_ties_aside(a, b, 2) == 1.0


def test_what_is_no_near_tie_counts_fully() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        a, b = rng.permutation(40) * 10.0, rng.permutation(40) * 10.0  # steps of 10, ties within 5 % of 390
        near = jaccard_ties_aside(a, b, 10)
        assert near >= jaccard(a, b, 10)
    a, b = np.array([100.0, 90.0, 10.0, 0.0]), np.array([100.0, 10.0, 90.0, 0.0])
    assert jaccard_ties_aside(a, b, 2) == jaccard(a, b, 2) == 1 / 3


def test_agreement_is_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(0)
    runs = [rng.normal(size=30) for _ in range(3)]
    found = agreement(runs)
    assert found is not None
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert found["jaccard"] == pytest.approx(np.mean([jaccard(runs[i], runs[j], 10) for i, j in pairs]))
    assert agreement(runs[:1]) is None
    same = agreement([runs[0], runs[0]])
    assert same is not None
    assert [same[k] for k in ("jaccard", "jaccard_ties_aside")] == [1.0, 1.0]
    assert same["spearman"] == pytest.approx(1.0)


def test_with_equal_magnitudes_the_weighted_correlation_is_spearman() -> None:
    signs = np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0])
    other = np.array([1.0, -1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0])
    found = agreement([signs, other])
    assert found is not None
    assert found["spearman"] == pytest.approx(spearmanr(signs, other).statistic)


def test_error_and_coverage_by_hand() -> None:
    limit = np.array([3.0, 4.0])
    assert nrmse(np.array([3.0, 4.5]), limit) == pytest.approx(0.1)
    assert nrmse(limit, np.zeros(2)) is None
    assert coverage(np.array([3.0, 4.5]), np.array([0.1, 0.2]), limit, 1.96) == 0.5
    assert coverage(np.array([3.0, 4.5]), np.array([0.1, 0.26]), limit, 1.96) == 1.0
    assert coverage(np.array([3.0, 4.5]), np.array([0.1, 0.2]), limit, 2.6) == 1.0
