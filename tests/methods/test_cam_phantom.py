"""A network that sees a bright blob by construction: the map must lie where the blob is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.methods.cam import Cam
from camlime.methods.case import Case
from camlime.methods.layers import candidate_layers

POINTS = 12
MARGIN = 14.0

Layers = Callable[[type[nn.Module], type[nn.Module]], list[nn.Module]]
STRIDES: dict[str, tuple[Layers, float]] = {
    "k3 s2 p1": (lambda conv, pool: [conv(1, 1, 3, 2, 1), nn.ReLU(), conv(1, 1, 3, 2, 1), nn.ReLU(True)], 4),
    "k2 s2": (lambda conv, pool: [conv(1, 1, 2, 2), nn.ReLU(), conv(1, 1, 2, 2), nn.ReLU()], 4),
    "k4 s2 p1": (lambda conv, pool: [conv(1, 1, 4, 2, 1), nn.ReLU(), conv(1, 1, 4, 2, 1), nn.ReLU()], 4),
    "max pool 3 s2 p1": (lambda conv, pool: [conv(1, 1, 3, 2, 1), nn.ReLU(), pool(3, 2, 1)], 4),
    "k3 s3, k1": (lambda conv, pool: [conv(1, 1, 3, 3), nn.ReLU(), conv(1, 1, 1), nn.ReLU()], 3),
    "k5 s4 p2": (lambda conv, pool: [conv(1, 1, 5, 4, 2), nn.ReLU()], 4),
}


def detector(name: str, dims: int) -> nn.Module:
    """Averages, halves the grid, and says yes to brightness."""
    conv, pool = (nn.Conv2d, nn.MaxPool2d) if dims == 2 else (nn.Conv3d, nn.MaxPool3d)
    features = nn.Sequential(*STRIDES[name][0](conv, pool))
    head = [nn.AdaptiveAvgPool2d(1) if dims == 2 else nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(1, 2)]
    network = nn.Sequential(features, *head)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1 / parameter[0].numel() if parameter.ndim > 2 else 0.0)
    with torch.no_grad():
        network[-1].weight.copy_(torch.tensor([[-1.0], [1.0]]))
    return network


def blob(shape: tuple[int, ...], point: np.ndarray, sigma: float) -> torch.Tensor:
    axes = np.meshgrid(*(np.arange(n) - p for n, p in zip(shape, point, strict=True)), indexing="ij")
    return torch.from_numpy(np.exp(-sum(a**2 for a in axes) / (2 * sigma**2))).float()[None]


@pytest.mark.parametrize("method", ["hirescam", "gradcam", "layercam"])
@pytest.mark.parametrize("shape", [(64, 64), (65, 62), (40, 42, 41)])
@pytest.mark.parametrize("name", STRIDES)
def test_peak_and_centroid_lie_on_the_blob(name: str, shape: tuple[int, ...], method: str) -> None:
    classifier = Classifier(
        detector(name, len(shape)), class_names=("no", "yes"), activation="softmax", device="cpu", batch_size=1
    )
    stride = STRIDES[name][1]
    rng = np.random.default_rng(7)
    cam = Cam(method, target_layer="0")
    off = []
    for _ in range(POINTS):
        point = rng.uniform(MARGIN, np.array(shape) - 1 - MARGIN)
        image = blob(shape, point, sigma=stride / 2)
        model_input = ModelInput(image, np.eye(4), torch.ones(shape, dtype=torch.bool), (1.0,) * len(shape))
        case = Case(classifier, model_input, 1, regions=(), baseline=torch.zeros_like(image))
        values = cam.explain(case).values
        assert values.min() >= 0
        peak = np.argwhere(values >= values.max() * (1 - 1e-5)).mean(axis=0)  # neighbours tie where max pools overlap
        assert np.abs(peak - point).max() <= stride / 2 + 0.5
        grid = np.indices(shape)
        centroid = np.array([(values * axis).sum() / values.sum() for axis in grid])
        assert np.abs(centroid - point).max() <= stride / 2
        off.append(centroid - point)
    assert np.abs(np.mean(off, axis=0)).max() <= 0.25
    placement = candidate_layers(classifier, image)[-1].placement
    assert placement.rule == "receptive field"
    assert placement.stride == (stride,) * len(shape)
