"""The evidence model against closed forms, and what columns are worth to it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats
from support.rows import paired_rows

from camlime.methods.designs import block_pairs
from camlime.methods.evidence_model import FEW_LEFT_OVER, FLAT_PRIOR, Posterior, RunningSums, fit, unit_columns

Array = NDArray[np.float64]


def sums_of(x: Array, y: Array) -> RunningSums:
    sums = RunningSums.empty(x.shape[1])
    for start in range(0, len(y), 7):
        sums.add(x[start : start + 7], y[start : start + 7])
    return sums


def problem(n: int, d: int, *, noise: float = 0.3, seed: int = 0) -> tuple[Array, Array, Array]:
    """Rows, answers, true weights."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(d)
    x = np.concatenate(list(paired_rows(d, n, rng))) / 2.0
    return x, x @ weights + noise * rng.standard_normal(n), weights


def columns_of(weights: Array, count: int, seed: int = 5) -> Array | None:
    """A column near the weights, then random ones; ``None`` for none."""
    rng = np.random.default_rng(seed)
    noisy = [3 * weights + rng.standard_normal(len(weights))]
    return np.stack(noisy + [rng.standard_normal(len(weights)) for _ in range(count - 1)], axis=1) if count else None


def answers_covariance(x: Array, columns: Array, kappa: Array, lam: float, alpha: float) -> Array:
    prior = columns @ np.diag(1 / kappa) @ columns.T + np.eye(x.shape[1]) / lam
    return x @ prior @ x.T + np.eye(len(x)) / alpha


CASES = [(20, 4, 0), (20, 4, 1), (40, 6, 2), (5, 9, 0), (5, 9, 2), (64, 20, 1)]


@pytest.mark.parametrize(("n", "d", "c"), CASES)
def test_posterior_is_the_closed_form_at_its_precisions(n: int, d: int, c: int) -> None:
    x, y, weights = problem(n, d)
    columns = columns_of(weights, c)
    found = fit(sums_of(x, y), columns)
    g = np.zeros((d, 0)) if columns is None else unit_columns(columns)
    kappa, lam, alpha = found.column_precision, found.weight_precision, found.noise_precision
    prior = g @ np.diag(1 / kappa) @ g.T + np.eye(d) / lam
    gain = prior @ x.T @ np.linalg.inv(answers_covariance(x, g, kappa, lam, alpha))
    assert found.mean == pytest.approx(gain @ y, rel=1e-6, abs=1e-9)
    assert found.covariance == pytest.approx(prior - gain @ x @ prior, rel=1e-5, abs=1e-9)
    on_columns = np.diag(1 / kappa) @ g.T @ x.T @ np.linalg.inv(answers_covariance(x, g, kappa, lam, alpha))
    assert found.column_weights == pytest.approx(on_columns @ y, rel=1e-5, abs=1e-8)
    left = np.diag(1 / kappa) - on_columns @ x @ g @ np.diag(1 / kappa)
    assert found.column_std == pytest.approx(np.sqrt(np.diag(left)), rel=1e-5)
    assert found.std == pytest.approx(np.sqrt(np.diag(found.covariance)))


@pytest.mark.parametrize(("n", "d", "c"), CASES)
def test_log_evidence_is_the_density_of_the_answers(n: int, d: int, c: int) -> None:
    x, y, weights = problem(n, d)
    columns = columns_of(weights, c)
    found = fit(sums_of(x, y), columns)
    g = np.zeros((d, 0)) if columns is None else unit_columns(columns)
    covariance = answers_covariance(x, g, found.column_precision, found.weight_precision, found.noise_precision)
    expected = stats.multivariate_normal.logpdf(y, np.zeros(n), covariance)
    assert found.log_evidence == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("c", [0, 1, 3])
@pytest.mark.parametrize("noise", [0.05, 0.5, 3.0])
def test_no_other_precisions_have_more_evidence(c: int, noise: float) -> None:
    """Against scipy's optimiser on the log precisions, from several starts, with the same all but flat hyper-prior."""
    n, d = 48, 12
    x, y, weights = problem(n, d, noise=noise, seed=3)
    columns = columns_of(weights, c)
    g = np.zeros((d, 0)) if columns is None else unit_columns(columns)
    scale = np.sqrt(np.mean(y**2))
    found = fit(sums_of(x, y), columns)

    def lost(logs: Array) -> float:
        precisions = np.exp(logs)
        covariance = answers_covariance(x, g, precisions[:c], precisions[c], precisions[c + 1])
        evidence = -0.5 * (np.linalg.slogdet(2 * np.pi * covariance)[1] + y @ np.linalg.solve(covariance, y) / scale**2)
        return -float(evidence + (FLAT_PRIOR[0] * logs - FLAT_PRIOR[1] * precisions).sum())

    ours = np.log(np.array([*found.column_precision, found.weight_precision, found.noise_precision]) * scale**2)
    starts = [ours, np.zeros(c + 2), np.r_[np.full(c + 1, 5.0), 2.0], np.r_[np.full(c, -1.0), 6.0, 1.0]]
    limits = [(-12.0, np.log(1e8))] * (c + 2)
    best = min(optimize.minimize(lost, start, method="L-BFGS-B", bounds=limits).fun for start in starts)
    assert lost(ours) <= best + 0.01


