"""How the passes for the evidence are shared between maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evidence.conftest import SHAPE, gradient_map, make_toy

from camlime.attribution import Attribution
from camlime.evidence import Examination, measure
from camlime.evidence.plan import Plan, default_budget, default_budget_of_all, share
from camlime.evidence.randomisation import COPIES, MIXES, SURVEY, passes_of_check

BLANK = np.zeros(SHAPE, dtype=np.float32)
FUSED = Attribution("fused", BLANK, region_weights=np.zeros(3), forward_passes=1024)
CAM = Attribution("gradcam", BLANK, forward_passes=1, backward_passes=1)
LIME = Attribution("lime", BLANK, region_weights=np.zeros(3), forward_passes=1024)
MAPS = [FUSED, CAM, LIME]


@pytest.mark.parametrize("budget", [0, 1, 140, 500, 1063, 1064, 1300, 2216, 2900, 3884, 5000, 20000])
def test_all_plans_together_keep_to_the_budget(budget: int) -> None:
    plans = share(budget, MAPS, 2)
    assert sum(plan.passes for plan in plans) <= budget
    assert all(plan.passes <= plan.allowed for plan in plans)


def test_the_default_is_everything_on_the_first_map_and_a_verdict_on_the_others() -> None:
    budget = default_budget_of_all(MAPS, 2)
    first, cam, lime = share(budget, MAPS, 2)
    assert first == replace(Plan.within(default_budget(FUSED, 2), FUSED, 2), allowed=first.allowed)
    assert first.copies == cam.copies == lime.copies == 19
    assert first.second_run == 1024 and lime.second_run == 0
    assert first.controls and cam.controls and lime.controls
    assert cam.needed < lime.needed < first.needed  # a CAM is cheap to make again, and controls are measured once
    assert budget < 2 * default_budget(FUSED, 2)


def test_the_first_map_comes_first_and_what_is_left_is_spent() -> None:
    first, cam, lime = share(1100, MAPS, 2)
    assert first.copies == 19 and cam.copies == lime.copies == 0
    first, cam, lime = share(default_budget(FUSED, 2) + cam.needed, MAPS, 2)
    assert cam.copies == 19 and lime.copies == 0
    first, _, lime = share(default_budget_of_all(MAPS, 2) + 1024, MAPS, 2)
    assert lime.second_run == 1024 and first.copies == 19
    first, _, lime = share(20000, MAPS, 2)
    assert first.copies == 199 and lime.copies == 19


@pytest.mark.parametrize(("weights", "passes"), [(np.zeros(200), 201), (None, 402)])
def test_occlusion_is_made_again_whole(weights: np.ndarray | None, passes: int) -> None:
    """With more regions than other methods have passes for a random network; the budget has to hold for it as well."""
    found = Attribution("occlusion", BLANK, region_weights=weights, forward_passes=402, parameters={"random": False})
    assert passes_of_check(found) == COPIES * (passes + len(MIXES) + SURVEY)
    assert Plan.within(default_budget(found, 2), found, 2).copies == 19


def test_maps_examined_together_have_the_numbers_of_each_alone() -> None:
    """What they share is measured once, and that changes nothing but the passes."""
    toy = make_toy()
    right = gradient_map(toy.case, 0)
    noise = replace(right, values=np.random.default_rng(4).normal(size=SHAPE).astype(np.float32))
    plans = share(3000, [right, noise], 2)
    examination = Examination(toy.case, toy.baselines(), 3000)
    together = [examination.evidence(a, gradient_map, plan) for a, plan in zip((right, noise), plans, strict=True)]
    alone = measure(toy.case, noise, gradient_map, toy.baselines(), budget=1300)
    for name, test in together[1].baselines.items():
        assert test.curves == alone.baselines[name].curves
        assert test.controls == alone.baselines[name].controls
        assert test.copies_abpc == alone.baselines[name].copies_abpc
    assert together[1].randomisation == alone.randomisation
    assert together[0].supported is True and together[1].supported is False
    assert sum(evidence.passes for evidence in together) <= 3000
    assert together[1].passes < alone.passes
