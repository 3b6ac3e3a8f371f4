"""Derivatives: closed form at a given evenness, model averaging by hand, and what right and wrong ones do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from support.rows import paired_rows

from camlime.methods.designs import supports_intervals
from camlime.methods.evidence_model import RunningSums, fit, unit_columns
from camlime.methods.profiled_model import (
    EVENNESS,
    PRIOR_OF_CAMS,
    PRIOR_OF_DERIVATIVES,
    SPREAD_OF_GUESS,
    Derivatives,
    _with_evenness,
    fit_profiled,
)

Array = NDArray[np.float64]


def problem(n: int, d: int, *, noise: float = 0.1, seed: int = 0) -> tuple[Array, Array, Array]:
    """Rows, answers, and true weights that are of very different size."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(d) * 10.0 ** rng.uniform(-2, 0, d)
    x = np.concatenate(list(paired_rows(d, n, rng))) / 2.0
    return x, x @ weights + noise * np.linalg.norm(weights) / 2 * rng.standard_normal(n), weights


def sums_of(x: Array, y: Array) -> RunningSums:
    sums = RunningSums.empty(x.shape[1])
    sums.add(x, y)
    return sums


def error(found: Array, weights: Array) -> float:
    return float(np.linalg.norm(found - weights) / np.linalg.norm(weights))


@pytest.mark.parametrize(("n", "d", "c"), [(12, 20, 0), (12, 20, 2), (40, 20, 1)])
def test_a_given_evenness_is_the_closed_form_with_unequal_prior_variances(n: int, d: int, c: int) -> None:
    x, y, weights = problem(n, d)
    rng = np.random.default_rng(1)
    columns = np.stack([weights + rng.standard_normal(d) for _ in range(c)], axis=1) if c else None
    variances = rng.uniform(0.01, 5, d)
    found = _with_evenness(sums_of(x, y), columns, variances)
    g = np.zeros((d, 0)) if columns is None else unit_columns(columns)
    by_column = g @ np.diag(1 / found.column_precision)
    prior = by_column @ g.T + np.diag(variances) / found.weight_precision
    covariance = x @ prior @ x.T + np.eye(n) / found.noise_precision
    gain = prior @ x.T @ np.linalg.inv(covariance)
    assert found.mean == pytest.approx(gain @ y, rel=1e-6, abs=1e-9)
    assert found.covariance == pytest.approx(prior - gain @ x @ prior, rel=1e-5, abs=1e-9)
    assert found.column_weights == pytest.approx(by_column.T @ x.T @ np.linalg.inv(covariance) @ y, rel=1e-5, abs=1e-8)
    assert found.log_evidence == pytest.approx(stats.multivariate_normal.logpdf(y, np.zeros(n), covariance), abs=1e-6)


