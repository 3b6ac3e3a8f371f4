"""Where feature cells lie, against a search for the voxels that change a cell; interpolation, against a slow loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from monai.networks import nets
from torch import Tensor, nn
from torch.nn import functional

from camlime.methods.placement import Placement, ReachTracer, to_input_grid


def positive(network: nn.Module) -> nn.Module:
    """The same network with equal positive weights, so that every voxel in reach changes a cell."""
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1 / max(parameter[0].numel(), 1))
    return network.eval().double()


def middle_of_support(network: nn.Module, shape: tuple[int, ...], cell: tuple[int, ...]) -> list[float]:
    """Centre of the box of voxels whose change changes the cell: each voxel is changed in turn, along each axis."""
    base = torch.ones(1, 1, *shape, dtype=torch.float64)
    with torch.no_grad():
        before = network(base)[(0, slice(None), *cell)]
        middle = []
        for axis, size in enumerate(shape):
            changes = []
            for voxel in range(size):
                image = base.clone()
                image.select(axis + 2, voxel).add_(1.0)
                if not torch.equal(network(image)[(0, slice(None), *cell)], before):
                    changes.append(voxel)
            middle.append((changes[0] + changes[-1]) / 2)
    return middle


def traced(network: nn.Module, shape: tuple[int, ...], channels: int = 1) -> tuple[Placement, tuple[int, ...]]:
    image = torch.rand(1, channels, *shape, dtype=next(network.parameters()).dtype)
    with torch.no_grad(), ReachTracer(image) as tracer:
        output = network(image)
    return tracer.placement(output, shape), tuple(output.shape[2:])


class SamePadding(nn.Module):
    """Two strided convolutions padded after, as EfficientNet does for even sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3, 2), nn.Conv2d(2, 2, 5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(functional.pad(self.first(functional.pad(x, (0, 1, 0, 1))), (1, 2, 1, 2)))


class TwoPaths(nn.Module):
    """A block with a pooled shortcut, a global gate, a spatial gate and channels that are split and joined."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.main, self.short = nn.Conv2d(4, 4, 3, 2, 1), nn.AvgPool2d(2)
        self.spatial = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate = torch.sigmoid(x.mean((2, 3), keepdim=True).detach() * 0)
        y = (self.main(x) + self.short(x)) * gate
        y = y * self.spatial(y.mean(1, keepdim=True))
        one, other = y.chunk(2, dim=1)
        return torch.cat([other, one.relu_()], dim=1)


KNOWN = {
    "k3 s2 p1": (lambda: nn.Conv2d(1, 2, 3, 2, 1), (32, 33)),
    "k2 s2": (lambda: nn.Conv2d(1, 2, 2, 2), (32, 31)),
    "k4 s2 p1": (lambda: nn.Conv2d(1, 2, 4, 2, 1), (32, 30)),
    "k7 s2 p3, max pool": (lambda: nn.Sequential(nn.Conv2d(1, 2, 7, 2, 3), nn.MaxPool2d(3, 2, 1)), (64, 61)),
    "dilated, no padding": (lambda: nn.Sequential(nn.Conv2d(1, 2, 3, dilation=3), nn.AvgPool2d(2)), (40, 41)),
    "ceil mode": (lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2, ceil_mode=True)), (31, 32)),
    "even kernel, same": (lambda: nn.Sequential(nn.Conv2d(1, 2, 4, padding="same"), nn.Conv2d(2, 2, 2, 2)), (32, 32)),
    "reflected": (lambda: nn.Conv2d(1, 2, 5, 2, 2, padding_mode="reflect"), (33, 32)),
    "transposed": (lambda: nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 2, 2, 2)), (32, 32)),
    "padded after": (SamePadding, (40, 40)),
    "two paths": (TwoPaths, (32, 32)),
    "3D anisotropic": (
        lambda: nn.Sequential(nn.Conv3d(1, 2, (3, 5, 1), (2, 2, 1), (1, 2, 0)), nn.MaxPool3d((1, 2, 2))),
        (24, 25, 9),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_centres_are_the_middle_of_what_a_cell_sees(name: str) -> None:
    make, shape = KNOWN[name]
    network = positive(make())
    placement, grid = traced(network, shape)
    assert placement.rule == "receptive field"
    inner = [sorted({n // 2 - 1, n // 2, n // 2 + 1}) for n in grid]
    for cell in itertools.islice(zip(*inner, strict=True), 3):
        expected = middle_of_support(network, shape, cell)
        centre = [axis[i] for axis, i in zip(placement.centres(grid), cell, strict=True)]
        assert np.abs(np.subtract(centre, expected)).max() <= 0.5
        if name != "transposed":
            np.testing.assert_allclose(centre, expected)


def grid_of(network: nn.Module, layer: str) -> nn.Module:
    """The network up to a layer: what the layer puts out."""

    class UpTo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            kept = []
            handle = network.get_submodule(layer).register_forward_hook(lambda m, a, out: kept.append(out.clone()))
            network(x)
            handle.remove()
            return kept[-1]

    return UpTo().eval()


NETWORKS = {
    "ResNet": (lambda: nets.resnet18(spatial_dims=2, n_input_channels=1, num_classes=2), "layer2", (81, 80)),
    "ResNet 3D": (lambda: nets.resnet10(spatial_dims=3, n_input_channels=1, num_classes=2), "layer1", (33, 32, 24)),
    "DenseNet": (
        lambda: nets.DenseNet(2, 1, 2, init_features=8, growth_rate=4, block_config=(2, 2)),
        "features.transition1",
        (64, 63),
    ),
    "EfficientNet": (
        lambda: nets.EfficientNetBN("efficientnet-b0", spatial_dims=2, in_channels=1, num_classes=2, pretrained=False),
        "_blocks.1.1",
        (64, 64),
    ),
    "SEResNet": (lambda: nets.SEResNet50(spatial_dims=2, in_channels=1, num_classes=2), "layer1", (64, 65)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_cells_of_monai_networks_lie_in_the_middle_of_what_they_see(name: str) -> None:
    """The box of voxels that a cell has a gradient for, over a few images; global gates are held fixed for this."""
    make, layer, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().eval()
    for part, module in network.named_modules():
        if "_se_" in part or "se_layer.fc" in part:
            for parameter in module.parameters(recurse=False):
                nn.init.zeros_(parameter)
    up_to = grid_of(network, layer)
    placement, grid = traced(up_to, shape)
    assert placement.rule == "receptive field"
    cell = tuple(n // 2 for n in grid)
    reach = torch.zeros(shape, dtype=torch.bool)
    for _ in range(6):
        image = torch.randn(1, 1, *shape, requires_grad=True)
        output = up_to(image)[(0, slice(None), *cell)]
        reach |= torch.autograd.grad(output @ torch.randn_like(output), image)[0][0, 0] != 0
    for axis, centre in enumerate(placement.centres(grid)):
        seen = reach.movedim(axis, 0).flatten(1).any(1).nonzero()
        assert seen[0] > 0
        assert seen[-1] < shape[axis] - 1
        assert abs(float(seen[0] + seen[-1]) / 2 - centre[cell[axis]]) <= 0.5


def test_an_operation_that_moves_cells_is_not_understood() -> None:
    class Rolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.roll(self.conv(x), 1, dims=2)

    placement, _ = traced(Rolled(), (16, 12))
    assert placement == Placement.half_pixel((16, 12), (8, 6))
    assert placement.offset == (0.5, 0.5)


@pytest.mark.parametrize("act", [nn.ReLU(True), nn.Hardswish(), nn.PReLU(), nn.GELU(), nn.Mish(), nn.Softmax2d()])
def test_activations_and_norms_leave_cells_where_they_are(act: nn.Module) -> None:
    norms = nn.Sequential(nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.Dropout2d())
    placement, _ = traced(nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), norms, act).eval(), (17, 16))
    assert placement == Placement((0.0, 0.0), (2.0, 2.0), "receptive field")


def test_bottlenecks_are_what_every_path_passes() -> None:
    first, side, last = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3, padding=1), nn.Linear(2, 2)
    image = torch.rand(1, 1, 9, 9)
    with torch.no_grad(), ReachTracer(image) as tracer:
        a = first(image)
        b = side(a)
        c = a + b
        output = last(c.mean((2, 3)))
    inside = tracer.bottlenecks(output)
    nodes = [mark.node for mark in map(tracer.mark, (a, b, c, output)) if mark is not None]
    assert [node in inside for node in nodes] == [True, False, True, True]
    assert tracer.bottlenecks(torch.zeros(3)) == set()


def test_half_pixel_interpolation_is_torchs() -> None:
    rng = np.random.default_rng(0)
    for grid, shape, mode in (((5, 7), (40, 33), "bilinear"), ((3, 4, 1), (20, 17, 6), "trilinear")):
        values = rng.normal(size=grid).astype(np.float32)
        expected = functional.interpolate(torch.from_numpy(values)[None, None], shape, mode=mode, align_corners=False)
        ours = to_input_grid(values, Placement.half_pixel(shape, grid), shape)
        np.testing.assert_allclose(ours, expected[0, 0].numpy(), atol=1e-5)


def slow_interpolation(values: np.ndarray, placement: Placement, shape: tuple[int, ...]) -> np.ndarray:
    result = np.zeros(shape)
    for voxel in np.ndindex(*shape):
        for corner in itertools.product((0, 1), repeat=len(shape)):
            share, index = 1.0, []
            for axis, v in enumerate(voxel):
                cells = values.shape[axis]
                position = min(max((v - placement.offset[axis]) / placement.stride[axis], 0), cells - 1)
                low = int(np.floor(position))
                share *= position - low if corner[axis] else 1 - (position - low)
                index.append(min(low + corner[axis], cells - 1))
            result[voxel] += share * values[tuple(index)]
    return result


@pytest.mark.parametrize(("grid", "shape"), [((4, 3), (17, 9)), ((2, 3, 1), (7, 8, 5))])
def test_interpolation_between_centres(grid: tuple[int, ...], shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=grid)
    placement = Placement((-1.0, 2.0, 0.0)[: len(grid)], (4.0, 2.5, 8.0)[: len(grid)], "receptive field")
    ours = to_input_grid(values, placement, shape)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, slow_interpolation(values, placement, shape), atol=1e-5)
    assert ours.min() >= values.min() - 1e-5
    assert ours.max() <= values.max() + 1e-5
