"""LIME: stock as in the lime package; default exact where it can be, converging elsewhere, sure of what it says."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lime.lime_image import LimeImageExplainer
from numpy.typing import NDArray
from support.rows import paired_rows
from support.toy_cases import OfPresence, case_of, grid_regions, main_effects, presence_case
from torch import Tensor, nn

from camlime.errors import BundleError, RequestError
from camlime.methods.case import Case, Progress
from camlime.methods.designs import block_pairs, supports_intervals
from camlime.methods.evidence_model import RunningSums, fit
from camlime.methods.lime import Lime
from camlime.methods.sampling import Cancelled
from camlime.methods.segmentations import SegmentationResult, average_over_segmentations
from camlime.methods.stopping import StoppingRule
from camlime.regions import Regions


def small_network(dimensions: int, channels: int, classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
    pool = nn.AdaptiveAvgPool2d if dimensions == 2 else nn.AdaptiveAvgPool3d
    network = nn.Sequential(
        conv(channels, 6, 3, stride=2), nn.ReLU(), conv(6, 8, 3, stride=2), nn.ReLU(), pool(2), nn.Flatten(),
        nn.Linear(8 * 2**dimensions, classes),
    )  # fmt: skip
    with torch.no_grad():
        network[-1].weight *= 8
    return network


def patches(shape: tuple[int, ...], edge: int) -> Regions:
    index = np.indices(shape) // edge
    return Regions(np.ravel_multi_index(tuple(index), tuple(-(-n // edge) for n in shape)).astype(np.int32) + 1)


def network_case(shape: tuple[int, ...], channels: int = 1, edge: int = 8, **settings: object) -> Case:
    image = torch.rand(channels, *shape, generator=torch.Generator().manual_seed(1)) * 2
    options = {"names": ("no", "yes"), "activation": "softmax", "class_index": 1, **settings}
    return case_of(small_network(len(shape), channels), image, (patches(shape, edge),), **options)


# Stock


@pytest.mark.parametrize("seed", [0, 7])
def test_stock_has_the_packages_coefficients(seed: int) -> None:
    case = network_case((32, 40), channels=3, seed=seed, batch_size=16)
    network = copy.deepcopy(case.classifier.network).eval()

    def probabilities(images: NDArray[np.floating]) -> NDArray[np.floating]:
        with torch.no_grad():
            return network(torch.from_numpy(np.moveaxis(images, -1, 1)).float()).softmax(dim=1).double().numpy()

    package = LimeImageExplainer(random_state=seed).explain_instance(
        np.moveaxis(case.input.image.double().numpy(), 0, -1),
        probabilities,
        labels=(1,),
        top_labels=None,
        num_samples=150,
        batch_size=10,
        segmentation_fn=lambda image: case.regions[0].labels - 1,
        random_seed=seed,
    )
    expected = np.zeros(case.regions[0].count)
    for region, weight in package.local_exp[1]:
        expected[region] = weight
    ours = Lime(mode="stock", budget=150).explain(case)
    assert ours.region_weights == pytest.approx(expected, abs=1e-6)
    assert np.abs(expected).max() > 1e-3
    assert ours.parameters["intercept"] == pytest.approx(package.intercept[1], abs=1e-6)
    assert ours.parameters["weighted_r2"] == pytest.approx(package.score, abs=1e-5)
    assert ours.forward_passes == 150


def test_stock_runs_in_3d_and_finds_the_region_that_counts() -> None:
    regions = patches((12, 12, 12), 6)
    image = torch.rand(1, 12, 12, 12, generator=torch.Generator().manual_seed(0))
    image[regions.labels[None] == 3] *= torch.linspace(0, 4, 216)

    def contrast(x: Tensor) -> Tensor:  # the region's mean does not change when it is removed, but its spread does
        inside = x[:, 0][:, torch.from_numpy(regions.labels == 3)]
        return torch.stack([torch.zeros(len(x)), inside.std(dim=1) * 3 - 1], dim=1)

    class Contrast(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return contrast(x)

    case = case_of(Contrast(), image, (regions,), names=("no", "yes"), activation="softmax", class_index=1)
    result = Lime(mode="stock", budget=100).explain(case)
    assert result.values.shape == (12, 12, 12)
    assert np.argmax(result.region_weights) == 2
    assert np.sort(np.abs(result.region_weights))[-2] < 0.2 * result.region_weights[2]
    assert result.std is None


def test_stock_cancelled_keeps_what_is_there() -> None:
    answered = itertools.count()
    case = network_case((24, 24), batch_size=8, cancelled=lambda: next(answered) >= 3)
    result = Lime(mode="stock", budget=100).explain(case)
    assert result.forward_passes == 24
    assert result.parameters["cancelled"] is True


# Default: exact


def linear(d: int, seed: int = 0) -> tuple[Callable[[Tensor], Tensor], NDArray[np.float64]]:
    weights = np.random.default_rng(seed).standard_normal(d)
    return lambda p: p @ torch.from_numpy(weights) + 0.3, weights


@pytest.mark.parametrize("d", [2, 7, 8, 31, 63])
def test_exact_on_a_linear_model_in_one_block(d: int) -> None:
    function, weights = linear(d)
    result = Lime(budget=max(2 * block_pairs(d), 16)).explain(presence_case(function, d))
    assert np.abs(result.region_weights - weights).max() < 1e-6
    assert result.forward_passes == max(2 * block_pairs(d), 16)
    assert result.values.ravel() == pytest.approx(np.repeat(weights, 2), abs=1e-6)


def test_exact_on_an_image_network_that_is_linear() -> None:
    """Weights by region are the sums of weight times (image - baseline) over its voxels, in 3D, with padding kept."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(2 * 6 * 6 * 4, 3))
    image, baseline = torch.randn(2, 2, 6, 6, 4)
    labels = patches((6, 6, 4), 2).labels.copy()
    labels[labels == labels.max()] = 0
    regions = Regions(labels)
    case = case_of(
        network, image, (regions,), baseline=baseline, names=("a", "b", "c"), activation="sigmoid", class_index=2
    )
    expected = regions.pool(
        (network[1].weight[2].reshape(image.shape) * (image - baseline)).sum(dim=0).detach().numpy()
    )
    result = Lime(budget=2 * block_pairs(regions.count)).explain(case)
    assert np.abs(result.region_weights - expected).max() < 1e-6
    assert not result.values[labels == 0].any()


