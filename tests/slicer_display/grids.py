"""Grids that go wrong easily: flipped, anisotropic, oblique, left-handed."""

from __future__ import annotations

import numpy as np


def grid(
    spacing: tuple[float, float, float],
    degrees: tuple[float, float, float] = (0, 0, 0),
    *,
    flips: tuple[int, int, int] = (1, 1, 1),
    order: tuple[int, int, int] = (0, 1, 2),
    origin: tuple[float, float, float] = (0, 0, 0),
) -> np.ndarray:
    """A 4x4 affine, voxel index to RAS mm: rotated about each axis, axes flipped and in another order."""
    a, b, c = np.radians(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (rz @ ry @ rx @ np.diag(flips))[:, list(order)] @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


GRIDS = {
    "straight": grid((1, 1, 1)),
    "LPS, anisotropic": grid((0.7, 0.8, 2.5), flips=(-1, -1, 1), origin=(30, -20, 100)),
    "left-handed": grid((0.9, 0.9, 1.5), flips=(-1, 1, 1), origin=(10, 5, -40)),
    "oblique, anisotropic": grid((0.8, 1.1, 3.0), (20, -15, 35), origin=(-12, 40, 7)),
    "oblique, flipped, axes in another order": grid(
        (3.0, 0.8, 1.1), (-30, 25, 10), flips=(-1, 1, -1), order=(2, 0, 1), origin=(5, -60, 20)
    ),
}
