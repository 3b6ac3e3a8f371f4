"""The colours and limits of maps, as plain tables: one look for pictures, reports and 3D Slicer.

Only numpy is needed, so that a viewer can have the same colours without the engine's packages. Colours are made in
CIELAB, where equal steps look equal: lightness alone says how much, hue says which way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROBUST_PERCENTILE = 99.5
"""Of the magnitudes: what lies beyond has the colour of the limit, and the colour bar says so."""

Table = NDArray[np.float64]

_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
_XYZ_TO_SRGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
_CIE_DELTA = 6 / 29


def evidence_table() -> Table:
    """Diverging, shape ``(256, 3)``, red, green and blue from 0 to 1: against (cool) to for (warm).

    Lightness grows evenly with magnitude to both sides, so that for and against look equally strong.

    Example:
        >>> evidence_table()[[0, 127, 128, 255]].round(1).tolist()
        [[0.4, 1.0, 1.0], [0.2, 0.3, 0.6], [0.7, 0.1, 0.2], [1.0, 0.9, 0.4]]
    """
    return np.concatenate([_arm((285, 225), 38)[::-1], _arm((30, 88), 68)])


def for_table() -> Table:
    """The warm half of :func:`evidence_table`, shape ``(256, 3)``, for maps that say nothing against a class."""
    return evidence_table()[128 + np.arange(256) // 2]


def spread_table() -> Table:
    """Violet over green to pale yellow, shape ``(256, 3)``, for standard deviations: dark is little, bright is much."""
    return _arm((305, 105), 36, lightness=(22.0, 92.0), steps=256)


def limit_of(values: NDArray[np.floating]) -> float:
    """Where a map's colours end: a percentile of its nonzero magnitudes, robust against single voxels; 1 if all are 0.

    Example:
        >>> limit_of(np.array([0.0, -3.0, 3.0]))
        3.0
    """
    size = np.abs(values)
    nonzero = size[size > 0]
    return float(np.percentile(nonzero, ROBUST_PERCENTILE)) if nonzero.size else 1.0


def _arm(
    hues: tuple[float, float], chroma: float, *, lightness: tuple[float, float] = (38.0, 90.0), steps: int = 128
) -> Table:
    t = np.linspace(0, 1, steps)
    hue = np.radians(hues[0] + (hues[1] - hues[0]) * t)
    light = lightness[0] + (lightness[1] - lightness[0]) * t
    return _srgb(np.stack([light, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1))


def _srgb(lab: Table) -> Table:
    """CIELAB (D65) to sRGB (IEC 61966-2-1), shape ``(n, 3)``, clipped to what screens can show."""
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=-1)
    xyz = np.where(f > _CIE_DELTA, f**3, 3 * _CIE_DELTA**2 * (f - 4 / 29)) * _WHITE_D65
    linear = np.clip(xyz @ _XYZ_TO_SRGB.T, 0, 1)
    encoded: Table = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.clip(encoded, 0, 1)