@pytest.mark.parametrize("d", [8, 10])
def test_even_interactions_cancel_exactly(d: int) -> None:
    pairs = torch.from_numpy(np.random.default_rng(1).standard_normal((d, d)))
    signs = torch.from_numpy(np.random.default_rng(2).standard_normal(d))

    def function(p: Tensor) -> Tensor:
        s = 2 * p - 1
        fourth = 2 * s[:, 0] * s[:, 1] * s[:, 2] * s[:, 3]
        return p @ signs + ((p @ pairs) * p).sum(dim=1) + fourth

    expected = main_effects(function, d)
    result = Lime(budget=2 * block_pairs(d)).explain(presence_case(function, d))
    assert np.abs(result.region_weights - expected).max() < 2e-6
    assert np.abs(expected).max() > 1


@pytest.mark.parametrize("d", [8, 9, 10])
def test_converges_to_the_main_effects_under_interactions(d: int) -> None:
    rng = np.random.default_rng(d)
    weights = torch.from_numpy(rng.standard_normal(d))

    def function(p: Tensor) -> Tensor:
        hidden = torch.relu(p @ weights - 0.5) + 2 * p[:, 0] * p[:, 1] * p[:, 2] - p[:, 3] * p[:, 4] * (1 - p[:, 5])
        return hidden + 0.5 * torch.sin(3 * p.sum(dim=1))

    expected = main_effects(function, d)
    errors = []
    for blocks in (2, 32, 1024):
        result = Lime(budget=2 * blocks * block_pairs(d)).explain(presence_case(function, d, batch_size=512))
        errors.append(np.linalg.norm(result.region_weights - expected) / np.linalg.norm(expected))
    assert errors[2] < 0.05  # of 12 000 pairs or more
    assert errors[2] < 0.25 * errors[0]  # expected: sqrt(2 / 1024)


# Default: how sure


@pytest.mark.parametrize(
    ("d", "pairs"),
    [(15, 30), (15, 64), (16, 48), (17, 48), (17, 64), (31, 64), (32, 96), (33, 96), (40, 128), (60, 128)],
    ids=str,
)
def test_intervals_cover_the_truth(d: int, pairs: int) -> None:
    """Log-odds with pair and triple interactions (a third of the answers' variance); 40 models and masks each.

    Where intervals are supported: 95 % intervals cover at least 88 % (and the claim is no larger than needed: at most
    99.5 %).
    """
    assert supports_intervals(d, pairs)
    covered = []
    for seed in range(40):
        rng = np.random.default_rng([seed, d])
        weights = rng.standard_normal(d) * rng.choice([0.3, 1.5], size=d)
        triples = np.array([rng.permutation(d)[:3] for _ in range(2 * d)])
        sizes = rng.standard_normal(2 * d)
        sizes *= np.sqrt(0.5 * np.sum(weights**2) / 4 / np.sum(sizes**2))
        sums = RunningSums.empty(d)
        for rows in paired_rows(d, pairs, rng):
            sums.add(rows / 2, rows / 2 @ weights + rows[:, triples].astype(float).prod(axis=2) @ sizes)
        found = fit(sums)
        covered.append(np.abs(found.mean - weights) <= found.interval_factor * found.std)
    assert 0.88 <= np.mean(covered) <= 0.995, np.mean(covered)


