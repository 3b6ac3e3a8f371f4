"""A batch as the trainer takes it."""

from __future__ import annotations

import torch

from camlime.training.weights import plain


def prepare_batch(batch: dict, device: torch.device, non_blocking: bool = False, **_: object) -> tuple:
    """What MONAI's engines ask for: the input, and the targets of `camlime.training.outline.OutlineLoss`."""

    def to(value: torch.Tensor) -> torch.Tensor:
        return plain(value).to(device, non_blocking=non_blocking)

    return to(batch["image"]), {"label": to(batch["label"]), "mask": to(batch["mask"])}
