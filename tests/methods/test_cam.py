"""CAMs against the formulas in slow loops, and the network left as it was found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.networks import nets
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from torch import Tensor, nn

from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.errors import BundleError, RequestError
from camlime.methods.cam import (
    METHODS,
    Cam,
    feature_map,
    input_grid_maps,
    principal_projection,
    take,
    target,
)
from camlime.methods.case import Case
from camlime.methods.placement import to_input_grid


def case_of(network: nn.Module, image: Tensor, class_index: int = 1, **settings: object) -> Case:
    names = settings.pop("class_names", ("no", "yes"))
    options = {"activation": "softmax", "device": "cpu", "batch_size": 1} | settings
    classifier = Classifier(network, class_names=names, **options)
    valid = torch.ones(image.shape[1:], dtype=torch.bool)
    model_input = ModelInput(image, np.eye(4), valid, (1.0,) * (image.ndim - 1))
    return Case(classifier, model_input, class_index, regions=(), baseline=torch.zeros_like(image))


def by_hand(network: nn.Module, layer: str, image: Tensor, class_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Activations at a layer and gradients there of the class's log-odds, both ``(C, *grid)``, in float64."""
    kept: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda m, a, out: kept.append(out))
    logits = network(image[None].requires_grad_())
    handle.remove()
    others = [k for k in range(logits.shape[1]) if k != class_index]
    score = logits[0, class_index] - logits[0, others].exp().sum().log()
    gradient = torch.autograd.grad(score, kept[-1])[0]
    return kept[-1].detach()[0].double().numpy(), gradient[0].double().numpy()


def slow_map(method: str, activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The method's formula, cell by cell."""
    grid = activations.shape[1:]
    result = np.zeros(grid)
    for a, g in zip(activations, gradients, strict=True):
        weight = 0.0
        for cell in np.ndindex(*grid):
            if method == "gradcam":
                weight += g[cell] / g.size
            elif method == "gradcam++" and g[cell] > 0:
                weight += g[cell] * g[cell] ** 2 / (2 * g[cell] ** 2 + a.sum() * g[cell] ** 3)
            elif method == "xgradcam" and a.sum() != 0:
                weight += g[cell] * a[cell] / a.sum()
        for cell in np.ndindex(*grid):
            if method == "hirescam":
                result[cell] += g[cell] * a[cell]
            elif method == "layercam":
                result[cell] += max(g[cell], 0) * a[cell]
            else:
                result[cell] += weight * a[cell]
    return result


def small_resnet(dims: int) -> nn.Module:
    return nets.ResNet("basic", [1, 1, 1, 1], [4, 6, 8, 10], spatial_dims=dims, n_input_channels=2, num_classes=3)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "ResNet": (lambda: small_resnet(2), (2, 33, 40), "layer3"),
    "ResNet 3D": (lambda: small_resnet(3), (2, 32, 24, 17), "layer2"),
    "DenseNet": (
        lambda: nets.DenseNet(2, 2, 3, init_features=8, growth_rate=4, block_config=(2, 2)),
        (2, 32, 32),
        "features.denseblock2",
    ),
    "DenseNet 3D": (
        lambda: nets.DenseNet(3, 2, 3, init_features=8, growth_rate=4, block_config=(2, 2)),
        (2, 24, 25, 16),
        "features.transition1.relu",
    ),
    "SEResNet": (lambda: nets.SEResNet50(spatial_dims=2, in_channels=2, num_classes=3), (2, 48, 48), "layer3"),
    "EfficientNet": (
        lambda: nets.EfficientNetBN("efficientnet-b0", spatial_dims=2, in_channels=2, num_classes=3, pretrained=False),
        (2, 48, 48),
        "_blocks.3.5",
    ),
}


def network_and_image(name: str) -> tuple[nn.Module, Tensor, str]:
    make, shape, layer = NETWORKS[name]
    torch.manual_seed(3)
    return make().eval(), torch.randn(shape), layer


