"""Ways to spoil a box that should not change a sound answer, and those that show what it leans on."""

from __future__ import annotations

import numpy as np
import torch

from .augment import sample
from .study import Study

LUNG = 0.09375
"""-850 HU, normal lung, in scaled intensity: what the preprocessing pads with."""

PROBES = ("cut_6", "cut_4", "cut_3", "noise_4", "edge_4", "shift_x", "shift_z")


def cut(boxes: torch.Tensor, slices: int, fill: str = "lung") -> torch.Tensor:
    """Replace all but the ``slices`` central slices by padding.

    Args:
        boxes: ``(B, 1, X, Y, Z)``.
        slices: how many to keep.
        fill: ``lung`` (the preprocessing's constant), ``edge`` (repeat the last slice), ``noise`` (lung with noise).
    """
    first = boxes.shape[-1] // 2 - slices // 2
    last = first + slices - 1
    spoilt = boxes.clone()
    outside = torch.ones(boxes.shape[-1], dtype=torch.bool)
    outside[first : last + 1] = False
    if fill == "edge":
        nearest = torch.arange(boxes.shape[-1]).clamp(first, last)
        return boxes[..., nearest]
    spoilt[..., outside] = LUNG
    if fill == "noise":
        noise = torch.randn(spoilt[..., outside].shape, generator=torch.Generator().manual_seed(0))
        spoilt[..., outside] = (LUNG + 0.05 * noise).clamp(0, 1)
    return spoilt


def shifted(study: Study, chosen: np.ndarray, offset: tuple[float, float, float]) -> torch.Tensor:
    """Boxes whose centre lies ``offset`` voxels off the nodule's, padded as the preprocessing pads."""
    grid, room = study.boxes.shape[2:], study.volumes.voxels.shape[2:]
    axes = [torch.arange(n) - n // 2 + m // 2 for n, m in zip(grid, room, strict=True)]
    position = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).float() + torch.tensor(offset)
    chosen = np.flatnonzero(chosen)
    position = position.expand(len(chosen), *position.shape)
    low, high = (bound[chosen].float()[:, None, None, None] for bound in (study.volumes.low, study.volumes.high))
    outside = ((position < low - 0.5) | (position > high + 0.5)).any(-1)[:, None]
    return torch.where(outside, LUNG, sample(study.volumes.voxels[chosen, :1], position))


def probe(name: str, study: Study, chosen: np.ndarray) -> torch.Tensor:
    """Boxes of the chosen cases (a boolean mask), spoilt in the way of that name."""
    if name.startswith("shift"):
        return shifted(study, chosen, (4.0, 0.0, 0.0) if name == "shift_x" else (0.0, 0.0, 1.0))
    kind, slices = name.split("_")
    return cut(study.boxes[chosen], int(slices), "lung" if kind == "cut" else kind)
