"""A slide: an RGB image too large for memory, read in boxes at any of its levels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

NEARLY = 1.001
"""A level counts as fine enough if it is coarser than what is wanted by no more than this factor: rounded sizes."""


@dataclass(frozen=True)
class Level:
    """One level of a pyramid; a file without one has a single level.

    Args:
        width: columns.
        height: rows.
        downsample: pixels of the finest level along one pixel of this one.
        block: (columns, rows) that are stored together, so that reading less costs as much.
    """

    width: int
    height: int
    downsample: float
    block: tuple[int, int]


class Slide(ABC):
    """What every reader offers. Close it after use, or use it as a context manager.

    Slide coordinates are continuous pixels of the finest level, (x, y), x to the right and y downwards: pixel (0, 0)
    covers 0 to 1 along both, so its centre is (0.5, 0.5).

    Attributes:
        path: the file.
        levels: finest first.
        microns_per_pixel: of the finest level; ``None`` where the file does not say it.
    """

    path: Path
    levels: tuple[Level, ...]
    microns_per_pixel: float | None

    @abstractmethod
    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Read a box that lies inside a level.

        Args:
            level: which.
            x: first column, in pixels of the level.
            y: first row.
            width: columns.
            height: rows.

        Returns:
            Shape ``(height, width, 3)``.

        Raises:
            ScanError: the file is damaged there.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the file back."""

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def width(self) -> int:
        """Columns of the finest level."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """Rows of the finest level."""
        return self.levels[0].height

    def best_level(self, downsample: float) -> int:
        """The coarsest level that is at least as fine as ``downsample``; the finest if none is."""
        fine = [i for i, level in enumerate(self.levels) if level.downsample <= downsample * NEARLY]
        return max(fine, key=lambda i: self.levels[i].downsample, default=0)

    def read_scaled(self, x: float, y: float, downsample: float, size: tuple[int, int]) -> Pixels:
        """Read a box at any resolution, from the best level, filtered so that fine detail does not alias.

        Args:
            x: left edge, slide coordinates.
            y: upper edge.
            downsample: pixels of the finest level along one pixel of the result.
            size: (columns, rows) of the result. The box must lie inside the slide.

        Returns:
            Shape ``(rows, columns, 3)``; the file's own pixels where the box needs no resampling.

        Example:
            >>> with open_slide("slide.ome.tif") as slide:  # doctest: +SKIP
            ...     slide.read_scaled(1024, 512, 2.0, (224, 224)).shape
            (224, 224, 3)
        """
        number = self.best_level(downsample)
        level = self.levels[number]
        step = downsample / level.downsample
        left, upper = x / level.downsample, y / level.downsample
        right, lower = min(left + step * size[0], level.width), min(upper + step * size[1], level.height)
        first = int(left + 1e-6), int(upper + 1e-6)
        last = min(int(np.ceil(right - 1e-6)), level.width), min(int(np.ceil(lower - 1e-6)), level.height)
        pixels = self.read(number, *first, last[0] - first[0], last[1] - first[1])
        box = left - first[0], upper - first[1], right - first[0], lower - first[1]
        if pixels.shape[1::-1] == size and np.allclose(box, (0, 0, *size), atol=1e-3):
            return pixels
        inside = max(box[0], 0.0), max(box[1], 0.0), min(box[2], pixels.shape[1]), min(box[3], pixels.shape[0])
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box=inside))
