"""Cases whose answer is a known function of which regions are present."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.methods.case import Case
from camlime.regions import Regions


class OfPresence(nn.Module):
    """A function of which regions are present, where the image is 1 and the baseline 0; one logit.

    It is computed on the CPU whatever the image is on, so that functions may hold tensors of their own.
    """

    def __init__(self, regions: Regions, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.labels = torch.from_numpy(regions.labels.astype(np.int64)).ravel()
        self.sizes = torch.from_numpy(regions.voxel_counts())
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        voxels = x.mean(dim=1).flatten(1).double().cpu()
        sums = voxels.new_zeros(len(x), len(self.sizes) + 1).index_add(1, self.labels, voxels)
        return self.function(sums[:, 1:] / self.sizes)[:, None].to(x.device)


def grid_regions(shape: tuple[int, ...], count: int) -> Regions:
    """Regions of about even size in the order of the voxels."""
    labels = np.arange(np.prod(shape)) * count // np.prod(shape) + 1
    return Regions(labels.reshape(shape).astype(np.int32))


def case_of(
    network: nn.Module, image: Tensor, regions: tuple[Regions, ...], *, baseline: Tensor | None = None, **settings: Any
) -> Case:
    """A case on the CPU; ``names``, ``activation`` and ``batch_size`` are the classifier's, other settings its."""
    classifier = Classifier(
        network,
        class_names=settings.pop("names", ("it",)),
        activation=settings.pop("activation", "sigmoid"),
        device="cpu",
        batch_size=settings.pop("batch_size", 32),
    )
    dimensions = image.ndim - 1
    model_input = ModelInput(image, np.eye(4), torch.ones(image.shape[1:], dtype=torch.bool), (1.0,) * dimensions)
    baseline = torch.zeros_like(image) if baseline is None else baseline
    return Case(classifier, model_input, settings.pop("class_index", 0), regions, baseline, **settings)


def presence_case(function: Callable[[Tensor], Tensor], d: int, *, segmentations: int = 1, **settings: Any) -> Case:
    """A case with ``d`` regions of an image of ones, whose log-odds are ``function`` of presences ``(N, d)``."""
    regions = grid_regions((1, 2 * d), d)
    others = tuple(grid_regions((1, 2 * d), d + k) for k in range(1, segmentations))
    return case_of(OfPresence(regions, function), torch.ones(1, 1, 2 * d), (regions, *others), **settings)


def every_mask(d: int) -> Tensor:
    """All 2^d presences, float64."""
    return torch.from_numpy(((np.arange(2**d)[:, None] >> np.arange(d)) & 1).astype(np.float64))


def main_effects(function: Callable[[Tensor], Tensor], d: int) -> np.ndarray:
    """Mean answer with the region less the mean answer without it, over all masks of the other regions."""
    masks = every_mask(d)
    answers = function(masks)
    return np.array([float(answers[masks[:, j] == 1].mean() - answers[masks[:, j] == 0].mean()) for j in range(d)])