@pytest.mark.parametrize("d", [3, 4, 5, 6, 7])
def test_of_a_handful_of_regions_no_weight_is_wrong_for_certain(d: int) -> None:
    """A product of three that is the fourth region's column in Hadamard's matrix of order 8."""
    weights = torch.linspace(1.0, 0.2, d, dtype=torch.float64)

    def function(p: Tensor) -> Tensor:
        s = 2 * p - 1
        return p @ weights + 0.8 * s[:, 0] * s[:, 1] * s[:, 2]

    claimed = next(pairs for pairs in range(8, 200) if supports_intervals(d, pairs))
    for seed in range(20):
        found = Lime(budget=2 * claimed).explain(presence_case(function, d, seed=seed))
        assert found.parameters["intervals_supported"] is True
        away = np.abs(found.region_weights - main_effects(function, d))
        assert (away <= found.interval_factor * found.region_std + 1e-6).mean() >= 0.8
        assert not ((away > 0.2) & (away > 4 * found.region_std)).any(), (seed, away, found.region_std)


def test_intervals_are_said_to_be_supported_only_where_they_are() -> None:
    function, _ = linear(15)
    one_block = Lime(budget=32).explain(presence_case(function, 15))
    assert one_block.parameters["intervals_supported"] is False
    two_blocks = Lime(budget=64).explain(presence_case(function, 15))
    assert two_blocks.parameters["intervals_supported"] is True


# Default: the same again, at any batch size, cut short


@pytest.mark.parametrize("shape", [(32, 32), (16, 16, 16)])
def test_batch_size_does_not_matter(shape: tuple[int, ...]) -> None:
    maps = [Lime(budget=100).explain(network_case(shape, batch_size=size)).values for size in (64, 1, 3, 7)]
    for other in maps[1:]:
        assert np.abs(other - maps[0]).max() < 1e-4 * np.ptp(maps[0])
    assert np.ptp(maps[0]) > 0.01


AGAIN = """
import hashlib, sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads({threads})
from methods.test_lime import network_case
from camlime.methods.lime import Lime
result = Lime(budget=96).explain(network_case((16, 16, 16), batch_size=7, seed=3))
print(hashlib.sha256(result.values.tobytes() + result.std.tobytes() + result.region_weights.tobytes()).hexdigest())
"""


def test_bit_for_bit_the_same_again_in_a_new_process(run_python: Callable[[str], str]) -> None:
    runs = [Lime(budget=96).explain(network_case((16, 16, 16), batch_size=7, seed=seed)) for seed in (3, 3, 4)]
    assert np.array_equal(runs[0].values, runs[1].values)
    assert np.array_equal(runs[0].std, runs[1].std)
    assert not np.array_equal(runs[0].values, runs[2].values)
    code = AGAIN.format(tests=str(Path(__file__).parents[1]), threads=torch.get_num_threads())
    everything = b"".join(array.tobytes() for array in (runs[0].values, runs[0].std, runs[0].region_weights))
    assert run_python(code).strip() == hashlib.sha256(everything).hexdigest()


def test_cancelled_keeps_a_valid_result_of_what_was_answered() -> None:
    function, weights = linear(15)
    answered = itertools.count()
    case = presence_case(function, 15, batch_size=10, cancelled=lambda: next(answered) >= 4)
    result = Lime(budget=400).explain(case)
    assert result.forward_passes == case.classifier.passes.forward == 40
    assert result.parameters["cancelled"] is True
    assert np.abs(result.region_weights - weights).max() < 1e-5  # 20 pairs of a block of 32 determine 15 weights
    assert np.isfinite(result.std).all()


def test_cancelled_at_once_is_an_outcome_of_its_own() -> None:
    function, _ = linear(5)
    for mode in ("default", "stock"):
        with pytest.raises(Cancelled):
            Lime(mode=mode).explain(presence_case(function, 5, cancelled=lambda: True))


def test_cancelled_in_the_second_segmentation_keeps_the_first() -> None:
    function, weights = linear(7)
    answered = itertools.count()
    case = presence_case(function, 7, segmentations=2, cancelled=lambda: next(answered) >= 1)
    result = Lime(budget=64).explain(case)
    assert result.parameters["segmentations"] == 1
    assert np.abs(result.region_weights - weights).max() < 1e-6


def test_progress_counts_up_to_the_total_over_all_segmentations() -> None:
    reports: list[Progress] = []
    function, _ = linear(7)
    Lime(budget=100).explain(presence_case(function, 7, segmentations=3, batch_size=6, on_progress=reports.append))
    done = [report.done for report in reports]
    assert done == sorted(done)
    assert {report.total for report in reports} == {done[-1]} == {96}


# Default: until certain, bad requests, bad answers