@pytest.mark.parametrize("d", [3, 8, 31, 63])
def test_exact_on_answers_without_noise(d: int) -> None:
    x, y, weights = problem(block_pairs(d), d, noise=0.0)
    found = fit(sums_of(x, y))
    assert np.abs(found.mean - weights).max() < 1e-6
    # Where hardly a row is left over, that there is no noise could be chance.
    assert found.std.max() < (1e-3 if len(y) > FEW_LEFT_OVER * d else 0.05)


def relative_error(found: Posterior, weights: Array) -> float:
    return float(np.linalg.norm(found.mean - weights) / np.linalg.norm(weights))


@pytest.mark.parametrize("c", [0, 1, 4])
@pytest.mark.parametrize("n", [1, 2, 5, 20, 40])
def test_fewer_rows_than_weights_neither_diverges_nor_claims_certainty(n: int, c: int) -> None:
    errors, claimed = [], []
    for seed in range(20):
        x, y, weights = problem(n, 40, seed=seed)
        found = fit(sums_of(x, y), columns_of(weights + 3 * np.random.default_rng(seed).standard_normal(40), c))
        assert np.isfinite(found.mean).all()
        assert np.isfinite(found.std).all()
        errors.append(relative_error(found, weights))
        claimed.append(np.sqrt(np.sum(found.std**2)) / np.linalg.norm(weights))
    assert np.mean(errors) < 1.3
    if n >= 5:
        assert np.mean(claimed) > 0.5 * np.mean(errors)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0, 3.0])
def test_weights_below_the_noise_are_not_zero_for_certain(ratio: float) -> None:
    """There the evidence often grows with lambda without end; ``ratio``: the weights' size in standard errors."""
    d, n = 40, 96
    covered, errors = [], []
    for seed in range(40):
        rng = np.random.default_rng([seed, d])
        weights = ratio * 2 / np.sqrt(n) * rng.standard_normal(d)
        rows = np.concatenate(list(paired_rows(d, n, rng))).astype(float)
        found = fit(sums_of(rows / 2, rows @ weights / 2 + rng.standard_normal(n)))
        covered.append(float((np.abs(found.mean - weights) <= found.interval_factor * found.std).mean()))
        errors.append(float(found.std.mean()) * np.sqrt(n) / 2)
    assert np.mean(covered) >= 0.92
    assert min(covered) >= 0.7
    assert 0.5 < np.mean(errors) < 1.1, "about what the rows alone tell, and no more"


@pytest.mark.parametrize("n", [41, 42, 44, 48])
def test_with_hardly_more_rows_than_weights_no_noise_is_not_believed(n: int) -> None:
    """Of one or two residual degrees of freedom chance leaves now and then almost nothing."""
    d, away = 40, []
    for seed in range(60):
        rng = np.random.default_rng([seed, d])
        weights = rng.standard_normal(d)
        rows = np.concatenate(list(paired_rows(d, n, rng))).astype(float)
        found = fit(sums_of(rows / 2, rows @ weights / 2 + rng.standard_normal(n)))
        away.append(float(np.sqrt(np.mean(np.square((found.mean - weights) / found.std)))))
    assert max(away) < 10, away


def test_one_row() -> None:
    found = fit(sums_of(np.full((1, 3), 0.5), np.array([2.0])))
    assert found.mean == pytest.approx([found.mean[0]] * 3)
    assert 0 <= found.mean.sum() / 2 <= 2.0 + 1e-6


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rows"):
        fit(RunningSums.empty(3))


def test_constant_answers_are_zero_weights_exactly() -> None:
    found = fit(sums_of(np.full((6, 3), 0.5), np.zeros(6)), np.ones((3, 2)))
    assert not found.mean.any()
    assert not found.std.any()
    assert found.column_weights.tolist() == [0, 0]


@pytest.mark.parametrize("useless", ["zero", "nan", "infinite"])
def test_a_column_that_says_nothing_changes_nothing(useless: str) -> None:
    x, y, _ = problem(64, 20)
    column = np.full((20, 1), {"zero": 0.0, "nan": 1.0, "infinite": 1.0}[useless])
    column[3] = {"zero": 0.0, "nan": np.nan, "infinite": np.inf}[useless]
    without, found = fit(sums_of(x, y)), fit(sums_of(x, y), column)
    assert found.mean == pytest.approx(without.mean, rel=1e-6)
    assert found.std == pytest.approx(without.std, rel=1e-5)
    assert found.column_weights.tolist() == [0]
    assert found.log_evidence == pytest.approx(without.log_evidence, abs=1e-6)


