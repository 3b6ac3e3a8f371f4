"""Fused with a CAM that is useless, in the wrong place or the very opposite: never worse than LIME beyond noise.

The models' answers are the same whatever the CAM shows (see ``support/simulated.py``), the masked gradient is fused's
own, and errors are to a closed form or to a run of 32,768 pairs. 64 regions: 64 passes are fewer pairs, 256 are more.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from support.simulated import CAM_LAYER, MODELS, long_run, odd_interactions, simulated

from camlime.attribution import Attribution
from camlime.methods.designs import supports_intervals
from camlime.methods.fused import Fused
from camlime.methods.lime import Lime

REGIONS = 64
SEEDS = 4
NEGLIGIBLE = 0.005
"""Relative error: both find a linear model all but exactly where pairs are more than regions."""


@lru_cache
def made(model: str, seed: int):  # type: ignore[no-untyped-def]
    return MODELS[model][1](REGIONS, seed)


def explained(method: Fused | Lime, model: str, cam: str, seed: int) -> tuple[Attribution, NDArray[np.float64]]:
    function, truth = made(model, seed)
    case = simulated(function, truth, dimensions=MODELS[model][0], cam=cam, seed=seed)
    return method.explain(case), truth


def errors(method: Fused | Lime, model: str, cam: str) -> NDArray[np.float64]:
    """Relative to the truth, one a seed."""
    found = []
    for seed in range(SEEDS):
        attribution, truth = explained(method, model, cam, seed)
        found.append(np.linalg.norm(attribution.region_weights - truth) / np.linalg.norm(truth))
    return np.array(found)


@lru_cache
def errors_of_lime(model: str, budget: int) -> NDArray[np.float64]:
    return errors(Lime(budget=budget), model, "right")


@pytest.mark.parametrize("cam", ["useless", "permuted", "opposite"])
@pytest.mark.parametrize("budget", [64, 256])
@pytest.mark.parametrize("model", MODELS)
def test_fused_is_not_worse_than_lime_of_the_same_budget(model: str, budget: int, cam: str) -> None:
    lime, fused = errors_of_lime(model, budget), errors(Fused(budget=budget, target_layer=CAM_LAYER), model, cam)
    noise = np.std(fused - lime, ddof=1) / np.sqrt(SEEDS)
    assert fused.mean() <= lime.mean() + 2 * noise + NEGLIGIBLE


@pytest.mark.parametrize("model", MODELS)
def test_a_right_cam_helps_and_an_opposite_one_as_much(model: str) -> None:
    """The weight of a column is learned with its sign: the opposite of the truth says as much as the truth."""
    lime = errors_of_lime(model, 64)
    for cam in ("right", "opposite"):
        fused = errors(Fused(budget=64, target_layer=CAM_LAYER), model, cam)
        assert fused.mean() < 0.5 * lime.mean(), cam


def test_the_long_run_finds_what_the_closed_form_says() -> None:
    function, truth = odd_interactions(REGIONS, 0)
    found = long_run(function, REGIONS)
    # The products' variance is half of the weights': expected is the root of half of 64 regions over 32,768 pairs, 3 %.
    assert np.linalg.norm(found - truth) < 0.05 * np.linalg.norm(truth)


@pytest.mark.parametrize(
    ("model", "least_covered", "largest"),
    [("odd interactions", 0.88, 1.4), ("tanh, 2D", 0.9, 1.2), ("ReLU, 3D", 0.9, 1.2)],
)
def test_on_models_that_are_not_linear_errors_fall_and_intervals_hold(
    model: str, least_covered: float, largest: float
) -> None:
    """With a CAM in the wrong place, which must not make fused surer than it is."""
    few = errors(Fused(budget=64, target_layer=CAM_LAYER), model, "permuted")
    covered, squares = [], []
    many = []
    for seed in range(SEEDS):
        found, truth = explained(Fused(budget=600, target_layer=CAM_LAYER), model, "permuted", seed)
        pairs = found.forward_passes // 2
        assert found.parameters["intervals_supported"] is supports_intervals(REGIONS, pairs) is True
        away = (found.region_weights - truth) / found.region_std
        covered.append(np.mean(np.abs(away) <= found.interval_factor))
        squares.append(np.mean(away**2))
        many.append(np.linalg.norm(found.region_weights - truth) / np.linalg.norm(truth))
    assert np.mean(many) < 0.6 * few.mean()
    assert least_covered <= np.mean(covered) <= 0.99, covered
    assert 0.75 <= np.sqrt(np.mean(squares)) <= largest