@pytest.mark.parametrize("name", NETWORKS)
def test_every_method_is_its_formula(name: str) -> None:
    network, image, layer = network_and_image(name)
    expected_a, expected_g = by_hand(not_in_place(network), layer, image.clone(), 2)
    case = case_of(network, image, 2, class_names=("a", "b", "c"))
    chosen, _ = target(case, layer)
    capture = take(case, chosen)
    assert capture.gradients is not None
    np.testing.assert_allclose(capture.activations, expected_a, rtol=1e-4, atol=1e-5 * np.abs(expected_a).max())
    np.testing.assert_allclose(capture.gradients, expected_g, rtol=1e-3, atol=1e-4 * np.abs(expected_g).max())
    for method in ("gradcam", "gradcam++", "hirescam", "layercam", "xgradcam"):
        if method in {"gradcam++", "xgradcam"} and expected_a.min() < 0:
            continue
        expected = slow_map(method, expected_a, expected_g)
        ours = feature_map(method, capture.activations, capture.gradients)
        np.testing.assert_allclose(ours, expected, atol=1e-3 * np.abs(expected).max(), err_msg=method)
        attribution = Cam(method, target_layer=layer).explain(case)
        np.testing.assert_allclose(
            attribution.values, to_input_grid(ours, chosen.placement, image.shape[1:]), rtol=1e-5
        )
        assert attribution.values.shape == image.shape[1:]
        assert attribution.values.dtype == np.float32
        assert (attribution.method, attribution.target_layer) == (method, layer)
        json.dumps(dict(attribution.parameters))


def not_in_place(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network


@pytest.mark.parametrize("shape", [(6, 5, 7), (40, 4, 3), (5, 4, 3, 6), (20, 2, 3, 2)])
def test_eigencam_is_the_packages_with_a_sign(shape: tuple[int, ...]) -> None:
    activations = np.random.default_rng(0).normal(size=shape).astype(np.float32) + 1
    theirs = get_2d_projection(activations[None])[0]
    ours = principal_projection(activations)
    mean = activations.mean(axis=0)
    assert np.corrcoef(ours.ravel(), mean.ravel())[0, 1] > 0
    np.testing.assert_allclose(ours * np.sign((ours * theirs).sum()), theirs, atol=1e-4)
    np.testing.assert_allclose(principal_projection(-activations), -ours, atol=1e-5)
    assert not principal_projection(np.ones(shape, dtype=np.float32)).any()


def test_eigencam_of_a_large_grid_is_quick() -> None:
    activations = np.random.default_rng(0).normal(size=(4, 40, 40, 40)).astype(np.float32)
    assert principal_projection(activations).shape == (40, 40, 40)


@pytest.mark.parametrize("gradient", [1.0, 1e-6, 1e-12])
@pytest.mark.parametrize("method", ["gradcam++", "xgradcam"])
def test_formulas_hold_for_the_tiny_gradients_of_3d(method: str, gradient: float) -> None:
    rng = np.random.default_rng(0)
    activations = rng.random((4, 3, 3, 3)).astype(np.float32) / gradient**0.5
    gradients = (rng.normal(size=activations.shape) * gradient).astype(np.float32)
    expected = slow_map(method, activations.astype(float), gradients.astype(float))
    ours = feature_map(method, activations, gradients)
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())


def test_sums_that_the_papers_promise() -> None:
    """HiResCAM and XGradCAM sum to the logit less its bias, where averaging and one linear layer follow."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(5, 1))
    case = case_of(network, torch.randn(1, 9, 8, 10), 0, class_names=("yes",), activation="sigmoid")
    capture = take(case, target(case, "1")[0])
    for method in ("hirescam", "xgradcam"):
        total = feature_map(method, capture.activations, capture.gradients).sum()
        assert total == pytest.approx(capture.log_odds - network[4].bias.item(), abs=1e-5)


def test_both_classes_of_a_single_sigmoid() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(5, 1, 1))
    maps = [
        Cam("hirescam").explain(case_of(network, torch.ones(1, 12, 12).cumsum(1), c, activation="sigmoid")).values
        for c in (0, 1)
    ]
    np.testing.assert_array_equal(maps[0], -maps[1])
    assert maps[0].any()


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Check that parameters, buffers, flags, gradients, modes and hooks are the same afterwards."""

    def state() -> list[object]:
        modules = list(network.modules())
        return [
            [value.detach().clone() for value in network.state_dict().values()],
            [(p.requires_grad, None if p.grad is None else p.grad.clone(), id(p)) for p in network.parameters()],
            [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in modules],
            [torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.backends.cudnn.benchmark],
        ]

    before = state()
    yield
    after = state()
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))  # type: ignore[call-overload]
    assert str(before[1:]) == str(after[1:])