@pytest.mark.parametrize("with_cams", [False, True])
def test_the_average_is_the_mixture_of_closed_forms(with_cams: bool) -> None:
    """Every model by dense linear algebra at its precisions, weighed by the density of the answers that it predicts."""
    x, y, weights = problem(14, 20)
    rng = np.random.default_rng(2)
    guess = weights * rng.uniform(0.5, 1.5, 20)
    square = weights**2 * rng.uniform(0.2, 5, 20)
    cams = np.stack([weights + rng.standard_normal(20), rng.standard_normal(20)], axis=1) if with_cams else None
    found = fit_profiled(sums_of(x, y), cams, Derivatives(guess, square))

    parts, votes, evenness, having, seeing = [], [], [], [], []
    for columns, prior_cams in [(None, 1 - PRIOR_OF_CAMS), (cams, PRIOR_OF_CAMS)] if with_cams else [(None, 1.0)]:
        plain = fit(sums_of(x, y), columns)
        parts.append((plain.mean, plain.covariance))
        votes.append(prior_cams * (1 - PRIOR_OF_DERIVATIVES) * np.exp(plain.log_evidence))
        evenness.append(1.0)
        having.append(0.0)
        seeing.append(float(columns is not None))
        for w in EVENNESS:
            both = guess[:, None] if columns is None else np.concatenate([columns, guess[:, None]], axis=1)
            prior = np.append(np.full(both.shape[1] - 1, np.nan), 1 / (SPREAD_OF_GUESS**2 * guess @ guess))
            rest = _with_evenness(sums_of(x, y - x @ guess), both, w + (1 - w) * square / square.mean(), prior)
            parts.append((guess + rest.mean, rest.covariance))
            votes.append(prior_cams * PRIOR_OF_DERIVATIVES / len(EVENNESS) * np.exp(rest.log_evidence))
            evenness.append(w)
            having.append(1.0)
            seeing.append(float(columns is not None))
    shares = np.array(votes) / np.sum(votes)
    assert found.posterior.log_evidence == pytest.approx(np.log(np.sum(votes)))
    mean = np.sum([s * m for s, (m, _) in zip(shares, parts, strict=True)], axis=0)
    second = np.sum([s * (c + np.outer(m, m)) for s, (m, c) in zip(shares, parts, strict=True)], axis=0)
    assert found.posterior.mean == pytest.approx(mean)
    assert found.posterior.covariance == pytest.approx(second - np.outer(mean, mean), abs=1e-9)
    assert found.evenness == pytest.approx(shares @ np.array(evenness))
    assert found.share_of_derivatives == pytest.approx(shares @ np.array(having))
    assert found.share_of_cams == pytest.approx(shares @ np.array(seeing))


def test_the_derivatives_weight_is_one_where_they_are_the_truth_and_half_where_they_are_twice_it() -> None:
    x, y, weights = problem(40, 20, noise=0.01)
    for factor in (1.0, 2.0):
        found = fit_profiled(sums_of(x, y), None, Derivatives(factor * weights, weights**2))
        assert found.posterior.column_weights == pytest.approx([1 / factor], abs=0.02)
        assert found.share_of_derivatives > 0.99


def test_weights_of_columns_that_a_model_lacks_count_as_zero() -> None:
    x, y, weights = problem(60, 20, noise=0.01)
    rng = np.random.default_rng(3)
    cams = rng.standard_normal((20, 2))
    found = fit_profiled(sums_of(x, y), cams, Derivatives(rng.permutation(weights), rng.permutation(weights**2)))
    assert found.posterior.column_weights.shape == (3,)
    assert abs(found.posterior.column_weights[2]) < 0.2


@pytest.mark.parametrize("useless", [None, np.zeros(20), np.full(20, np.nan), np.full(20, np.inf)])
def test_no_derivatives_is_the_plain_model(useless: Array | None) -> None:
    x, y, _ = problem(30, 20)
    found = fit_profiled(sums_of(x, y), None, None if useless is None else Derivatives(useless, useless))
    assert np.array_equal(found.posterior.mean, fit(sums_of(x, y)).mean)
    assert (found.evenness, found.share_of_derivatives) == (1.0, 0.0)


def test_answers_that_never_change_give_no_weights_whatever_the_derivatives_say() -> None:
    x, _, weights = problem(12, 20)
    found = fit_profiled(sums_of(x, np.zeros(12)), None, Derivatives(weights, weights**2))
    assert not found.posterior.mean.any()
    assert found.share_of_derivatives == 0.0


def test_a_guess_that_explains_everything_is_kept_without_dividing_by_what_is_left() -> None:
    x, _, weights = problem(12, 20)
    found = fit_profiled(sums_of(x, x @ weights), None, Derivatives(weights, weights**2))
    assert found.posterior.mean == pytest.approx(weights, rel=1e-4)


def hints(weights: Array, kind: str, rng: np.random.Generator) -> Derivatives:
    """Derivatives that are right within a factor, those of other regions, of the opposite sign, or noise."""
    d = len(weights)
    mean = weights * np.exp(0.5 * rng.standard_normal(d)) + 0.1 * np.abs(weights).max() * rng.standard_normal(d) / 10
    square = mean**2 * np.exp(rng.standard_normal(d))
    if kind == "wrong":
        order = rng.permutation(d)
        return Derivatives(mean[order], square[order])
    if kind == "opposite":
        return Derivatives(-mean, square)
    if kind == "noise":
        noise = np.linalg.norm(weights) / np.sqrt(d) * rng.standard_normal(d)
        return Derivatives(noise, noise**2 + noise.var())
    return Derivatives(mean, square)


