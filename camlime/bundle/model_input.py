"""What the network sees of a scan, and where it lies in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class ModelInput:
    """A scan after a bundle's preprocessing.

    Args:
        image: shape ``(C, *S)``, float32, on the CPU: what the network is given.
        affine: 4x4, voxel index of ``image`` to RAS mm, in the scan's frame (2D images: the third column is a unit
            normal).
        valid: shape ``(*S,)``, bool: voxels whose centre lies inside the scan; what padding made up is ``False``.
        spacing: mm, one a spatial axis.
    """

    image: Tensor
    affine: np.ndarray
    valid: Tensor
    spacing: tuple[float, ...]

    @property
    def centre_ras(self) -> np.ndarray:
        """RAS mm of the middle of the grid, shape ``(3,)``."""
        middle = np.zeros(3)
        middle[: len(self.spatial_shape)] = (np.array(self.spatial_shape) - 1) / 2
        return np.asarray(self.affine[:3, :3] @ middle + self.affine[:3, 3])

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Voxels along each spatial axis."""
        return tuple(self.image.shape[1:])
