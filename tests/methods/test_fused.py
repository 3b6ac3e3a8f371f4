"""Fused: what a CAM is worth is found out, passes are counted as they happen, gradients are right."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.rows import paired_rows
from support.toy_cases import case_of, grid_regions, presence_case
from torch import Tensor, nn

from camlime.errors import RequestError
from camlime.masking import Masker
from camlime.methods.case import Case
from camlime.methods.designs import blocks, order_by_information
from camlime.methods.fused import MASKED_GRADIENT, Fused, pooled
from camlime.methods.lime import Lime
from camlime.methods.sampling import HALF_PRESENT, Cancelled, PairSampler
from camlime.methods.stopping import StoppingRule
from camlime.regions import Regions

SHAPE = (32, 32)


class Averaging(nn.Module):
    """Features, their mean over the image, a linear layer: Grad-CAM shows each cell's share of the logit.

    With ``scrambled``, cells count with random weights of either sign: Grad-CAM's mean gradient then says nothing.
    """

    def __init__(self, *, scrambled: bool = False, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.features = nn.Conv2d(1, 1, 2, stride=2, bias=False)
        self.features.weight.data.fill_(0.25)
        self.act = nn.ReLU()
        self.flat = nn.Flatten()
        self.head = nn.Linear(256, 1, bias=False)
        weights = torch.randn(1, 256, generator=generator) if scrambled else torch.ones(1, 256)
        self.head.weight.data.copy_(weights / 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flat(self.act(self.features(x))))


class Smooth(nn.Module):
    """Nonlinear everywhere, with a derivative everywhere, in float64."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Softplus(), nn.Conv2d(4, 4, 3), nn.Tanh()
        )
        self.head = nn.Linear(4, 3)
        self.head.weight.data *= 5
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))