def test_until_certain_stops_when_it_is_and_says_so() -> None:
    function, weights = linear(20)

    def interacting(p: Tensor) -> Tensor:
        s = 2 * p - 1
        return function(p) + 0.3 * s[:, 0] * s[:, 5] * s[:, 9] + 0.3 * s[:, 2] * s[:, 3] * s[:, 4]

    rule = StoppingRule(relative_error=0.05, top=3, most_passes=8000)
    result = Lime(budget=rule).explain(presence_case(interacting, 20))
    assert result.forward_passes < 8000
    assert result.region_std.max() <= 0.05 * np.abs(result.region_weights).max()
    assert result.parameters["stopped_because"][0].startswith("certain enough")
    assert np.abs(result.region_weights - weights).max() < 0.2 * np.abs(weights).max()


def test_until_certain_says_when_the_bound_came_first() -> None:
    function, _ = linear(20)
    noise = torch.Generator().manual_seed(0)
    case = presence_case(lambda p: function(p) + 5 * torch.randn(len(p), generator=noise), 20, segmentations=2)
    result = Lime(budget=StoppingRule(most_passes=300)).explain(case)
    assert result.forward_passes <= 300
    assert ["bound of 300" in reason for reason in result.parameters["stopped_because"]] == [True, True]


@pytest.mark.parametrize(
    ("settings", "segmentations"),
    [
        ({"budget": 4}, 1),
        ({"budget": 20}, 11),
        ({"budget": 1, "mode": "stock"}, 1),
        ({"budget": StoppingRule(most_passes=3)}, 1),
    ],
)
def test_too_small_a_budget_is_a_request_error(settings: dict[str, object], segmentations: int) -> None:
    function, _ = linear(5)
    with pytest.raises(RequestError):
        Lime(**settings).explain(presence_case(function, 5, segmentations=segmentations))


@pytest.mark.parametrize("settings", [{"mode": "fast"}, {"mode": "stock", "budget": StoppingRule()}])
def test_a_request_that_cannot_be_met_is_refused_at_once(settings: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        Lime(**settings)


def test_answers_that_are_not_numbers_are_a_bundle_error() -> None:
    with pytest.raises(BundleError, match="not a finite number"):
        Lime(budget=32).explain(presence_case(lambda p: 1 / (p[:, 0] - p[:, 0]), 5))


def test_a_model_that_never_changes_its_mind_has_zero_weights() -> None:
    result = Lime(budget=32).explain(presence_case(lambda p: 0 * p[:, 0] + 2, 5))
    assert not result.values.any()
    assert not result.std.any()


def test_one_region() -> None:
    result = Lime(budget=16).explain(presence_case(lambda p: 3 * p[:, 0], 1))
    assert result.region_weights == pytest.approx([3.0], abs=1e-6)


# Several segmentations


def test_voxel_mean_and_variance_over_segmentations_by_hand() -> None:
    first, second = Regions(np.array([[1, 1, 2, 0]], dtype=np.int32)), Regions(np.array([[1, 2, 2, 0]], dtype=np.int32))
    results = []
    for regions, weights in ((first, [2.0, -1.0]), (second, [1.0, 4.0])):
        rng = np.random.default_rng(0)
        sums = RunningSums.empty(2)
        rows = rng.choice([-0.5, 0.5], size=(40, 2))
        sums.add(rows, rows @ weights + 0.3 * rng.standard_normal(40))
        results.append(SegmentationResult(regions, fit(sums), sums))
    mean, std = average_over_segmentations(results)
    a, b = (result.posterior for result in results)
    for voxel, (i, j) in enumerate([(0, 0), (0, 1), (1, 1)]):
        assert mean[0, voxel] == pytest.approx((a.mean[i] + b.mean[j]) / 2, rel=1e-6)
        between = (a.mean[i] - b.mean[j]) ** 2 / 4
        assert std[0, voxel] == pytest.approx(np.sqrt((a.std[i] ** 2 + b.std[j] ** 2) / 2 + between), rel=1e-5)
    assert (mean[0, 3], std[0, 3]) == (0, 0)


def test_segmentations_share_the_budget_and_each_is_explained() -> None:
    shape = (1, 24)
    network = OfPresence(grid_regions(shape, 24), lambda p: p[:, :12].mean(dim=1) * 6)
    regions = tuple(grid_regions(shape, d) for d in (6, 8, 12))
    result = Lime(budget=200).explain(case_of(network, torch.ones(1, *shape), regions))
    assert result.forward_passes <= 200
    assert result.parameters["regions"] == [6, 8, 12]
    assert result.values[0, :12] == pytest.approx([(6 / 3 + 6 / 4 + 6 / 6) / 3] * 12, abs=1e-5)
    assert result.values[0, 12:] == pytest.approx([0] * 12, abs=1e-5)
