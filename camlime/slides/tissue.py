"""Where a slide has tissue: a small picture of it, and a mask on that picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.filters import threshold_otsu

from camlime.errors import ScanError
from camlime.slides.slide import Pixels, Slide

THUMBNAIL = 2048
"""Longest edge of the small picture, at most."""

COARSE_ENOUGH = 1024
"""The coarsest level with an edge at least this long is what the small picture is made from."""

LEAST_SATURATION, MOST_SATURATION = 0.05, 0.15
"""Otsu's threshold is held between: glass lies below the first, stained tissue above the second, also where a slide is
all glass or all tissue and the best threshold would cut through one of them."""

_READ_AT_ONCE = 1 << 23
"""Pixels; two rows of blocks this wide have to fit into what a reader keeps."""

Edges = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Tissue:
    """A slide in small, and its tissue.

    Args:
        thumbnail: shape ``(h, w, 3)``.
        mask: shape ``(h, w)``, bool.
        downsample: slide pixels along one pixel of either, exactly: (along x, along y).
        threshold: the saturation, 0 to 1, above which a pixel is tissue.
    """

    thumbnail: Pixels
    mask: NDArray[np.bool_]
    downsample: tuple[float, float]
    threshold: float

    def shares(self, x_edges: Edges, y_edges: Edges) -> NDArray[np.float64]:
        """The shares of boxes side by side that are tissue, by area.

        Args:
            x_edges: slide coordinates, rising, shape ``(columns + 1,)``.
            y_edges: the same along y, shape ``(rows + 1,)``.

        Returns:
            Shape ``(rows, columns)``, each 0 to 1.
        """
        rows = _overlaps(y_edges / self.downsample[1], self.mask.shape[0])
        columns = _overlaps(x_edges / self.downsample[0], self.mask.shape[1])
        return rows @ self.mask @ columns.T


def find_tissue(slide: Slide, *, cancelled: Callable[[], bool] = lambda: False) -> Tissue:
    """Tell tissue from glass by colour: saturation above Otsu's threshold [1]_ on a small picture of the slide.

    Args:
        slide: without a pyramid all of it is read once, block by block.
        cancelled: asked between blocks; ``True`` raises ``KeyboardInterrupt``, since there is nothing to keep yet.

    Raises:
        ScanError: there is no tissue, or the file is damaged.

    .. [1] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Syst. Man Cybern. 9 (1979).
    """
    thumbnail, downsample = _thumbnail(slide, cancelled)
    high, low = thumbnail.max(axis=2).astype(np.float32), thumbnail.min(axis=2).astype(np.float32)
    saturation = (high - low) / np.maximum(high, 1)
    constant = saturation.max() == saturation.min()
    otsu = float(saturation.max()) if constant else float(threshold_otsu(saturation))
    threshold = min(max(otsu, LEAST_SATURATION), MOST_SATURATION)
    mask = saturation > threshold
    if not mask.any():
        raise ScanError(
            f"{slide.path} shows no tissue: nowhere is its colour more saturated than {threshold:.2f}",
            hint="is it stained and in colour? --tissue 0 takes every tile",
        )
    return Tissue(thumbnail, mask, downsample, threshold)


def everywhere(slide: Slide, *, cancelled: Callable[[], bool] = lambda: False) -> Tissue:
    """The slide in small, all of it called tissue; arguments and errors as :func:`find_tissue`'s."""
    thumbnail, downsample = _thumbnail(slide, cancelled)
    return Tissue(thumbnail, np.ones(thumbnail.shape[:2], dtype=bool), downsample, 0.0)


def _thumbnail(slide: Slide, cancelled: Callable[[], bool]) -> tuple[Pixels, tuple[float, float]]:
    """The slide averaged over whole numbers of pixels of one level, and slide pixels along one of its pixels."""
    large = [i for i, level in enumerate(slide.levels) if max(level.width, level.height) >= COARSE_ENOUGH]
    number = max(large, key=lambda i: slide.levels[i].downsample, default=0)
    level = slide.levels[number]
    factor = max(math.ceil(max(level.width, level.height) / THUMBNAIL), 1)
    small = np.empty((-(-level.height // factor), -(-level.width // factor), 3), dtype=np.uint8)
    wide, high = _steps(level.block, factor, level.width)
    for x in range(0, level.width, wide):
        for y in range(0, level.height, high):
            if cancelled():
                raise KeyboardInterrupt
            pixels = slide.read(number, x, y, min(wide, level.width - x), min(high, level.height - y))
            part = np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels
            small[y // factor : y // factor + part.shape[0], x // factor : x // factor + part.shape[1]] = part
    return small, (factor * slide.width / level.width, factor * slide.height / level.height)


def _steps(block: tuple[int, int], factor: int, width: int) -> tuple[int, int]:
    """(columns, rows) to read at once: multiples of ``factor``, whole blocks along x, and few enough."""
    high = factor * max(block[1] // factor, 1)
    wide = max(block[0], min(width, _READ_AT_ONCE // high))
    return factor * -(-wide // factor), high


def _overlaps(edges: Edges, size: int) -> NDArray[np.float64]:
    """How much of each interval between edges each of ``size`` pixels takes up, shape ``(intervals, size)``."""
    pixels = np.arange(size)
    first, last = edges[:-1, None], edges[1:, None]
    return np.clip(np.minimum(last, pixels + 1) - np.maximum(first, pixels), 0, None) / (last - first)