CALLERS: dict[str, Callable[[], object]] = {
    "plain": torch.enable_grad,
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("frozen", [False, True])
def test_the_network_is_left_as_it_was_found(caller: str, frozen: bool, capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    network = small_resnet(3).train()
    image = torch.randn(2, 24, 24, 24)
    plain = Cam("gradcam", target_layer="layer1").explain(case_of(network.eval(), image, class_names="abc")).values
    network.train()
    for index, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(not frozen and index % 3 != 0)
        if index % 2:
            parameter.grad = torch.full_like(parameter, 0.5)
    network.layer1.train(False)
    with untouched(network), CALLERS[caller]():  # type: ignore[attr-defined]
        case = case_of(network, image.clone() if caller == "inference" else image, class_names="abc")
        for method in METHODS:
            values = Cam(method, target_layer="layer1").explain(case).values
            if method == "gradcam":
                np.testing.assert_allclose(values, plain, rtol=1e-5, atol=1e-9)
        with pytest.raises(RequestError):
            Cam(target_layer="no such layer").explain(case)
    assert capfd.readouterr() == ("", "")


def test_an_error_within_the_network_leaves_it_as_it_was_found() -> None:
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head, self.broken = nn.Conv2d(1, 2, 3), nn.Linear(2, 2), False

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            if self.broken:
                raise RuntimeError("broken")
            return self.head(x.mean((2, 3)))

    network = Fragile().train()
    case = case_of(network, torch.rand(1, 8, 8))
    Cam().explain(case)
    network.broken = True
    with untouched(network), pytest.raises(BundleError, match="broken"):
        Cam().explain(case)


@pytest.mark.parametrize("layer", ["0", "1", "2"])
def test_in_place_operations_behind_the_layer_do_not_reach_its_values(layer: str) -> None:
    torch.manual_seed(0)
    parts = [nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*parts, nn.Linear(4, 2)).eval()
    image = torch.randn(1, 12, 12)
    expected_a, expected_g = by_hand(network, layer, image.clone(), 1)
    network[2].inplace = True
    case = case_of(network, image)
    capture = take(case, target(case, layer)[0])
    np.testing.assert_allclose(capture.activations, expected_a, atol=1e-6)
    np.testing.assert_allclose(capture.gradients, expected_g, atol=1e-6)
    assert (capture.activations.min() < 0) == (layer != "2")


def test_the_last_call_of_a_shared_module_counts() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.relu, self.head = (
                nn.Conv2d(1, 3, 3),
                nn.Conv2d(3, 3, 3),
                nn.ReLU(True),
                nn.Linear(3, 2),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.relu(self.relu(self.b(self.relu(self.a(x)))).mean((2, 3))))

    torch.manual_seed(0)
    network, image = Twice(), torch.randn(1, 10, 10)
    attribution = Cam("hirescam", target_layer="relu").explain(case_of(network, image))
    with torch.no_grad():
        activations = network.b(network.a(image[None]).relu()).relu()[0]
        weights = network.head.weight[1] - network.head.weight[0]
    assert attribution.parameters["layer_shape"] == [3, 6, 6]
    expected = torch.einsum("c,cij->ij", weights, activations).numpy() / 36
    np.testing.assert_allclose(attribution.values[2:-2, 2:-2], expected, atol=1e-6)


def test_mixed_precision_is_off_and_repeats_are_bitwise_equal() -> None:
    torch.manual_seed(0)
    network, image = small_resnet(2), torch.randn(2, 32, 32)
    maps = [
        Cam("gradcam", target_layer="layer2").explain(case_of(network, image, class_names="abc", amp=amp)).values
        for amp in (False, True, False)
    ]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps.append(Cam("gradcam", target_layer="layer2").explain(case_of(network, image, class_names="abc")).values)
    assert all(np.array_equal(maps[0], values) for values in maps[1:])


def test_a_metatensor_is_a_tensor() -> None:
    torch.manual_seed(0)
    network, image = small_resnet(2), torch.randn(2, 32, 32)
    with_affine = Cam().explain(case_of(network, MetaTensor(image, affine=torch.eye(4)), class_names="abc"))
    np.testing.assert_array_equal(with_affine.values, Cam().explain(case_of(network, image, class_names="abc")).values)


def test_passes_are_counted() -> None:
    case = case_of(small_resnet(2), torch.randn(2, 32, 32), class_names="abc")
    counts = [(a.forward_passes, a.backward_passes) for a in (Cam(m).explain(case) for m in ("gradcam", *METHODS))]
    assert counts == [(2, 1)] + [(1, 1)] * 5 + [(1, 0)]


def test_maps_of_several_methods_come_from_one_pass() -> None:
    torch.manual_seed(0)
    case = case_of(small_resnet(3), torch.randn(2, 24, 20, 16), class_names="abc")
    expected, _ = target(case, None)
    before = (case.classifier.passes.forward, case.classifier.passes.backward)
    layer, maps = input_grid_maps(case, ("hirescam", "gradcampp", "eigencam"))
    assert (case.classifier.passes.forward - before[0], case.classifier.passes.backward - before[1]) == (1, 1)
    assert layer == expected.name
    assert list(maps) == ["hirescam", "gradcam++", "eigencam"]
    for method, values in maps.items():
        np.testing.assert_allclose(values, Cam(method).explain(case).values, atol=1e-6)


@pytest.mark.parametrize("name", ["scorecam", "ablationcam", "FullGrad", "gradcamm"])
def test_methods_that_are_not_there(name: str) -> None:
    with pytest.raises(RequestError) as error:
        Cam(name)
    assert "gradcam, gradcam++, hirescam" in str(error.value)
    assert Cam("GradCAMpp").method == "gradcam++"


class Branches(nn.Module):
    """A side branch that leads nowhere, and a head that may be cut off or say nothing."""

    def __init__(self, *, detached: bool = False) -> None:
        super().__init__()
        self.conv, self.side, self.head = nn.Conv2d(1, 3, 3), nn.Conv2d(1, 3, 3), nn.Linear(3, 2)
        self.detached = detached

    def forward(self, x: Tensor) -> Tensor:
        self.side(x)
        features = self.conv(x).relu()
        return self.head((features.detach() if self.detached else features).mean((2, 3)))


def test_a_layer_that_the_class_does_not_depend_on() -> None:
    for network, layer in ((Branches(), "side"), (Branches(detached=True), "conv")):
        with pytest.raises(RequestError, match="does not depend on layer"):
            Cam(target_layer=layer).explain(case_of(network, torch.rand(1, 9, 9)))
    with pytest.raises(RequestError, match="no class number 5"):
        Cam().explain(case_of(Branches(), torch.rand(1, 9, 9), 5))


def test_what_is_doubtful_is_noted() -> None:
    network, image = Branches(), torch.rand(1, 9, 9)
    nn.init.zeros_(network.head.weight)
    assert "zero everywhere" in Cam().explain(case_of(network, image)).parameters["notes"][0]
    nn.init.constant_(network.head.weight[1:], -1.0)
    nn.init.constant_(network.conv.bias, 5.0)
    found = Cam().explain(case_of(network, image)).parameters["notes"]
    assert any("nowhere positive" in note for note in found)
    nn.init.constant_(network.conv.bias, -5.0)
    found = Cam("xgradcam").explain(case_of(network, image)).parameters["notes"]
    assert any("assumes activations that are not negative" in note for note in found)
    assert any(
        "whatever the class" in note for note in Cam("eigencam").explain(case_of(network, image)).parameters["notes"]
    )
    with pytest.raises(RequestError, match="not finite"):
        Cam().explain(case_of(network, torch.full((1, 9, 9), torch.nan)))


def test_a_layer_beside_a_shortcut_and_an_unknown_operation_are_noted() -> None:
    class Rolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = small_resnet(2), nn.Identity()
            self.skip = False

        def forward(self, x: Tensor) -> Tensor:
            x = self.body.maxpool(torch.roll(self.body.conv1(x), 1, dims=2))
            x = x if self.skip else self.body.layer1(x)
            return self.body.fc(self.body.layer4(self.body.layer3(self.body.layer2(x))).mean((2, 3)))

    network = Rolled()
    case = case_of(network, torch.randn(2, 32, 32), class_names="abc")
    found = Cam(target_layer="body.layer1.0.conv1").explain(case).parameters
    assert found["placement"] == "half-pixel"
    assert [text.split()[0] for text in found["notes"][-2:]] == ["where", "part"]
    network.skip = True
    with pytest.raises(RequestError, match="did not use layer"):
        Cam(target_layer="body.layer1").explain(case)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("name", NETWORKS)
def test_cpu_and_gpu_agree(name: str) -> None:
    network, image, layer = network_and_image(name)
    for method in METHODS:
        if (name, method) == ("efficientnet", "xgradcam"):
            continue  # divides by sums of activations that cancel to the last digits
        maps = [
            Cam(method, target_layer=layer).explain(case_of(network, image, class_names="abc", device=device)).values
            for device in ("cpu", "cuda")
        ]
        np.testing.assert_allclose(maps[1], maps[0], atol=1e-4 * np.abs(maps[0]).max(), err_msg=method)
