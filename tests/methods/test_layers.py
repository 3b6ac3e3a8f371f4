"""Candidate layers and the choice among them."""

from __future__ import annotations

import pytest
import torch
import torchvision
from monai.networks import nets
from torch import Tensor, nn

from camlime.classifier import Classifier
from camlime.errors import RequestError
from camlime.methods.layers import LayerGrid, candidate_layers, choose_layer, find_layer
from camlime.methods.placement import Placement


def classifier(network: nn.Module) -> Classifier:
    return Classifier(network, class_names=("no", "yes"), activation="softmax", device="cpu", batch_size=1)


def chosen(network: nn.Module, *shape: int) -> tuple[LayerGrid, str]:
    model = classifier(network)
    candidates = candidate_layers(model, torch.zeros(shape))
    name, reason = choose_layer(candidates, shape[1:])
    return find_layer(candidates, name, network), reason


NETWORKS = {
    "ResNet 3D": (
        lambda: nets.resnet10(spatial_dims=3, n_input_channels=1, num_classes=2),
        (1, 64, 64, 32),
        ("layer3", (8, 8, 4)),
    ),
    "ResNet bottleneck": (
        lambda: nets.resnet50(spatial_dims=2, n_input_channels=1, num_classes=2),
        (1, 48, 48),
        ("layer3", (6, 6)),
    ),
    "DenseNet": (lambda: nets.DenseNet121(2, 1, 2), (1, 128, 128), ("class_layers.relu", (4, 4))),
    "DenseNet, small image": (lambda: nets.DenseNet121(2, 1, 2), (1, 64, 64), ("features.transition3.relu", (4, 4))),
    "EfficientNet": (
        lambda: nets.EfficientNetBN("efficientnet-b0", spatial_dims=2, in_channels=1, num_classes=2, pretrained=False),
        (1, 128, 128),
        ("_swish", (4, 4)),
    ),
    "TorchVisionFCModel": (
        lambda: nets.TorchVisionFCModel(
            "resnet18", 2, use_conv=True, pool=("avg", {"kernel_size": 4, "stride": 1}), pretrained=False
        ),
        (3, 128, 128),
        ("features", (4, 4)),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_choice_in_known_networks(name: str) -> None:
    make, shape, (layer, grid) = NETWORKS[name]
    found, reason = chosen(make(), *shape)
    assert (found.name, found.grid) == (layer, grid)
    assert found.whole
    assert not found.bare
    assert found.placement.rule == "receptive field"
    assert layer in reason
    assert "at least 4 cells" in reason


class Shared(nn.Module):
    """One ReLU for all, in place; a side branch; a module that returns a tuple; a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.side = nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.drop, self.idle = nn.Dropout(), nn.Conv2d(1, 1, 1)
        self.pair = nn.AdaptiveMaxPool2d(4, return_indices=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(self.drop(x)))
        x = self.relu(self.second(x)) + self.side(x)
        return self.head(self.relu(self.pair(x)[0].mean((2, 3))))


def test_what_is_listed() -> None:
    network = Shared()
    listed = {layer.name: layer for layer in candidate_layers(classifier(network), torch.rand(1, 16, 18))}
    assert list(listed) == ["first", "second", "relu", "side"]
    assert (listed["relu"].call, listed["relu"].calls) == (1, 3)
    assert [listed[name].whole for name in listed] == [True, False, False, False]
    assert listed["first"].shape == (4, 8, 9)
    assert listed["first"].placement == Placement((0.0, 0.0), (2.0, 2.0), "receptive field")
    assert listed["first"].bare


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("frist", ["no layer 'frist'", "did you mean first"]),
        ("pair", ["is there", "no single tensor"]),
        ("head", ["is there", "no single tensor"]),
        ("idle", ["is there", "not used"]),
        ("drop", ["hands on"]),
        ("features.42", ["no layer 'features.42'", "first (8 x 9)"]),
    ],
)
def test_a_layer_that_cannot_be_used(name: str, words: list[str]) -> None:
    network = Shared()
    candidates = candidate_layers(classifier(network), torch.rand(1, 16, 18))
    with pytest.raises(RequestError) as error:
        find_layer(candidates, name, network)
    for word in words:
        assert word in str(error.value)


def test_listing_is_done_once_and_leaves_the_network_as_it_was() -> None:
    network = nets.resnet10(spatial_dims=2, n_input_channels=1, num_classes=2).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model = classifier(network)
    first = candidate_layers(model, torch.rand(1, 32, 32))
    assert model.passes.forward == 1
    assert candidate_layers(model, torch.zeros(1, 32, 32)) is first
    assert model.passes.forward == 1
    candidate_layers(model, torch.rand(1, 40, 32))
    assert model.passes.forward == 2
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_transformers_and_torchscript_are_refused() -> None:
    vit = torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=2)
    with pytest.raises(RequestError, match=r"CAM does not apply.*transformer"):
        candidate_layers(classifier(vit), torch.zeros(3, 32, 32))
    script = torch.jit.trace(Shared().eval(), torch.zeros(1, 1, 16, 16))
    with pytest.raises(RequestError, match="TorchScript"):
        candidate_layers(classifier(script), torch.zeros(1, 16, 16))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(RequestError, match="no layer's output has a grid"):
        candidate_layers(classifier(flat), torch.zeros(1, 8, 8))


def layer(name: str, *grid: int, whole: bool = True, bare: bool = False, calls: int = 1) -> LayerGrid:
    placement = Placement.half_pixel(grid, grid)
    return LayerGrid(name, (2, *grid), "Block", calls - 1, calls, whole, bare, placement)


@pytest.mark.parametrize(
    ("candidates", "shape", "expected", "words"),
    [
        ([layer("a", 8, 8), layer("b", 4, 4), layer("c", 2, 2)], (32, 32), "b", "at least 4 cells on each axis"),
        ([layer("a", 8, 8, 2), layer("b", 4, 4, 1)], (32, 32, 6), "b", "of 8 or more voxels"),
        ([layer("a", 3, 3), layer("b", 3, 3), layer("c", 2, 4)], (32, 32), "b", "map is coarse"),
        ([layer("a", 4, 4), layer("b", 4, 4, whole=False)], (32, 32), "a", "whole signal"),
        ([layer("a", 4, 4, whole=False), layer("b", 4, 4, whole=False)], (32, 32), "b", "deepest block"),
        ([layer("a", 4, 4), layer("b", 4, 4, bare=True)], (32, 32), "a", "block or activation"),
        ([layer("a", 8, 8), layer("b", 4, 4, bare=True)], (32, 32), "b", "deepest layer"),
        ([layer("a", 5, 5, calls=3)], (7, 7), "a", "call 3 of its 3"),
    ],
)
def test_the_rule(candidates: list[LayerGrid], shape: tuple[int, ...], expected: str, words: str) -> None:
    name, reason = choose_layer(candidates, shape)
    assert name == expected
    assert words in reason
