"""Occlusion as captum and MONAI do it: a box slides over the image, as small a box as the budget allows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch

from camlime.attribution import Attribution
from camlime.benchmark.peers.score import scored
from camlime.errors import RequestError
from camlime.extras import needed
from camlime.methods.case import Case

OVERLAP = 0.5
"""Of neighbouring boxes, along each axis."""


def captum(case: Case, budget: int) -> Attribution:
    """Occlusion of captum: boxes take the case's baseline."""
    attr = needed("captum.attr", extra="peers", purpose="the method 'captum-occlusion'")
    box = smallest_box(case, budget, lambda size: 1 + math.prod(_places(case, size, _captum_step)))
    channels = case.input.image.shape[0]
    with scored(case, gradients=False) as (module, batch):
        found = attr.Occlusion(module).attribute(
            batch,
            sliding_window_shapes=(channels, *box),
            strides=(channels, *[_captum_step(edge) for edge in box]),
            baselines=case.baseline[None].to(batch),
            target=0,
            perturbations_per_eval=case.classifier.batch_size(case.input.image),
        )
    values = found[0].mean(dim=0).cpu().numpy().astype(np.float32)
    return Attribution("captum-occlusion", values, parameters={"box": list(box)})


def monai(case: Case, budget: int) -> Attribution:
    """MONAI's OcclusionSensitivity with its own Gaussian boxes; it returns the answer, so its sign is turned round."""
    from monai.visualize import OcclusionSensitivity

    box = smallest_box(case, budget, lambda size: math.prod(_places(case, size, _monai_step)))
    with warnings.catch_warnings(), scored(case, gradients=False) as (module, batch):
        warnings.filterwarnings("ignore", message="Using a non-tuple sequence", category=UserWarning)
        maker = OcclusionSensitivity(
            module,
            mask_size=box,
            n_batch=case.classifier.batch_size(case.input.image),
            verbose=False,
            overlap=OVERLAP,
            activate=False,
        )
        found = torch.as_tensor(maker(batch)[0])
    values = -found.reshape(case.input.spatial_shape).cpu().numpy().astype(np.float32)
    return Attribution("monai-occlusion", values, parameters={"box": list(box)})


def smallest_box(case: Case, budget: int, passes: Callable[[Sequence[int]], int]) -> tuple[int, ...]:
    """Edges in voxels of the smallest box, about as long in mm along each axis, that the budget can slide everywhere.

    Raises:
        RequestError: not even the largest box fits.
    """
    shape, spacing = case.input.spatial_shape, case.input.spacing
    finest = min(spacing)
    longest = max(n * step for n, step in zip(shape, spacing, strict=True))
    for quarters in range(8, round(4 * longest / finest) + 1):
        edge = quarters / 4 * finest
        box = tuple(min(max(round(edge / step), 1), n) for n, step in zip(shape, spacing, strict=True))
        if passes(box) <= budget:
            return box
    raise RequestError(f"{budget} passes are too few to slide a box over the image", hint="raise the budget")


def _places(case: Case, box: Sequence[int], step: Callable[[int], int]) -> list[int]:
    return [1 + math.ceil((n - b) / step(b)) for n, b in zip(case.input.spatial_shape, box, strict=True)]


def _captum_step(edge: int) -> int:
    return max(math.ceil(edge * (1 - OVERLAP)), 1)


def _monai_step(edge: int) -> int:
    return max(int(edge * (1 - OVERLAP)), 1)
