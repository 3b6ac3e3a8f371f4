"""Maps on networks that have learned nothing."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from evidence.conftest import gradient_map, make_toy, smooth_noise
from monai.networks.nets import resnet10
from scipy.stats import spearmanr
from torch import nn

from camlime.evidence import randomisation
from camlime.evidence.meter import Meter
from camlime.evidence.randomisation import (
    COPIES,
    MIXES,
    RandomNetworks,
    check_randomisation,
    randomised,
    rank_correlation,
)
from camlime.methods.case import Case


def check(case: Case, method):  # type: ignore[no-untyped-def]
    meter = Meter(case, 0)
    networks = RandomNetworks(case, case.classifier, meter)
    return check_randomisation(case, networks, method(case, 0), method), meter


def test_a_map_of_the_model_changes_and_one_of_nothing_survives() -> None:
    case = make_toy().case
    right, _ = check(case, gradient_map)
    assert right.similarity < 0.5 and not right.survives
    blind, _ = check(case, smooth_noise)
    assert blind.similarity == pytest.approx(1) and blind.survives


@pytest.mark.parametrize(("own", "each"), [(40, 40), (1000, 96)])
def test_maps_are_made_again_with_no_more_passes_than_they_had(own: int, each: int) -> None:
    """Below 64 passes fused has no CAM columns: with more it would be compared with another method."""
    asked = []

    def remake(case: Case, passes: int):  # type: ignore[no-untyped-def]
        asked.append(passes)
        return smooth_noise(case)

    case = make_toy().case
    networks = RandomNetworks(case, case.classifier, Meter(case, 0))
    attribution = replace(smooth_noise(case), forward_passes=own - 2, backward_passes=1)
    check_randomisation(case, networks, attribution, remake)
    assert asked == [each] * COPIES


def test_a_map_that_only_changes_its_sign_survives() -> None:
    case = make_toy().case
    signs = iter([1, -1, 1, -1])

    def turning(case: Case, passes: int):  # type: ignore[no-untyped-def]
        made = smooth_noise(case)
        sign = next(signs)
        return type(made)(made.method, sign * made.values, region_weights=sign * made.region_weights)

    assert check(case, turning)[0].survives


def test_random_networks_keep_the_size_of_the_weights_and_nothing_else() -> None:
    network = resnet10(spatial_dims=3, n_input_channels=1, num_classes=2)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    one, again, other = (randomised(network, seed) for seed in (0, 0, 1))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    for (name, old), a, b, c in zip(
        network.named_parameters(), *(n.parameters() for n in (one, again, other)), strict=True
    ):
        assert torch.equal(a, b), name
        if old.ndim > 1:
            assert not torch.equal(a, c)
            assert abs(np.corrcoef(a.flatten(), old.flatten())[0, 1]) < 0.15, name
            assert float(a.square().mean().sqrt()) == pytest.approx(float(old.square().mean().sqrt()), rel=0.15), name


def test_batch_statistics_are_measured_anew_and_modes_restored() -> None:
    toy = make_toy()
    network = nn.Sequential(
        nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    toy.case.classifier.network = network.eval()
    seen = []

    def look(case: Case, passes: int):  # type: ignore[no-untyped-def]
        seen.append(case.classifier.network)
        return smooth_noise(case)

    _, meter = check(toy.case, look)
    assert meter.passes == 3 * len(MIXES)
    for other in seen[1:]:
        assert not other[1].training and float(other[1].running_mean.abs().max()) > 0
        images = torch.stack([torch.lerp(toy.case.input.image, toy.case.baseline, mix) for mix in MIXES])
        with torch.no_grad():
            normalised = other[1](other[0](images))
        np.testing.assert_allclose(normalised.mean(dim=(0, 2, 3, 4)), other[1].bias.detach(), atol=1e-4)
    assert torch.equal(network[1].running_mean, torch.zeros(4))


@pytest.mark.parametrize(("held", "made"), [(1 << 20, COPIES), (0, 2 * COPIES)])
def test_the_maps_of_a_case_share_random_networks_of_a_size_that_can_be_held(
    monkeypatch: pytest.MonkeyPatch, held: int, made: int
) -> None:
    monkeypatch.setattr(randomisation, "HELD_BYTES", held)
    case = make_toy().case
    networks = RandomNetworks(case, case.classifier, Meter(case, 0))
    seen: list[Case] = []

    def look(case: Case, passes: int):  # type: ignore[no-untyped-def]
        seen.append(case)
        return gradient_map(case, passes)

    one, other = (check_randomisation(case, networks, gradient_map(case, 0), look) for _ in range(2))
    assert one == other
    assert len({id(case.classifier.network) for case in seen}) == made
    assert networks.meter.passes == 2 * 3 * COPIES  # a forward and a backward pass each


def test_rank_correlation() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50).round(1), rng.normal(size=50).round(1)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b)[0])
    weights = rng.integers(0, 4, 50)
    assert -1 <= rank_correlation(a, b, weights=weights.astype(float)) <= 1
    assert rank_correlation(a, a, weights=weights.astype(float)) == pytest.approx(1)
    assert rank_correlation(a, np.zeros(50)) == 0