def test_a_column_twice_is_as_good_as_once_and_its_size_is_no_matter() -> None:
    x, y, weights = problem(20, 20)
    column = columns_of(weights, 1)
    once = fit(sums_of(x, y), column)
    twice = fit(sums_of(x, y), np.hstack([column, 1e6 * column]))
    assert twice.mean == pytest.approx(once.mean, abs=0.02)
    assert twice.column_weights.sum() == pytest.approx(once.column_weights[0], rel=0.05)
    assert fit(sums_of(x, y), -1e-9 * column).mean == pytest.approx(once.mean, rel=1e-5, abs=1e-7)


def test_units_of_the_answers_are_no_matter() -> None:
    x, y, weights = problem(40, 12)
    column = columns_of(weights, 1)
    small, large = fit(sums_of(x, y), column), fit(sums_of(x, 1e5 * y), column)
    assert large.mean == pytest.approx(1e5 * small.mean, rel=1e-6)
    assert large.std == pytest.approx(1e5 * small.std, rel=1e-6)


def mean_errors(n: int, d: int, kind: str, trials: int = 30) -> tuple[float, float]:
    """Mean relative error without and with a column that is right, wrong (the right one permuted) or random."""
    without, having = [], []
    for seed in range(trials):
        rng = np.random.default_rng(1000 + seed)
        x, y, weights = problem(n, d, noise=0.5, seed=seed)
        right = weights + 0.4 * rng.standard_normal(d)
        column = {"right": right, "wrong": rng.permutation(right), "random": rng.standard_normal(d)}[kind]
        without.append(relative_error(fit(sums_of(x, y)), weights))
        having.append(relative_error(fit(sums_of(x, y), column[:, None]), weights))
    return float(np.mean(without)), float(np.mean(having))


@pytest.mark.parametrize("n", [24, 36])
def test_a_right_column_helps(n: int) -> None:
    without, having = mean_errors(n, 40, "right")
    assert having < 0.8 * without


@pytest.mark.parametrize("kind", ["wrong", "random"])
@pytest.mark.parametrize("n", [24, 48, 64])
def test_a_useless_column_costs_a_few_percent_at_most(n: int, kind: str) -> None:
    without, having = mean_errors(n, 40, kind)
    assert having < 1.04 * without


def test_a_wrong_column_is_switched_off() -> None:
    """Uncorrelated with the weights by construction: g goes to nothing, and the answer is LIME's."""
    x, y, _ = problem(64, 40)
    plain = fit(sums_of(x, y))
    column = np.random.default_rng(1).standard_normal(40)
    column -= plain.mean * (column @ plain.mean) / (plain.mean @ plain.mean)
    found = fit(sums_of(x, y), column[:, None])
    assert abs(found.column_weights[0]) < 1e-3 * np.linalg.norm(plain.mean)
    assert found.column_precision[0] > 1e3 * found.weight_precision
    assert found.mean == pytest.approx(plain.mean, abs=1e-3)


def test_sums_do_not_depend_on_the_pieces() -> None:
    x, y, _ = problem(50, 6)
    whole = RunningSums.empty(6)
    whole.add(x, y)
    pieces = sums_of(x, y)
    assert pieces.xtx == pytest.approx(whole.xtx)
    assert pieces.xty == pytest.approx(whole.xty)
    assert (pieces.n, pieces.yty) == (50, pytest.approx(whole.yty))


def test_a_precision_that_is_known_stays_and_the_others_are_found() -> None:
    x, y, weights = problem(20, 9)
    columns = columns_of(weights, 2)
    assert columns is not None
    free, held = fit(sums_of(x, y), columns), fit(sums_of(x, y), columns, np.array([3.0, np.nan]))
    assert held.column_precision[0] == pytest.approx(3.0)
    assert held.column_precision[1] != pytest.approx(free.column_precision[1], rel=1e-3)
    g, alpha = unit_columns(columns), held.noise_precision
    covariance = answers_covariance(x, g, held.column_precision, held.weight_precision, alpha)
    assert held.log_evidence == pytest.approx(stats.multivariate_normal.logpdf(y, np.zeros(20), covariance), abs=1e-6)
    assert held.log_evidence < free.log_evidence
    weight = g[:, 0] @ x.T @ np.linalg.inv(covariance) @ y / 3.0
    assert held.column_weights[0] == pytest.approx(weight, rel=1e-5)
