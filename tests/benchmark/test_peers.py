"""Each peer through its own package, in 2D and 3D, on networks whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet10
from support.toy_cases import OfPresence, case_of, grid_regions
from torch import Tensor, nn

from camlime.benchmark.methods import METHODS
from camlime.benchmark.peers import baylime, lime_package
from camlime.benchmark.peers.occlusion import smallest_box
from camlime.errors import RequestError
from camlime.methods.cam import Cam
from camlime.methods.case import Case

SHAPES = {"2d": (16, 20), "3d": (12, 16, 8)}
PEERS = [method for method in METHODS.values() if method.group == "peers"]
WEIGHTS = np.array([2.0, -1.0, 0.5, 0.0, 1.0, -0.5, 0.25, 3.0])


def available(name: str) -> None:
    if not METHODS[name].installed:
        pytest.skip(f"'{METHODS[name].module}' belongs to the extra 'peers'")


def linear(presence: Tensor) -> Tensor:
    return presence @ torch.from_numpy(WEIGHTS)


def linear_case(shape: tuple[int, ...], **settings: object) -> Case:
    regions = grid_regions(shape, len(WEIGHTS))
    return case_of(OfPresence(regions, linear), torch.ones(1, *shape), (regions,), **settings)


def network_case(shape: tuple[int, ...]) -> Case:
    torch.manual_seed(0)
    network = resnet10(spatial_dims=len(shape), n_input_channels=1, num_classes=2, widen_factor=0.125).eval()
    with torch.no_grad():
        network.fc.weight *= 50  # answers that differ by more than a lasso takes away
    image = torch.rand(1, *shape)
    settings = {"names": ("no", "yes"), "activation": "softmax", "class_index": 1}
    return case_of(network, image, (grid_regions(shape, 12),), **settings)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("method", PEERS, ids=lambda method: method.name)
def test_runs_within_the_budget_and_leaves_the_network_alone(method, shape: tuple[int, ...]) -> None:
    available(method.name)
    case = network_case(shape)
    network = case.classifier.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    made = method.explain(case, 64, "layer2")
    assert made.values.shape == shape
    assert made.values.dtype == np.float32
    assert np.isfinite(made.values).all()
    assert np.ptp(made.values) > 0
    assert 0 < case.classifier.passes.equivalents <= 66  # Grad-CAM lists the layers once: one pass more
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.training
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    if method.name != "baylime-prior":  # whose prior is our own Grad-CAM, and the package behind that draws a number
        assert torch.equal(torch.get_rng_state(), random_state)
    again = method.explain(case, 64, "layer2")
    assert np.array_equal(again.values, made.values)
    if method.seeded:
        other = method.explain(replace(case, seed=1), 64, "layer2")
        assert not np.array_equal(other.values, made.values)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("captum-kernelshap", 0.02), ("lime-package-log-odds", 0.1), ("baylime", 0.02), ("captum-lime", 0.2)],
)
def test_finds_the_weights_of_a_linear_model(name: str, tolerance: float, shape: tuple[int, ...]) -> None:
    """Up to its own shrinkage: ridge in the lime package, lasso in captum's Lime."""
    available(name)
    made = METHODS[name].explain(linear_case(shape), 256, None)
    assert made.region_weights == pytest.approx(WEIGHTS, abs=tolerance)
    assert np.array_equal(made.values, linear_case(shape).regions[0].paint(made.region_weights))


@pytest.mark.parametrize("name", ["captum-occlusion", "monai-occlusion"])
def test_occlusion_finds_the_strongest_place(name: str) -> None:
    available(name)
    case = linear_case((16, 20))
    made = METHODS[name].explain(case, 200, None)
    regions = case.regions[0]
    means = regions.pool(made.values) / regions.voxel_counts()
    assert np.argmax(means) == 7
    assert np.corrcoef(means, WEIGHTS)[0, 1] > 0.6


def test_the_box_is_as_small_as_the_budget_allows() -> None:
    case = network_case((12, 16, 8))

    def count(box):
        return int(np.prod([1 + np.ceil((n - b) / np.ceil(b / 2)) for n, b in zip((12, 16, 8), box, strict=True)]))

    box = smallest_box(case, 100, count)
    assert count(box) <= 100
    assert smallest_box(case, 1000, count) < box
    with pytest.raises(RequestError, match="too few"):
        smallest_box(case, 0, count)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", ["grad-cam", "captum-gradcam", "monai-gradcam", "torchcam"])
def test_cams_of_other_packages_agree_with_ours_but_for_place_and_sign(name: str, shape: tuple[int, ...]) -> None:
    available(name)
    case = network_case(shape)
    ours = Cam("gradcam", target_layer="layer1").explain(case).values
    if not (ours > 0).any():  # then there is nothing left of it after the rectifier of the others
        case = replace(case, class_index=0)
        ours = -ours
    other = METHODS[name].explain(case, 0, "layer1").values
    rectified = ours if name == "captum-gradcam" else np.maximum(ours, 0)
    assert np.corrcoef(rectified.ravel(), other.ravel())[0, 1] > 0.8
    assert case.classifier.passes.backward == 2


def test_the_lime_package_gets_two_dimensional_images_whole_and_volumes_through_its_base() -> None:
    colour = case_of(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 1)), torch.rand(3, 8, 8), (grid_regions((8, 8), 6),))
    assert lime_package.explain(colour, 32).region_weights.shape == (6,)
    with pytest.raises(RequestError, match="not 2 channels"):
        lime_package.explain(
            case_of(nn.Sequential(nn.Flatten(), nn.Linear(128, 1)), torch.rand(2, 8, 8), (grid_regions((8, 8), 6),)), 32
        )


def test_padding_is_no_region_of_any_peer() -> None:
    labels = grid_regions((16, 20), 8).labels.copy()
    labels[:, :5] = 0
    regions = type(grid_regions((2, 2), 2))(np.unique(labels, return_inverse=True)[1].reshape(16, 20).astype(np.int32))
    case = replace(network_case((16, 20)), regions=(regions,))
    for name in ("captum-lime", "captum-kernelshap", "lime-package", "baylime"):
        if METHODS[name].installed:
            made = METHODS[name].explain(case, 64, None)
            assert made.region_weights.shape == (regions.count,)
            assert not made.values[:, :5].any()


def test_baylime_posterior_by_hand() -> None:
    """With a strong prior the answer is the prior, with none it is weighted least squares."""
    rng = np.random.default_rng(0)
    X, w = rng.integers(0, 2, (200, 4)).astype(float), rng.uniform(0.2, 1, 200)
    y = 3 + X @ [1.0, -2.0, 0.5, 0.0]
    prior = np.array([5.0, 5.0, 5.0, 5.0])
    free, _ = baylime.posterior(X, y, w, prior, 1.0, 1e-9)
    assert free == pytest.approx([1.0, -2.0, 0.5, 0.0], abs=1e-6)
    bound, std = baylime.posterior(X, y, w, prior, 1.0, 1e9)
    assert bound == pytest.approx(prior, abs=1e-3)
    assert std == pytest.approx(np.full(4, 1e9**-0.5), rel=1e-3)
