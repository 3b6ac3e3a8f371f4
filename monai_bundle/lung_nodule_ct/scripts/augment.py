"""Random views of a nodule, for a whole batch at once (per-case transforms took as long as the network itself)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from .data import Volumes


@dataclass(frozen=True)
class Augment:
    """Draws the network's box from stored volumes: moved, turned, cut short, and filled where the scan ends.

    Two shortcuts of the data are closed here. The crops hold hardly more slices than the nodule has, so where the
    padding begins tells the size: every box is cut short in z to a length drawn without regard to the class, and
    the filling itself is drawn at random. And the nodule is always in the centre: the box is shifted at random.

    Attributes:
        grid: the network's box ``(X, Y, Z)`` in voxels.
        spacing: voxel size in mm.
        shift_mm: largest shift on each axis, either way.
        scale: largest change of size, as a fraction; small, because size is evidence.
        cut_probability: how often a box is cut short in z.
        shortest_mm: shortest length in z that a cut leaves.
        fill: range of the constant that stands outside the scan, in scaled intensity.
        edge_probability: how often the last real voxels are repeated there instead.
        gain: standard deviation of the factor on intensity.
        offset: standard deviation of the shift of intensity.
        noise: largest standard deviation of the noise.
    """

    grid: Sequence[int]
    spacing: Sequence[float]
    shift_mm: Sequence[float] = (3.0, 3.0, 1.0)
    scale: float = 0.05
    cut_probability: float = 0.7
    shortest_mm: float = 3.0
    fill: tuple[float, float] = (0.0, 0.2)
    edge_probability: float = 0.3
    gain: float = 0.05
    offset: float = 0.01
    noise: float = 0.03

    def __call__(self, volumes: Volumes, index: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draw one view of each case.

        Args:
            volumes: the store.
            index: int64 ``(B,)``, which cases.
            generator: source of all randomness.

        Returns:
            float32 ``(B, 2, X, Y, Z)``: the view, and the outline as it lies in it.
        """
        batch = len(index)

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(batch, *shape, generator=generator)

        spacing = torch.tensor(self.spacing)
        low, high = volumes.low[index].float(), volumes.high[index].float()
        low, high = self._cut(low, high, volumes, uniform)

        position = self._positions(uniform) + self._centre(volumes)
        shift = (2 * uniform(3) - 1) * torch.tensor(self.shift_mm) / spacing
        position = position + shift[:, None, None, None]

        lower, upper = low[:, None, None, None], high[:, None, None, None]
        outside = ((position < lower - 0.5) | (position > upper + 0.5)).any(-1)
        sampled = sample(volumes.voxels[index], torch.minimum(torch.maximum(position, lower), upper))

        constant = self.fill[0] + (self.fill[1] - self.fill[0]) * uniform(1, 1, 1, 1)
        fills = outside[:, None] & (uniform(1, 1, 1, 1) >= self.edge_probability)
        image, mask = sampled[:, :1], sampled[:, 1:]
        gain = 1 + self.gain * torch.randn(batch, 1, 1, 1, 1, generator=generator)
        offset = self.offset * torch.randn(batch, 1, 1, 1, 1, generator=generator)
        noise = self.noise * uniform(1, 1, 1, 1) * torch.randn(image.shape, generator=generator)
        image = torch.where(fills, constant, (image * gain + offset + noise).clamp(0, 1))
        return torch.cat([image, torch.where(fills, 0.0, mask)], 1)

    def _centre(self, volumes: Volumes) -> torch.Tensor:
        return torch.tensor([size // 2 for size in volumes.voxels.shape[2:]], dtype=torch.float32)

    def _cut(self, low: torch.Tensor, high: torch.Tensor, volumes: Volumes, uniform) -> tuple[torch.Tensor, ...]:
        """Move the ends of the scan in z towards the centre, whatever the class and the crop's own length."""
        length = self.grid[2] * self.spacing[2]
        kept = self.shortest_mm + (length - self.shortest_mm) * uniform()
        kept = torch.where(uniform() < self.cut_probability, kept, 1e3) / self.spacing[2]
        middle = self._centre(volumes)[2] - 0.5 + (2 * uniform() - 1) / self.spacing[2]
        low, high = low.clone(), high.clone()
        low[:, 2] = torch.maximum(low[:, 2], (middle - kept / 2 + 0.5).round())
        high[:, 2] = torch.minimum(high[:, 2], (middle + kept / 2 - 0.5).round())
        # A cut never leaves nothing.
        return torch.minimum(low, high), high

    def _positions(self, uniform) -> torch.Tensor:
        """Offsets of the box's voxels from the centre, turned about z, mirrored and scaled: ``(B, X, Y, Z, 3)``."""
        axes = [torch.arange(size) - size // 2 for size in self.grid]
        offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).float()
        angle = 2 * math.pi * uniform()
        size = 1 / (1 + self.scale * (2 * uniform() - 1))
        mirror_x, mirror_z = (torch.where(uniform() < 0.5, -1.0, 1.0) for _ in range(2))
        zero = torch.zeros_like(angle)
        rows = (
            torch.stack([mirror_x * size * angle.cos(), -size * angle.sin(), zero], -1),
            torch.stack([mirror_x * size * angle.sin(), size * angle.cos(), zero], -1),
            torch.stack([zero, zero, mirror_z * size], -1),
        )
        return torch.einsum("bij,xyzj->bxyzi", torch.stack(rows, 1), offsets)


def sample(voxels: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Trilinear samples.

    Args:
        voxels: ``(B, C, X, Y, Z)``.
        position: ``(B, x, y, z, 3)`` in voxels of ``voxels``, in the order of its axes.
    """
    size = torch.tensor(voxels.shape[2:], dtype=position.dtype)
    normalised = (2 * position + 1) / size - 1
    # grid_sample wants the last axis first.
    return F.grid_sample(voxels, normalised.flip(-1), mode="bilinear", padding_mode="border", align_corners=False)
