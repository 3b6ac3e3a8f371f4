"""What a training aims at: the loss, and the ways to change its targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from monai.losses import DiceCELoss
from torch import nn

from .data import CLASSES
from .trainee import coarse, fine

if TYPE_CHECKING:
    from .training import Recipe

OUTLINE_LOSS = DiceCELoss(sigmoid=True, batch=True)


def loss_function(
    answer: tuple[torch.Tensor, ...],
    target: torch.Tensor,
    auxiliary: torch.Tensor,
    mask: torch.Tensor,
    recipe: Recipe,
    class_weight: float = 1.0,
) -> torch.Tensor:
    """Cross-entropy of the class, smooth L1 of the auxiliary targets, Dice and cross-entropy of the maps.

    Args:
        answer: the trainee's outputs ``(B, 2 + A)`` and the logits of its maps.
        target: probability of malignant, ``(B,)``.
        auxiliary: ``(B, A)``, standardised; the last two are sizes.
        mask: the outline in the view, ``(B, 1, X, Y, Z)``.
        recipe: weights.
        class_weight: of the cross-entropy of the class.
    """
    outputs, outline, *finer = answer
    loss = class_weight * F.cross_entropy(outputs[:, : len(CLASSES)], torch.stack([1 - target, target], 1))
    if recipe.auxiliary_weight > 0:
        errors = F.smooth_l1_loss(outputs[:, len(CLASSES) :], auxiliary, reduction="none").mean(0)
        weights = torch.ones_like(errors)
        weights[-2:] = recipe.size_weight
        loss = loss + recipe.auxiliary_weight * (errors * weights).mean()
    if recipe.outline_weight > 0:
        loss = loss + recipe.outline_weight * OUTLINE_LOSS(outline, coarse(mask))
    if finer:
        loss = loss + recipe.fine_outline_weight * OUTLINE_LOSS(finer[0], fine(mask))
    return loss


@torch.no_grad()
def taught(target: torch.Tensor, images: torch.Tensor, teachers: Sequence[nn.Module], weight: float) -> torch.Tensor:
    """The target mixed with what the teachers say of the very same views, ``(B,)``.

    Args:
        target: probability of malignant, ``(B,)``.
        images: views, ``(B, 1, X, Y, Z)``.
        teachers: networks in eval mode; their log-odds are averaged.
        weight: of the teachers, 0 to 1.
    """
    odds = torch.stack([network(images) for network in teachers]).mean(0)
    return (1 - weight) * target + weight * torch.sigmoid(odds[:, 1] - odds[:, 0])


def mixed(share: torch.Tensor, order: torch.Tensor, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Each value ``(B, ...)`` with a share ``(B,)`` of that of another case, whose number ``order`` ``(B,)`` says."""

    def mix(value: torch.Tensor) -> torch.Tensor:
        return torch.lerp(value, value[order], share.reshape(-1, *[1] * (value.ndim - 1)))

    return tuple(mix(value) for value in values)