def patches(edge: int, shape: tuple[int, int] = SHAPE) -> Regions:
    rows, columns = np.indices(shape) // edge
    return Regions((rows * -(-shape[1] // edge) + columns + 1).astype(np.int32))


def lumpy_image() -> Tensor:
    """A few bright patches of 4x4 on a dim background, never below zero."""
    generator = torch.Generator().manual_seed(3)
    bright = (torch.rand(8, 8, generator=generator) < 0.2).float() * 3 + torch.rand(8, 8, generator=generator)
    return bright.repeat_interleave(4, 0).repeat_interleave(4, 1)[None] + 0.05 * torch.rand(
        1, 32, 32, generator=generator
    )


def averaging_case(*, scrambled: bool = False, **settings: Any) -> Case:
    network = Averaging(scrambled=scrambled, seed=settings.get("seed", 0))
    return case_of(network, lumpy_image(), (patches(4),), **settings)


def true_weights(case: Case) -> NDArray[np.float64]:
    """The network is linear where nothing is negative: what each region adds, alone."""
    masker = Masker(case.input.image, case.baseline, case.regions[0], torch.device("cpu"))
    with torch.no_grad():
        return case.classifier.network(masker(torch.eye(case.regions[0].count)))[:, 0].double().numpy()


def error(found: NDArray[np.float64], case: Case) -> float:
    truth = true_weights(case)
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def mean_errors(*, scrambled: bool, budget: int = 72, seeds: int = 12) -> tuple[float, float]:
    lime, fused = [], []
    for seed in range(seeds):
        case = averaging_case(scrambled=scrambled, seed=seed)
        method = Fused(budget=budget, cam_columns=("gradcam",), gradient_pairs=0, target_layer="act")
        lime.append(error(Lime(budget=budget).explain(case).region_weights, case))
        fused.append(error(method.explain(case).region_weights, case))
    return float(np.mean(lime)), float(np.mean(fused))


def test_a_cam_that_is_right_is_used() -> None:
    lime, fused = mean_errors(scrambled=False)
    assert lime > 0.1
    assert fused < 0.2 * lime


def test_a_cam_that_is_useless_costs_little() -> None:
    lime, fused = mean_errors(scrambled=True)
    assert fused < 1.06 * lime


def test_badges_of_a_right_and_a_useless_cam() -> None:
    for scrambled, badge in ((False, "concordant"), (True, "CAM uninformative")):
        method = Fused(budget=300, gradient_pairs=0, target_layer="act")
        method.explain(averaging_case(scrambled=scrambled))
        assert method.agreement is not None
        assert method.agreement.badge == badge


def test_the_masked_gradient_alone_finds_a_linear_network() -> None:
    case = averaging_case(scrambled=True)
    result = Fused(budget=72, cam_columns=(), gradient_pairs=2).explain(case)
    assert error(result.region_weights, case) < 0.02
    assert list(result.parameters["columns"]) == [MASKED_GRADIENT]


# Passes


@dataclass
class Count:
    forward: int = 0
    backward: int = 0
    batches: list[int] = field(default_factory=list)


@contextmanager
def counted(network: nn.Module, head: nn.Module) -> Iterator[Count]:
    """Images that really go through a network and back through its head."""
    count = Count()

    def went_forward(module: nn.Module, args: Any, output: Tensor) -> None:
        count.forward += len(output)
        count.batches.append(len(output))

    def went_back(module: nn.Module, grad_input: Any, grad_output: tuple[Tensor, ...]) -> None:
        count.backward += len(grad_output[0])

    handles = [network.register_forward_hook(went_forward), head.register_full_backward_hook(went_back)]
    try:
        yield count
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("segmentations", [1, 2, 3])
@pytest.mark.parametrize(("budget", "gradient_pairs"), [(70, 4), (100, 0), (131, 3), (200, 20)])
def test_passes_are_counted_as_they_happen_and_keep_to_the_budget(
    budget: int, gradient_pairs: int, segmentations: int
) -> None:
    network = Averaging()
    regions = tuple(patches(edge) for edge in (8, 7, 6)[:segmentations])
    case = case_of(network, lumpy_image(), regions, batch_size=5)
    method = Fused(budget=budget, gradient_pairs=gradient_pairs, target_layer="act")
    try:
        with counted(network, network.head) as count:
            result = method.explain(case)
    except RequestError as too_small:
        assert "too small" in str(too_small)
        assert budget < 4 * gradient_pairs + 2 * segmentations + 8
        return
    assert (result.forward_passes, result.backward_passes) == (count.forward, count.backward)
    assert count.forward + 2 * count.backward <= budget
    assert count.forward + 2 * count.backward > budget - 2 * segmentations - 4 * gradient_pairs
    assert max(count.batches) <= 5


def test_a_budget_that_is_spent_before_the_first_pair_is_a_request_error() -> None:
    with pytest.raises(RequestError, match="too small"):
        Fused(budget=20, gradient_pairs=8, target_layer="act").explain(averaging_case())


@pytest.mark.parametrize(
    ("budget", "pairs"), [(16, 1), (19, 1), (20, 2), (48, 2), (50, 3), (52, 3), (64, 3), (80, 4), (1024, 4)]
)
def test_a_small_budget_has_fewer_gradients(budget: int, pairs: int) -> None:
    assert Fused(budget=budget).gradient_pairs == pairs


@pytest.mark.parametrize(("budget", "segmentations"), [(24, 5), (64, 20), (32, 3)])
def test_gradients_that_no_segmentation_has_pairs_for_do_not_count(budget: int, segmentations: int) -> None:
    """All that a budget allows is used, up to the two passes a segmentation that cannot be shared."""
    several = tuple(patches(4) for _ in range(segmentations))
    case = case_of(Averaging(scrambled=False, seed=0), lumpy_image(), several)
    found = Fused(budget=budget, cam_columns=()).explain(case)
    spent = found.forward_passes + 2 * found.backward_passes
    assert budget - 2 * segmentations < spent <= budget


def test_negative_gradient_pairs_are_refused() -> None:
    with pytest.raises(RequestError):
        Fused(gradient_pairs=-1)


# The masked gradient


def test_the_masked_gradient_is_a_slow_finite_difference_of_presence() -> None:
    network, pairs, step = Smooth(), 3, 1e-4
    image, baseline = torch.randn(2, 2, 16, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = patches(5, (16, 12)).labels.copy()
    labels[:2] = 0
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    regions = Regions(labels)
    case = case_of(
        network, image, (regions,), baseline=baseline, names=("a", "b", "c"), activation="softmax", class_index=1,
        batch_size=2, seed=5,
    )  # fmt: skip
    sampler = PairSampler(case, regions, pairs=10, method="fused")
    gradient = sampler.run_with_gradient(pairs)
    assert gradient.backward_passes == 2 * pairs

    masker = Masker(image, baseline, regions, torch.device("cpu"))

    def log_odds(presence: Tensor) -> Tensor:
        with torch.no_grad():
            z = network(masker(presence))
        return z[:, 1] - torch.logaddexp(z[:, 0], z[:, 2])

    rows = next(paired_rows(regions.count, 10, np.random.default_rng([5, 0, regions.count])))[:pairs]
    presences = [torch.from_numpy((1 + HALF_PRESENT * signs) / 2.0)[None] for signs in (*rows, *-rows)]
    slow = np.zeros((2 * pairs, regions.count))
    for i, presence in enumerate(presences):
        for j in range(regions.count):
            shift = torch.zeros_like(presence)
            shift[0, j] = step
            difference = log_odds(presence + shift) - log_odds(presence - shift)
            slow[i, j] = difference.item() / (2 * step)
    assert np.abs(slow.mean(axis=0)).max() > 0.01
    assert regions.pool(gradient.voxels) == pytest.approx(slow.mean(axis=0), rel=1e-3, abs=1e-5)
    assert gradient.squares[0] == pytest.approx((slow**2).mean(axis=0), rel=2e-3, abs=1e-7)
    answers = np.array([log_odds(presence).item() for presence in presences])
    odd = (answers[:pairs] - answers[pairs:]) / 2
    assert sampler.sums.n == pairs
    assert sampler.sums.xty == pytest.approx((HALF_PRESENT * rows / 2).T @ odd, rel=1e-4, abs=1e-5)


def test_every_segmentation_has_its_own_profile_from_the_same_gradients() -> None:
    segmentations = (patches(8), patches(5))
    case = case_of(Averaging(scrambled=True), lumpy_image(), segmentations, batch_size=4)
    gradient = PairSampler(case, segmentations[0], pairs=6, method="fused").run_with_gradient(6)
    for regions, squares in zip(segmentations, gradient.squares, strict=True):
        # The network is linear here, so that each mask has the same derivative and the mean square is its square.
        assert squares == pytest.approx(regions.pool(gradient.voxels) ** 2, rel=1e-4)


def test_gradients_are_taken_in_smaller_batches_when_memory_runs_out() -> None:
    """Memory for gradients may end where there is enough for answers."""

    class Greedy(Averaging):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad and len(x) > 3:
                raise torch.cuda.OutOfMemoryError("too much")
            return super().forward(x)

    regions = patches(8)
    voxels = []
    for network in (Averaging(), Greedy()):
        case = case_of(network, lumpy_image(), (regions,), batch_size=16)
        sampler = PairSampler(case, regions, pairs=8, method="fused")
        voxels.append(sampler.run_with_gradient(8).voxels)
        assert (case.classifier.passes.forward, case.classifier.passes.backward) == (16, 16)
    assert np.allclose(voxels[0], voxels[1])


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_under_inference_mode_and_with_frozen_parameters_the_map_is_the_same(mode: Any) -> None:
    plain = Fused(budget=100, target_layer="act").explain(averaging_case())
    with mode():
        case = averaging_case()
        case.classifier.network.requires_grad_(False)
        result = Fused(budget=100, target_layer="act").explain(case)
    assert np.array_equal(result.values, plain.values)


# Which masks


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_after_the_gradients_rows_come_in_the_order_that_tells_most_whatever_the_batch(batch_size: int) -> None:
    case = case_of(Averaging(scrambled=True), lumpy_image(), (patches(4),), batch_size=batch_size, seed=3)
    sampler = PairSampler(case, case.regions[0], pairs=60, method="fused")
    squares = sampler.run_with_gradient(2).squares[0]
    sampler.prefer(squares)
    sampler.run(20)

    first = next(blocks(64, np.random.default_rng([3, 0, 64])))
    assert len(first) > 60
    halved = HALF_PRESENT * first[:2] / 2
    rows = order_by_information(first[2:], halved.T @ halved, squares, 58)[:20] / 2
    assert np.array_equal(sampler.sums.xtx, halved.T @ halved + rows.T @ rows)
    assert not np.array_equal(rows, first[2:22] / 2)


def test_blocks_that_follow_are_put_in_order_as_well() -> None:
    regions = patches(8)
    case = case_of(Averaging(scrambled=True), lumpy_image(), (regions,), batch_size=5, seed=3)
    sampler = PairSampler(case, regions, pairs=26, method="fused")
    squares = np.arange(regions.count, dtype=float)
    sampler.prefer(squares)
    sampler.run(26)
    first, second = itertools.islice(blocks(16, np.random.default_rng([3, 0, 16])), 2)
    known = first.astype(float).T @ first / 4
    rest = order_by_information(second, known, squares, 6)[:6] / 2
    assert len(first) == 20
    assert np.array_equal(sampler.sums.xtx, known + rest.T @ rest)


@pytest.mark.parametrize(("budget", "columns"), [(63, []), (64, ["hirescam", "gradcam", "layercam"])])
def test_a_small_budget_has_no_cams(budget: int, columns: list[str]) -> None:
    method = Fused(budget=budget, target_layer="act")
    result = method.explain(averaging_case())
    assert list(result.parameters["columns"]) == [*columns, MASKED_GRADIENT]
    assert (method.agreement is None) == (not columns)
    assert result.parameters["share_of_derivatives"] > 0.99


# The rest


def test_columns_are_the_maps_sums_over_regions() -> None:
    regions = grid_regions((2, 6), 4)
    maps = {"one": np.arange(12.0).reshape(2, 6), "two": np.ones((2, 6))}
    columns = pooled(maps, regions.pool)
    assert columns is not None
    assert columns.tolist() == [[0 + 1 + 2, 3], [3 + 4 + 5, 3], [6 + 7 + 8, 3], [9 + 10 + 11, 3]]
    assert pooled({}, regions.pool) is None


def test_without_columns_fused_is_lime() -> None:
    case = presence_case(lambda p: p[:, 0] * 3 - p[:, 1] + p[:, 2] * p[:, 3] * p[:, 4], 7)
    method = Fused(budget=100, cam_columns=(), gradient_pairs=0)
    fused, lime = method.explain(case), Lime(budget=100).explain(case)
    assert np.array_equal(fused.values, lime.values)
    assert np.array_equal(fused.std, lime.std)
    assert method.agreement is None


def test_the_same_again_and_independent_of_the_batch_size() -> None:
    maps = [
        Fused(budget=100, target_layer="act").explain(averaging_case(batch_size=size)).values
        for size in (8, 8, 1, 7, 64)
    ]
    assert np.array_equal(maps[0], maps[1])
    for other in maps[2:]:
        assert np.abs(other - maps[0]).max() < 1e-4 * np.ptp(maps[0])


def test_cancelled_keeps_what_is_there() -> None:
    answered = itertools.count()
    case = averaging_case(cancelled=lambda: next(answered) >= 3, batch_size=10)
    result = Fused(budget=500, target_layer="act").explain(case)
    assert result.parameters["cancelled"] is True
    assert result.forward_passes < 60
    assert np.isfinite(result.values).all()
    with pytest.raises(Cancelled):
        Fused(budget=500, target_layer="act").explain(averaging_case(cancelled=lambda: True))


def test_until_certain() -> None:
    case = averaging_case()
    rule = StoppingRule(relative_error=0.05, top=5, most_passes=2000)
    result = Fused(budget=rule, target_layer="act").explain(case)
    assert result.forward_passes + 2 * result.backward_passes < 2000
    assert result.parameters["stopped_because"][0].startswith("certain enough")
    assert error(result.region_weights, case) < 0.1
