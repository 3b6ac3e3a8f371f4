"""A model that looks at one place by construction, and methods that are right, wrong or blind about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.methods.case import Case
from camlime.regions import Regions

SHAPE = (14, 12, 6)
PLACE = (slice(2, 6), slice(7, 11), slice(1, 5))
"""Where the model looks."""


class Looks(nn.Module):
    """Two logits from a weighted sum of the voxels; the weights are 1 at one place and 0 elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        weights = torch.zeros(SHAPE)
        weights[PLACE] = 1.0
        self.linear = nn.Linear(int(np.prod(SHAPE)), 1, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(weights.reshape(1, -1) * 8 / weights.sum())

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x[:, 0].flatten(1)) - 3
        return torch.cat([-z, z], dim=1) / 2


@dataclass
class Toy:
    """A case, and the network behind it."""

    case: Case
    network: nn.Module

    def baselines(self) -> dict[str, Tensor]:
        image = self.case.input.image
        return {"dim": torch.full_like(image, 0.1), "grey": torch.full_like(image, 0.3)}


def as_attribution(case: Case, values: np.ndarray, **fields: Any) -> Attribution:
    weights = case.regions[0].pool(values)
    return Attribution("lime", values.astype(np.float32), region_weights=weights, **{"forward_passes": 40, **fields})


def gradient_map(case: Case, passes: int) -> Attribution:
    """Gradient times what is removed, voxel by voxel: right for a linear model, whatever its weights."""
    classifier = case.classifier
    with classifier.gradients():
        image = case.input.image[None].clone().requires_grad_(True)
        odds = classifier.log_odds(classifier.forward(image), case.class_index)
        (gradient,) = torch.autograd.grad(odds.sum(), image)
    classifier.passes.backward += 1
    values = (gradient[0] * (case.input.image - case.baseline)).sum(dim=0).numpy()
    return as_attribution(case, values, forward_passes=1, backward_passes=1)


def smooth_noise(case: Case, passes: int = 0) -> Attribution:
    """Patches that have nothing to do with the model, and are the same for every model."""
    noise = np.random.default_rng(5).normal(size=SHAPE)
    return as_attribution(case, ndimage.gaussian_filter(noise, 1.2, mode="wrap"))


def make_toy(*, batch_size: int = 16, padding: bool = False, **settings: Any) -> Toy:
    rng = np.random.default_rng(1)
    image = torch.from_numpy(rng.uniform(0.6, 1.0, (1, *SHAPE)).astype(np.float32))
    valid = torch.ones(SHAPE, dtype=torch.bool)
    if padding:
        valid[-2:], valid[:, :1] = False, False
    network = Looks()
    classifier = Classifier(
        network, class_names=("no", "yes"), activation="softmax", device="cpu", batch_size=batch_size
    )
    labels = (np.arange(np.prod(SHAPE)) // 36 + 1).reshape(SHAPE).astype(np.int32)
    labels[~valid.numpy()] = 0
    regions = Regions(np.unique(labels, return_inverse=True)[1].reshape(SHAPE).astype(np.int32) + int(labels.min() > 0))
    given = ModelInput(image, np.diag([1.0, 1.0, 2.0, 1.0]), valid, (1.0, 1.0, 2.0))
    return Toy(Case(classifier, given, 1, (regions,), torch.zeros_like(image), **settings), network)


@pytest.fixture
def toy() -> Callable[..., Toy]:
    """Make a toy case."""
    return make_toy
