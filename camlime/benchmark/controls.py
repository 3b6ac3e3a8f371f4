"""Maps that know nothing of the model, to be beaten: random, the middle, the intensity, the edges."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from camlime.attribution import Attribution
from camlime.evidence.controls import control_maps
from camlime.methods.case import Case

EDGE_MM = 1.0
"""Width of the Gaussian whose derivative finds edges, mm; no less than half a voxel."""

NAMES = ("random", "centre", "intensity", "edges")


def control(name: str, case: Case) -> Attribution:
    """The control of that name; it takes no pass through the network.

    ``random``, ``centre`` and ``intensity`` are those of the evidence, see :mod:`camlime.evidence.controls`.
    """
    if name == "edges":
        return Attribution(name, edge_map(case))
    return Attribution(name, control_maps(case.input, case.seed)[name].astype(np.float32))


def edge_map(case: Case) -> np.ndarray:
    """Magnitude of the image's Gaussian gradient in 1/mm, the largest over channels, ``(*S,)``."""
    spacing = case.input.spacing
    sigma = [max(EDGE_MM / step, 0.5) for step in spacing]
    squares = []
    for channel in case.input.image.numpy().astype(np.float64):
        slopes = [
            ndimage.gaussian_filter(channel, sigma, order=[int(a == axis) for a in range(len(spacing))]) / step
            for axis, step in enumerate(spacing)
        ]
        squares.append(sum(slope**2 for slope in slopes))
    return np.sqrt(np.max(squares, axis=0)).astype(np.float32)
