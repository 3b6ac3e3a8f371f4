"""Colours that say how much and which way: warm speaks for the class, cool against it, both equally bright."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from numpy.typing import NDArray

from camlime.palette import evidence_table, for_table, limit_of, spread_table

INK = "#1b2530"
MUTED = "#66717d"
RULE = "#d5dae0"
FOR = "#c4501b"
AGAINST = "#2470ad"
AMBER = "#a86200"
GREEN = "#2b7a4b"
RED = "#b3261e"

VERDICT_COLOURS = {True: GREEN, False: RED, None: AMBER}
"""Supported, not supported, not judged."""

LIGHT = 0.82
"""Grey of the brightest tissue, 1 being white."""

_FADE_IN = 0.04
_STRONGEST_ALPHA = 0.80
_SPREAD_ALPHA = 0.60


@dataclass(frozen=True)
class Scale:
    """How values become colours.

    Args:
        low: value of the first colour.
        high: value of the last one.
        colours: which.
        clipped: whether some values lie beyond.
        by_magnitude: small magnitudes are transparent, so that the anatomy shows.
    """

    low: float
    high: float
    colours: Colormap
    clipped: bool
    by_magnitude: bool

    def rgba(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Colours with opacity of any values, shape ``(*shape, 4)``."""
        colours = np.array(self.colours((values - self.low) / (self.high - self.low)))
        colours[..., 3] = _SPREAD_ALPHA
        if self.by_magnitude:
            share = np.abs(values) / max(abs(self.low), abs(self.high))
            colours[..., 3] = _STRONGEST_ALPHA * np.clip((share - _FADE_IN) / (1 - _FADE_IN), 0, 1) ** 0.6
        return colours


@lru_cache(maxsize=1)
def evidence_colours() -> Colormap:
    """Diverging; see :func:`camlime.palette.evidence_table`."""
    return ListedColormap(evidence_table(), name="evidence")


def evidence_scale(values: NDArray[np.floating]) -> Scale:
    """Symmetric about zero for a map with both signs, else from zero; limits are robust against single voxels.

    Args:
        values: of the valid voxels, any shape.
    """
    size = np.abs(values)
    limit = limit_of(size)
    signed = bool(values.size) and float(values.min()) < 0
    colours = evidence_colours() if signed else ListedColormap(for_table())
    return Scale(-limit if signed else 0.0, limit, colours, bool((size > limit).any()), by_magnitude=True)


def spread_scale(values: NDArray[np.floating]) -> Scale:
    """From zero, for standard deviations."""
    limit = limit_of(values)
    return Scale(0.0, limit, ListedColormap(spread_table()), bool((values > limit).any()), by_magnitude=False)


def grey_window(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """An image ``(C, *S)`` to [0, 1], rising throughout, so that nothing burns out.

    The 0.5th to the 99.5th percentile over valid voxels and all channels become black to :data:`LIGHT`, which leaves
    the brightest tissue (a nodule among air, say) light grey; what is brighter still has the rest up to white.
    """
    inside = image[:, valid] if valid.any() else image
    low, high = np.percentile(inside, [0.5, 99.5])
    most = max(float(inside.max()), float(high) + 1e-12)
    grey = np.interp(image, [float(low), max(float(high), float(low) + 1e-12), most + 1e-12], [0.0, LIGHT, 1.0])
    return grey.astype(np.float32)
