"""Until certain: what the rule says when it stops is true as often as it states, over many simulated models.

The answers are in closed form: main effects, and products of three and five signs, which change no weight and are the
noise that a linear model has to live with. No network is asked, so that hundreds of runs take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom
from support.rows import paired_rows

from camlime.methods.evidence_model import Posterior, RunningSums, fit
from camlime.methods.profiled_model import Derivatives, fit_profiled
from camlime.methods.stopping import StoppingRule

Array = NDArray[np.float64]
TOP = 10
BOUND = 4096


class Sampler:
    """Answers pairs of masks as :class:`camlime.methods.sampling.PairSampler` does, by the formula."""

    def __init__(self, weights: Array, groups: list[Array], sizes: Array, rng: np.random.Generator) -> None:
        self.pairs_left = BOUND // 2
        self._rows = np.concatenate(list(paired_rows(len(weights), self.pairs_left, rng))).astype(np.float64)
        self._weights, self._groups, self._sizes = weights, groups, sizes
        self.sums = RunningSums.empty(len(weights))

    def run(self, pairs: int) -> bool:
        rows, self._rows = self._rows[:pairs], self._rows[pairs:]
        products = [size * rows[:, group].prod(axis=1) for group, size in zip(self._groups, self._sizes, strict=True)]
        self.sums.add(rows / 2, rows @ self._weights / 2 + np.sum(products, axis=0))
        self.pairs_left -= len(rows)
        return True


@dataclass(frozen=True)
class Stopped:
    """A run's truth, what was believed when it stopped, after how many pairs, and whether for certainty."""

    truth: Array
    posterior: Posterior
    pairs: int
    certain: bool

    @property
    def away(self) -> Array:
        return (self.posterior.mean - self.truth) / self.posterior.std

    @property
    def covered(self) -> float:
        return float(np.mean(np.abs(self.away) <= self.posterior.interval_factor))


def gapped_weights(d: int, rng: np.random.Generator) -> Array:
    """Ten large ones, the others smaller by a gap of up to a quarter of the largest, often hardly any."""
    gap = rng.uniform(0, 0.25)
    large, small = rng.uniform(0.75, 1, TOP), rng.uniform(0, 0.75 - gap, d - TOP)
    large[:2], small[0] = (1, 0.75), 0.75 - gap
    found: Array = rng.permutation(np.concatenate([large, small])) * rng.choice([-1.0, 1.0], d)
    return found


def stopped(d: int, seed: int, *, noise: float, gapped: bool, hints: bool = False) -> Stopped:
    """One run to its end; with hints, as fused: derivatives that are right within a factor."""
    rng = np.random.default_rng([seed, d])
    weights = gapped_weights(d, rng) if gapped else rng.standard_normal(d)
    groups = [rng.choice(d, size=size, replace=False) for size in (3,) * 20 + (5,) * 10]
    sizes = rng.standard_normal(len(groups))
    sizes *= np.sqrt(noise) * np.linalg.norm(weights / 2) / np.linalg.norm(sizes)
    told = Derivatives(weights * np.exp(0.5 * rng.standard_normal(d)), weights**2 * np.exp(rng.standard_normal(d)))
    last: list[Posterior] = []

    def believe(sums: RunningSums) -> Posterior:
        last[:] = [fit_profiled(sums, None, told).posterior if hints else fit(sums)]
        return last[0]

    sampler = Sampler(weights, groups, sizes, rng)
    _, reason = StoppingRule(top=TOP, most_passes=BOUND).run(sampler, believe)
    return Stopped(weights, last[0], sampler.sums.n, reason.startswith("certain"))


def test_regions_that_are_called_separated_are_so_at_the_stated_confidence() -> None:
    rule = StoppingRule(top=TOP)
    separated = wrong = 0
    for seed in range(160):
        run = stopped(30, seed, noise=0.05, gapped=True)
        size, truth = np.abs(run.posterior.mean), np.abs(run.truth)
        order = np.argsort(-size)
        tied = size[order[TOP - 1]] - size[order[TOP]] < rule.relative_error * size.max()
        if run.certain and not tied:
            separated += 1
            wrong += bool(truth[order[:TOP]].min() < truth[order[TOP:]].max())
    assert separated >= 50  # else this says nothing
    assert wrong <= binom.ppf(0.99, separated, 1 - rule.confidence), f"{wrong} of {separated}"


def test_regions_that_are_called_tied_differ_by_little() -> None:
    """By the tie's width, and what the standard errors allow: 5 % of the largest weight each."""
    rule = StoppingRule(top=TOP)
    tied = wrong = 0
    for seed in range(60):
        run = stopped(30, 1000 + seed, noise=0.05, gapped=False)
        size, truth = np.abs(run.posterior.mean), np.abs(run.truth)
        order = np.argsort(-size)
        if run.certain and size[order[TOP - 1]] - size[order[TOP]] < rule.relative_error * size.max():
            tied += 1
            apart = abs(truth[order[TOP - 1]] - truth[order[TOP]]) / truth.max()
            wrong += bool(apart > rule.relative_error + 1.96 * np.sqrt(2) * rule.relative_error)
    assert tied >= 30
    assert wrong <= binom.ppf(0.99, tied, 0.05)


@pytest.mark.parametrize(("d", "noise", "hints"), [(30, 0.2, False), (44, 0.1, False), (30, 0.2, True)])
def test_standard_errors_hold_where_the_rule_stops(d: int, noise: float, hints: bool) -> None:
    """Although it stops as soon as they look small enough."""
    runs = [stopped(d, seed, noise=noise, gapped=False, hints=hints) for seed in range(8 if hints else 30)]
    assert all(run.certain for run in runs)
    assert np.mean([run.covered for run in runs]) >= 0.91
    assert 0.85 <= np.sqrt(np.mean([run.away**2 for run in runs])) <= 1.2
    for run in runs:
        assert run.posterior.std.max() <= 0.05 * np.abs(run.posterior.mean).max()


@pytest.mark.parametrize("d", [24, 50])
def test_a_single_strong_interaction_does_not_pass_for_a_weight_without_a_doubt(d: int) -> None:
    """A product of three signs is spread over all regions, and shows in the residual: no weight is far off unseen.

    With Sylvester's matrices, where it is exactly one region's column, single errors are beyond ten standard errors.
    """
    away = []
    for seed in range(12):
        rng = np.random.default_rng([seed, d])
        weights = rng.standard_normal(d)
        sampler = Sampler(weights, [rng.choice(d, size=3, replace=False)], np.array([0.5]), rng)
        last: list[Posterior] = []

        def believe(sums: RunningSums, last: list[Posterior] = last) -> Posterior:
            last[:] = [fit(sums)]
            return last[0]

        StoppingRule(top=TOP, most_passes=BOUND).run(sampler, believe)
        away.append((last[0].mean - weights) / last[0].std)
    assert 0.85 < np.sqrt(np.mean(np.square(away))) < 1.15
    assert np.abs(away).max() < 5