def mean_errors(n: int, d: int, kind: str, trials: int = 16) -> tuple[float, float]:
    """Mean relative error of the plain model, and with derivatives."""
    without, having = [], []
    for seed in range(trials):
        x, y, weights = problem(n, d, seed=seed)
        told = hints(weights, kind, np.random.default_rng(1000 + seed))
        without.append(error(fit(sums_of(x, y)).mean, weights))
        having.append(error(fit_profiled(sums_of(x, y), None, told).posterior.mean, weights))
    return float(np.mean(without)), float(np.mean(having))


@pytest.mark.parametrize(("n", "gain"), [(4, 0.7), (16, 0.5), (32, 0.4), (128, 1.0)])
def test_right_derivatives_help_where_masked_images_are_few_and_never_harm(n: int, gain: float) -> None:
    without, having = mean_errors(n, 60, "right")
    assert having < gain * without


@pytest.mark.parametrize("kind", ["wrong", "noise", "opposite"])
@pytest.mark.parametrize("n", [8, 16, 32, 128])
def test_derivatives_that_mislead_cost_a_few_percent_at_most(n: int, kind: str) -> None:
    without, having = mean_errors(n, 60, kind, trials=24)
    assert having < 1.04 * without


def test_derivatives_of_other_regions_cost_most_where_rows_are_as_many_as_regions() -> None:
    """There, few but large weights with much noise explain the answers almost as well; rarely, that wins."""
    without, having = mean_errors(60, 60, "wrong", trials=48)
    assert having < 1.15 * without


@pytest.mark.parametrize("n", [16, 32, 60, 128])
def test_intervals_cover_the_truth_with_right_and_with_wrong_derivatives(n: int) -> None:
    for kind in ("right", "wrong"):
        covered = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            x, y, weights = problem(n, 60, seed=seed)
            found = fit_profiled(sums_of(x, y), None, hints(weights, kind, rng)).posterior
            covered.append(np.mean(np.abs(found.mean - weights) <= found.interval_factor * found.std))
        assert np.mean(covered) > 0.9, kind


@pytest.mark.parametrize("linear_share", [0.67, 0.4])
@pytest.mark.parametrize("n", [102, 136, 272])
def test_intervals_cover_the_truth_where_much_of_the_answer_is_noise(n: int, linear_share: float) -> None:
    """From where intervals are claimed on; of the ten largest weights, which shrinkage moves most, fewer."""
    d, covered, largest = 60, [], []
    assert supports_intervals(d, n)
    for seed in range(24):
        rng = np.random.default_rng([seed, n])
        weights = rng.standard_normal(d)
        rows = np.concatenate(list(paired_rows(d, n, rng))).astype(float)
        noise = np.linalg.norm(weights) / 2 * np.sqrt(1 / linear_share - 1)
        sums = sums_of(rows / 2, rows @ weights / 2 + noise * rng.standard_normal(n))
        found = fit_profiled(sums, None, hints(weights, "right", rng)).posterior
        held = np.abs(found.mean - weights) <= found.interval_factor * found.std
        covered.append(held.mean())
        largest.append(held[np.argsort(-np.abs(weights))[:10]].mean())
    assert np.mean(covered) >= 0.9
    assert min(covered) >= 0.7
    assert np.mean(largest) >= 0.75


def test_fewer_rows_than_weights_stay_finite() -> None:
    for n in (1, 2, 5):
        x, y, weights = problem(n, 40)
        found = fit_profiled(sums_of(x, y), weights[:, None], Derivatives(weights, weights**2)).posterior
        assert np.isfinite(found.mean).all()
        assert np.isfinite(found.std).all()
        assert np.isfinite(found.interval_factor)
