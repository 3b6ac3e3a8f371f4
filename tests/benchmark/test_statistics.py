"""Intervals and tests by hand on tiny data."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from camlime.benchmark import comparing
from camlime.benchmark.statistics import by_patient, estimate, holm, wilcoxon


def test_a_patient_counts_once() -> None:
    means, names = by_patient([1.0, 1.0, 1.0, 5.0], ["b", "b", "b", "a"])
    assert names == ["a", "b"]
    assert estimate(means).value == 3.0


def test_interval_agrees_with_all_draws_there_are() -> None:
    """Of five patients there are 3125 equally probable draws: the interval's ends are their percentiles."""
    values = np.array([0.0, 1.0, 4.0, 2.5, 3.1])
    draws = [np.mean(draw) for draw in itertools.product(values, repeat=5)]
    found = estimate(values)
    assert found.low == pytest.approx(np.percentile(draws, 2.5), abs=0.1)
    assert found.high == pytest.approx(np.percentile(draws, 97.5), abs=0.1)
    assert estimate(values) == found
    assert estimate(values[:1]).low is None


def test_wilcoxon_agrees_with_all_signs_there_are() -> None:
    differences = np.array([0.3, -0.1, 0.5, 0.7, -0.2, 0.9])
    ranks = rankdata(np.abs(differences))
    observed = ranks[differences > 0].sum()
    middle = ranks.sum() / 2
    sums = [ranks[np.array(signs)].sum() for signs in itertools.product([False, True], repeat=6)]
    expected = np.mean([abs(s - middle) >= abs(observed - middle) for s in sums])
    assert wilcoxon(differences) == pytest.approx(expected)
    assert wilcoxon(np.zeros(4)) == 1.0
    assert wilcoxon(np.ones(1)) is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])
    assert holm([None]) == [None]


def table(rows: list[tuple[str, str, int, float]]) -> pd.DataFrame:
    """ABPC of one baseline; a case a patient."""
    lines = [
        {
            "case": patient,
            "patient": patient,
            "method": method,
            "group": "ours",
            "budget": budget,
            "quantity": "abpc",
            "baseline": "blur",
            "value": value,
        }
        for patient, method, budget, value in rows
    ]
    return pd.DataFrame(lines)


def test_methods_without_a_budget_are_compared_at_each() -> None:
    rows = []
    for i in range(8):
        rows += [(f"p{i}", "fused", budget, 2.0 + 0.01 * i) for budget in (64, 128)]
        rows += [(f"p{i}", "lime", budget, 1.0) for budget in (64, 128)]
        rows += [(f"p{i}", "random", 0, 0.0)]
    found = comparing.comparisons(table(rows), "fused")
    assert {(row["against"], row["budget"]) for row in found} == {
        ("lime", 64), ("lime", 128), ("random", 64), ("random", 128)
    }  # fmt: skip
    assert all(row["p"] == pytest.approx(2 / 2**8) and row["p_holm"] == pytest.approx(8 / 2**8) for row in found)
    assert found[0]["mean_difference"] == pytest.approx(1.035)


def test_two_methods_without_a_budget_are_compared_once() -> None:
    rows = []
    for i in range(8):
        rows += [(f"p{i}", "lime", budget, 1.0) for budget in (64, 128)]
        rows += [(f"p{i}", "gradcam", 0, 2.0 + 0.01 * i), (f"p{i}", "random", 0, 0.0)]
    found = comparing.comparisons(table(rows), "gradcam")
    assert sorted((row["against"], row["budget"] or 0) for row in found) == [("lime", 64), ("lime", 128), ("random", 0)]
    assert all(row["p_holm"] == pytest.approx(3 * row["p"]) for row in found)


@pytest.mark.parametrize(("fused", "verdict"), [(2.0, True), (1.97, True), (1.8, False)])
def test_not_inferior_to_the_better_parent(fused: float, verdict: bool) -> None:
    rows = []
    for i in range(10):
        wobble = 0.01 * (-1) ** i
        rows += [(f"p{i}", "fused", 64, fused + wobble), (f"p{i}", "lime", 64, 2.0), (f"p{i}", "gradcam", 0, 1.0)]
    (row,) = comparing.non_inferiority(table(rows), margin=0.05)
    assert (row["better_parent"], row["not_inferior"]) == ("lime", verdict)
    assert row["margin"] == pytest.approx(0.1)


def test_the_better_parent_and_the_margin_are_those_of_the_cases_that_all_three_have() -> None:
    """On all cases Grad-CAM has the larger mean, by patients that fused or LIME were not run on."""
    rows = [(f"p{i}", "fused", 64, 2.0) for i in range(6)] + [(f"p{i}", "lime", 64, 2.0) for i in range(5)]
    rows += [(f"p{i}", "gradcam", 0, 1.0 if i < 5 else 90.0) for i in range(8)]
    (row,) = comparing.non_inferiority(table(rows), margin=0.05)
    assert (row["better_parent"], row["parent_mean"], row["patients"]) == ("lime", 2.0, 5)
    assert row["margin"] == pytest.approx(0.1)
    apart = [("p0", "fused", 64, 1.0), ("p1", "lime", 64, 1.0), ("p0", "gradcam", 0, 1.0)]
    assert comparing.non_inferiority(table(apart), margin=0.05) == []


def test_patients_that_lack_one_of_two_methods_are_left_out_of_the_pair() -> None:
    rows = [("p0", "fused", 64, 2.0), ("p1", "fused", 64, 3.0), ("p2", "fused", 64, 9.0)]
    rows += [("p0", "lime", 64, 1.0), ("p1", "lime", 64, 1.0)]
    (row,) = comparing.comparisons(table(rows), "fused")
    assert (row["patients"], row["mean_difference"]) == (2, 1.5)
