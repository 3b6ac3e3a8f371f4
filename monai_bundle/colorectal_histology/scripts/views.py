"""Random views of a batch of tiles: turned, mirrored, scaled, cut out, and stained otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

STAINS = torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical density in red, green, blue of haematoxylin, eosin and DAB (Ruifrok and Johnston 2001)."""


@dataclass(frozen=True)
class Views:
    """What the network sees of a tile while it learns. Labels hold for every view: a class has no up, and no stain.

    Attributes:
        size: edge of a view in pixels; smaller than a tile, since a cut-out is a view too and costs less.
        scale: largest logarithm of the change of size, either way.
        stain: largest relative change of the amount of each stain; a third of it is the largest amount added.
        gamma: largest logarithm of the exponent.
        gain: largest relative change of each colour, and of all of them together.
    """

    size: int = 160
    scale: float = 0.2
    stain: float = 0.2
    gamma: float = 0.25
    gain: float = 0.1

    def __call__(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw one view of each tile from torch's own generator.

        Args:
            image: ``(B, 3, X, Y)``, 0 to 1.
            mask: ``(B, 1, X, Y)``.

        Returns:
            float32 ``(B, 3, size, size)``, 0 to 1, and its mask ``(B, 1, size, size)``.
        """
        both = torch.cat([image.float(), mask.float()], 1)
        grid = F.affine_grid(self._placement(len(both), both.shape[-1]), [len(both), 1, self.size, self.size], False)
        both = F.grid_sample(both, grid.to(both.device), "bilinear", "reflection", align_corners=False)
        return self._light(restain(both[:, :3], self.stain)), both[:, 3:]

    def _placement(self, batch: int, edge: int) -> torch.Tensor:
        """Affine maps ``(B, 2, 3)`` from a view to its tile, in the coordinates of torch's ``affine_grid``."""
        angle = 2 * math.pi * torch.rand(batch)
        size = torch.exp(self.scale * _either_way(batch)) * self.size / edge
        mirror = torch.where(torch.rand(batch) < 0.5, -1.0, 1.0)
        shift = _either_way(batch, 2) * (1 - size).clamp(min=0)[:, None]
        cos, sin = size * angle.cos(), size * angle.sin()
        rows = torch.stack([cos * mirror, -sin, shift[:, 0]], 1), torch.stack([sin * mirror, cos, shift[:, 1]], 1)
        return torch.stack(rows, 1)

    def _light(self, image: torch.Tensor) -> torch.Tensor:
        batch, device = len(image), image.device
        exponent = torch.exp(self.gamma * _either_way(batch, 1, 1, 1)).to(device)
        colour = (1 + self.gain * _either_way(batch, 3, 1, 1)).to(device)
        all_of_it = (1 + self.gain * _either_way(batch, 1, 1, 1)).to(device)
        return (image.clamp(1e-4, 1) ** exponent * colour * all_of_it).clamp(0, 1)


def preparing(views: Views) -> Callable[..., tuple]:
    """The function that MONAI's trainer asks for: a batch's random views, and what the loss compares with.

    Per-tile transforms would take longer than the network: the whole batch is drawn at once.
    """

    def prepare_batch(batch: dict, device: torch.device, non_blocking: bool = False, **_: object) -> tuple:
        image, mask = (batch[name].to(device, non_blocking=non_blocking) for name in ("image", "mask"))
        # The bundle's preprocessing leaves -1 to 1; stains are told on 0 to 1.
        image, mask = views((image.float() + 1) / 2, mask)
        image = (2 * image - 1).to(memory_format=torch.channels_last)
        return image, {"label": batch["label"].to(device), "mask": mask}

    return prepare_batch


def restain(image: torch.Tensor, largest: float) -> torch.Tensor:
    """Change how much of each stain a picture took (Tellez et al. 2018, IEEE Trans Med Imaging 37:2126).

    The optical density is split into three stains; each is multiplied by a random factor of 1 give or take ``largest``
    and added to by at most a third of it, and put together again.

    Args:
        image: ``(B, 3, *S)``, 0 to 1.
        largest: 0 leaves the picture as it is but for what is darker than 1/255.

    Returns:
        As ``image``.
    """
    batch, device = len(image), image.device
    stains = STAINS / STAINS.norm(dim=1, keepdim=True)
    factor, added = 1 + largest * _either_way(batch, 3), largest / 3 * _either_way(batch, 3)
    # Both changes are linear in density: one 3x3 matrix and one vector a picture.
    change = torch.einsum("ij,bj,jk->bik", torch.linalg.inv(stains), factor, stains).to(device)
    offset = (added @ stains).to(device)
    density = torch.einsum("bc...,bcd->bd...", -torch.log(image.clamp(min=1 / 255)), change)
    density = density + offset.reshape(batch, 3, *[1] * (image.ndim - 2))
    return torch.exp(-density.clamp(min=0))


def _either_way(*shape: int) -> torch.Tensor:
    return 2 * torch.rand(*shape) - 1
