"""Scanners' own formats, such as Aperio's SVS and Hamamatsu's NDPI, through the optional package tiffslide."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from camlime.errors import ScanError
from camlime.slides.slide import Level, Pixels, Slide
from camlime.slides.tiff import LARGEST_BLOCK, Damage

_COPY = "copy or export the file again"
_UNKNOWN_BLOCK = 512


class WholeSlide(Slide):
    """A slide as a scanner wrote it.

    Args:
        path: the file.

    Raises:
        ScanError: tiffslide is not installed, or cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            import tiffslide
        except ImportError as error:
            raise ScanError(
                f"{path} is in a scanner's own format, which needs a further package ({error})",
                hint='pip install "camlime[slides]", or convert the slide to OME-TIFF',
            ) from error
        self.path = path
        try:
            self._slide = tiffslide.TiffSlide(path)
            properties: dict[str, Any] = self._slide.properties
            sizes, downsamples = self._slide.level_dimensions, self._slide.level_downsamples
        except (*Damage, NotImplementedError) as error:
            raise ScanError(f"{path} cannot be read as a whole slide: {error}", hint=_COPY) from error
        self.levels = tuple(
            Level(width, height, float(downsample), _block(properties, i, width, height))
            for i, ((width, height), downsample) in enumerate(zip(sizes, downsamples, strict=True))
        )
        for level in self.levels:
            if level.block[0] * level.block[1] * 3 > LARGEST_BLOCK:
                raise ScanError(f"{path} is stored in blocks of {level.block[0]} x {level.block[1]} pixels: too large")
        microns = properties.get(tiffslide.PROPERTY_NAME_MPP_X)
        self.microns_per_pixel = float(microns) if microns else None

    def close(self) -> None:
        """Close the file."""
        self._slide.close()

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Read a box; see :meth:`Slide.read`."""
        downsample = self.levels[level].downsample
        place = _first_pixel(x, downsample), _first_pixel(y, downsample)
        try:
            pixels = self._slide.read_region(place, level, (width, height), as_array=True)
        except (*Damage, NotImplementedError) as error:
            raise ScanError(f"{self.path} is truncated or damaged: {error}", hint=_COPY) from error
        if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype != np.uint8:
            raise ScanError(f"{self.path} does not hold an 8-bit RGB image", hint="export it as RGB")
        return np.ascontiguousarray(pixels[..., :3])


def _first_pixel(index: int, downsample: float) -> int:
    """The place on the finest level that tiffslide, which divides and cuts off, takes for pixel ``index``."""
    place = math.ceil(index * downsample)
    while int(place / downsample) < index:
        place += 1
    return place


def _block(properties: dict[str, Any], level: int, width: int, height: int) -> tuple[int, int]:
    wide = properties.get(f"tiffslide.level[{level}].tile-width") or _UNKNOWN_BLOCK
    high = properties.get(f"tiffslide.level[{level}].tile-height") or _UNKNOWN_BLOCK
    return min(int(wide), width), min(int(high), height)
