"""Deletion and insertion curves, against a loop that removes one voxel after the other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from evidence.conftest import SHAPE, make_toy

from camlime.evidence.curves import (
    COARSE_FRACTIONS,
    FRACTIONS,
    MapCurves,
    Removal,
    numbers_removed,
    ranking,
    tied_share,
)
from camlime.evidence.meter import Meter
from camlime.methods.case import Case


def removal(case: Case, baseline: torch.Tensor) -> Removal:
    meter = Meter(case, 0)
    return Removal(case, meter.counted(case.classifier), baseline, meter)


def answer(case: Case, image: torch.Tensor) -> tuple[float, float]:
    logits = case.classifier.logits(image[None])
    odds = case.classifier.log_odds(logits.double(), case.class_index)
    return float(odds), float(case.classifier.probabilities(logits.double())[0, case.class_index])


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("padding", [False, True])
def test_curves_are_those_of_a_slow_loop(batch_size: int, padding: bool) -> None:
    case = make_toy(batch_size=batch_size, padding=padding).case
    valid = case.input.valid.numpy()
    values = np.random.default_rng(3).normal(size=SHAPE)
    baseline = torch.full_like(case.input.image, 0.2)
    found = removal(case, baseline).curves(ranking(values, valid, np.random.default_rng(0)))

    places = sorted(map(tuple, np.argwhere(valid)), key=lambda place: -values[place])
    for curve, order, start, other in (
        (found.most_first, places, case.input.image, baseline),
        (found.least_first, places[::-1], case.input.image, baseline),
        (found.insertion, places, torch.where(case.input.valid, baseline, case.input.image), case.input.image),
    ):
        image, done = start.clone(), 0
        for i, share in enumerate(found.fractions):
            for place in order[done : round(share * len(order))]:
                image[(0, *place)] = other[(0, *place)]
            done = round(share * len(order))
            np.testing.assert_allclose((curve.log_odds[i], curve.probability[i]), answer(case, image), atol=1e-5)

    x, most, least = found.fractions, found.most_first.log_odds, found.least_first.log_odds
    area = sum((x[i + 1] - x[i]) * (least[i] + least[i + 1] - most[i] - most[i + 1]) / 2 for i in range(len(x) - 1))
    assert found.abpc["log_odds"] == pytest.approx(area)


def test_passes_are_two_a_share() -> None:
    case = make_toy().case
    meter = Meter(case, 0)
    test = Removal(case, meter.counted(case.classifier), case.baseline, meter)
    assert meter.passes == 2
    test.curves(ranking(np.zeros(SHAPE), case.input.valid.numpy(), np.random.default_rng(0)))
    assert meter.passes == 2 + 2 * (len(FRACTIONS) - 2)
    assert case.classifier.passes.forward == 0  # the caller's counter is left alone


def test_padding_is_never_removed() -> None:
    case = make_toy(padding=True).case
    valid = case.input.valid.numpy()
    values = np.where(valid, 0.0, 100.0)
    ranks = ranking(values, valid, np.random.default_rng(0))
    assert (ranks[~valid] == -1).all() and sorted(ranks[valid]) == list(range(valid.sum()))
    seen: list[torch.Tensor] = []
    forward = case.classifier.network.forward
    case.classifier.network.forward = lambda x: (seen.append(x.clone()), forward(x))[1]  # type: ignore[method-assign]
    removal(case, torch.full_like(case.input.image, -7)).curves(ranks)
    images = torch.cat(seen)[:, 0]
    assert torch.equal(images[:, ~case.input.valid], case.input.image[0][~case.input.valid].expand(len(images), -1))
    assert (images[:, case.input.valid] == -7).all(dim=1).any()


def test_plateaus_come_in_random_but_repeatable_order() -> None:
    valid = np.ones((20, 20), dtype=bool)
    values = np.zeros((20, 20))
    values[:10] = 1.0
    one, again, other = (ranking(values, valid, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.9
    assert (one[:10] < 200).all() and (one[10:] >= 200).all()
    assert abs(np.corrcoef(one[:10].ravel(), np.arange(200))[0, 1]) < 0.2  # neither first nor last in memory
    assert tied_share(values, valid) == 1
    values[0, 0] = 9
    assert tied_share(values, valid) == pytest.approx(399 / 400)


def test_shares_mirror_and_the_coarse_are_among_the_fine() -> None:
    assert set(COARSE_FRACTIONS) < set(FRACTIONS)
    for shares in (FRACTIONS, COARSE_FRACTIONS):
        np.testing.assert_allclose(np.add(shares, shares[::-1]), 1)
        for voxels in (2, 7, 101, 8192):
            counts = np.array(numbers_removed(shares, voxels))
            assert (counts + counts[::-1] == voxels).all() and (np.diff(counts) >= 0).all()


def test_to_json_and_back() -> None:
    case = make_toy().case
    found = removal(case, case.baseline).curves(
        ranking(np.zeros(SHAPE), case.input.valid.numpy(), np.random.default_rng(0))
    )
    record = json.loads(json.dumps(found.as_dict()))
    assert MapCurves.from_dict(record) == found
    assert record["insertion"]["log_odds"] == record["least_first"]["log_odds"][::-1]
