"""The verdict on maps that are known to be right, wrong or blind; the sentence's numbers; budgets and cancelling."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from evidence.conftest import SHAPE, Toy, as_attribution, gradient_map, make_toy, smooth_noise

from camlime.attribution import Attribution
from camlime.errors import RequestError
from camlime.evidence import Evidence, measure, scoring_baselines
from camlime.evidence.plan import SECOND_RUN_AT_MOST, Plan, default_budget
from camlime.evidence.randomisation import COPIES, PASSES_EACH
from camlime.evidence.summary import Remake
from camlime.evidence.words import STRONGEST
from camlime.methods.case import Case, Progress
from camlime.methods.sampling import Cancelled

BUDGET = 1300


def examined(toy: Toy, remake: Remake, budget: int = BUDGET, attribution: Attribution | None = None) -> Evidence:
    given = remake(toy.case, 0) if attribution is None else attribution
    return measure(toy.case, given, remake, toy.baselines(), budget=budget)


@pytest.mark.parametrize("padding", [False, True])
def test_the_right_map_is_supported(padding: bool) -> None:
    evidence = examined(make_toy(padding=padding), gradient_map)
    assert evidence.supported is True, evidence.reason
    for test in evidence.baselines.values():
        assert test.judged_abpc is not None and test.judged_abpc > max(test.copies_abpc)
        for name, control in test.controls.items():
            assert test.curves.abpc["log_odds"] > control.abpc["log_odds"], name
    assert evidence.repeatability is not None and evidence.repeatability.jaccard == 1
    assert evidence.passes <= BUDGET


def test_a_shuffled_map_is_not_supported() -> None:
    toy = make_toy()
    values = gradient_map(toy.case, 0).values
    shuffled = np.random.default_rng(2).permutation(values.ravel()).reshape(SHAPE)
    evidence = examined(toy, gradient_map, attribution=as_attribution(toy.case, shuffled))
    assert evidence.supported is False and "wrong place" in evidence.reason
    assert evidence.randomisation is not None and not evidence.randomisation.survives


def test_the_opposite_of_the_right_map_is_not_supported() -> None:
    toy = make_toy()
    evidence = examined(toy, gradient_map, attribution=as_attribution(toy.case, -gradient_map(toy.case, 0).values))
    assert evidence.supported is False
    assert all(test.curves.abpc["log_odds"] < 0 for test in evidence.baselines.values())


def test_a_map_that_survives_randomisation_is_not_supported() -> None:
    """It shows the right place, and would with any network."""
    toy = make_toy()
    right = gradient_map(toy.case, 0)
    evidence = examined(toy, lambda case, passes: right)
    assert all(test.passed for test in evidence.baselines.values())
    assert evidence.supported is False and "learned nothing" in evidence.reason


def test_a_constant_map_is_not_supported() -> None:
    toy = make_toy()
    evidence = examined(toy, gradient_map, attribution=as_attribution(toy.case, np.zeros(SHAPE)))
    assert evidence.supported is False and evidence.tied_share == 1


def test_maps_without_relation_are_rarely_supported() -> None:
    """At most 5 % by the copies of the first baseline alone; here both have to be exceeded."""
    toy = make_toy(batch_size=64)
    passed = []
    for seed in range(12):
        case = replace(toy.case, seed=seed)
        noise = np.random.default_rng(100 + seed).normal(size=SHAPE)
        evidence = measure(case, as_attribution(case, noise), smooth_noise, toy.baselines(), budget=BUDGET)
        passed.append(all(test.passed for test in evidence.baselines.values()))
    assert sum(passed) <= 2


def test_the_sentence_has_the_numbers_of_a_direct_computation() -> None:
    toy = make_toy()
    evidence = examined(toy, gradient_map)
    values, image = gradient_map(toy.case, 0).values, toy.case.input.image
    count = round(STRONGEST * values.size)
    removed = image.clone()
    removed[0].view(-1)[torch.from_numpy(np.argsort(-values, axis=None)[:count].copy())] = 0.1
    with torch.no_grad():
        before, after = (float(torch.softmax(toy.network(x[None]), dim=1)[0, 1]) for x in (image, removed))
    at_random = evidence.baselines["dim"].controls["random"].most_first.probability[3]
    assert f"strongest 5 % of the input by this map takes p(yes) from {before:.2f} to {after:.2f};" in evidence.sentence
    assert f"5 % at random, to {at_random:.2f} (replaced by: dim)." in evidence.sentence
    assert before > at_random > after


def test_the_same_seed_gives_the_same_evidence_at_any_batch_size() -> None:
    one, again, other = (examined(make_toy(batch_size=size), gradient_map) for size in (16, 16, 5))
    assert replace(one, seconds=0) == replace(again, seconds=0)
    for name, test in one.baselines.items():
        np.testing.assert_allclose(test.copies_abpc, other.baselines[name].copies_abpc, atol=1e-4)


def test_to_json_and_back() -> None:
    evidence = examined(make_toy(), gradient_map)
    record = json.loads(json.dumps(evidence.as_dict()))
    assert Evidence.from_dict(record) == evidence
    assert record["baselines"]["dim"]["copies_95th_percentile"] == evidence.baselines["dim"].threshold
    assert record["supported"] is True and record["baselines"]["grey"]["passed"] is True


def test_a_small_budget_gives_numbers_but_no_verdict() -> None:
    toy = make_toy()
    needed = Plan.within(10**6, gradient_map(toy.case, 0), 2).needed
    for budget in (1, 200, needed - 1):
        evidence = examined(toy, gradient_map, budget)
        assert evidence.supported is None and f"a verdict takes {needed}" in evidence.reason
        assert evidence.passes <= budget
        assert bool(evidence.baselines) == bool(evidence.sentence) == (budget >= 200)
        assert Evidence.from_dict(json.loads(json.dumps(evidence.as_dict()))) == evidence
    assert examined(toy, gradient_map, needed).supported is True


def test_a_large_budget_buys_more_copies() -> None:
    attribution = gradient_map(make_toy().case, 0)
    assert Plan.within(BUDGET, attribution, 2).copies == 19
    assert Plan.within(4000, attribution, 2).copies == 99


@pytest.mark.parametrize("passes", [60, 300, 1024, 5000])
def test_the_default_budget_is_everything_once(passes: int) -> None:
    blank = np.zeros(SHAPE, dtype=np.float32)
    fused = Attribution("fused", blank, region_weights=np.zeros(3), forward_passes=passes)
    budget = default_budget(fused, 2)
    saved = COPIES * max(PASSES_EACH - passes, 0)  # on random networks it has no more passes than it had itself
    assert budget == 1192 - saved + min(passes, SECOND_RUN_AT_MOST)
    plan = Plan.within(budget, fused, 2)
    assert plan.copies == 19 and plan.controls
    assert (plan.second_run, plan.against_map) == ((passes, True) if passes <= 1024 else (512, False))
    cam = Plan.within(default_budget(Attribution("gradcam", blank), 2), Attribution("gradcam", blank), 2)
    assert cam.copies == 19 and cam.controls and cam.second_run == 0


def test_progress_counts_all_passes_and_cancelling_ends_it() -> None:
    heard: list[Progress] = []
    toy = make_toy(on_progress=heard.append)
    evidence = examined(toy, gradient_map)
    done = [progress.done for progress in heard]
    assert done == sorted(done) and done[-1] <= evidence.passes <= heard[-1].total
    assert {progress.method for progress in heard} == {"evidence"}
    for after in (0, 3, 20):
        calls = iter(range(10**6))
        toy = make_toy(cancelled=lambda calls=calls, after=after: next(calls) >= after)
        with pytest.raises(Cancelled):
            examined(toy, gradient_map)


def test_without_a_random_network_there_is_no_verdict() -> None:
    toy = make_toy()

    def fails(case: Case, passes: int) -> Attribution:
        if case.classifier.network is not toy.network:
            raise RequestError("no such layer")
        return gradient_map(case, passes)

    evidence = examined(toy, fails)
    assert evidence.supported is None and "no such layer" in evidence.reason


def test_baselines_to_score_with_differ_from_the_explainers() -> None:
    given = make_toy().case.input
    mean = scoring_baselines((), given, given.image)["mean"]
    assert list(scoring_baselines((), given, given.image)) == ["blur", "mean"]
    assert list(scoring_baselines((), given, mean)) == ["blur", "median"]
    flat = replace(given, image=torch.ones_like(given.image))
    assert scoring_baselines((), flat, flat.image) == {}
    fixed = scoring_baselines((), given, torch.zeros_like(given.image), fixed=[0])
    assert fixed == {} or all(torch.equal(image, given.image) for image in fixed.values())


def test_without_baselines_there_is_no_verdict() -> None:
    toy = make_toy()
    evidence = measure(toy.case, gradient_map(toy.case, 0), gradient_map, {}, budget=BUDGET)
    assert evidence.supported is None and evidence.reason.startswith("not judged")
