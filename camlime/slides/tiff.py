"""TIFF and OME-TIFF, with or without a pyramid, read block by block through tifffile."""

from __future__ import annotations

import logging
import zlib
from collections import OrderedDict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile

from camlime.errors import ScanError
from camlime.slides.slide import Level, Pixels, Slide

LARGEST_BLOCK = 1 << 28
"""Bytes of a stored block once decoded: beyond this, memory would no longer be bounded."""

KEPT = 1 << 27
"""Bytes of decoded blocks that are kept, since neighbouring tiles share them."""

PLAUSIBLE_MICRONS = (0.05, 50.0)
"""A print resolution, such as 72 dpi, lies outside and says nothing of a microscope."""

GLASS = 255
"""What a block that was never written shows."""

_COPY = "copy or export the file again"
_CONVERT = "convert it to an 8-bit RGB OME-TIFF with tiles, for instance with vips or bioformats2raw and raw2ometiff"
_IN_MICRONS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4}
_PER_UNIT = {2: 25400.0, 3: 10000.0}
"""Microns in TIFF's units of resolution: inch, centimetre."""

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it finds odd, the errors below say

Damage = (OSError, ValueError, RuntimeError, LookupError, TypeError, ArithmeticError, EOFError, zlib.error, MemoryError)
"""What the decoders raise on damaged files."""


class TiffPyramid(Slide):
    """A TIFF file's largest RGB image.

    Args:
        path: the file.
        file: opened; closed by :meth:`close`.

    Raises:
        ScanError: no 8-bit RGB image is in it, it is stored in one piece, or its structure is damaged.
    """

    def __init__(self, path: Path, file: tifffile.TiffFile) -> None:
        self.path = path
        self._file = file
        self._kept: OrderedDict[tuple[int, int], Pixels] = OrderedDict()
        try:
            sizes = [int(np.prod(series.shape)) for series in file.series]
            number = sizes.index(max(sizes))
            axes = file.series[number].axes
            firsts = [next(page for page in level.pages if page is not None) for level in file.series[number].levels]
            self._pages = [page.aspage() for page in firsts]
        except (*Damage, StopIteration) as error:
            raise ScanError(f"{path} is truncated or damaged: {error}", hint=_COPY) from error
        for page in self._pages:
            _check_page(path, axes, page)
        first = self._pages[0]
        self.levels = tuple(
            Level(
                page.imagewidth,
                page.imagelength,
                (first.imagewidth / page.imagewidth + first.imagelength / page.imagelength) / 2,
                _block(page),
            )
            for page in self._pages
        )
        self.microns_per_pixel = _ome_microns(file, number) or _tag_microns(first)

    def close(self) -> None:
        """Close the file."""
        self._kept.clear()
        self._file.close()

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Put a box together from the blocks that it touches; see :meth:`Slide.read`."""
        wide, high = self.levels[level].block
        across = -(-self.levels[level].width // wide)
        box = np.full((height, width, 3), GLASS, dtype=np.uint8)
        for row in range(y // high, (y + height - 1) // high + 1):
            for column in range(x // wide, (x + width - 1) // wide + 1):
                block = self._decoded(level, row * across + column)
                left, upper = column * wide, row * high
                part = block[max(y - upper, 0) : y + height - upper, max(x - left, 0) : x + width - left]
                to_y, to_x = max(upper - y, 0), max(left - x, 0)
                box[to_y : to_y + part.shape[0], to_x : to_x + part.shape[1]] = part
        return box

    def _decoded(self, level: int, index: int) -> Pixels:
        key = level, index
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        block = self._decode(level, index)
        self._kept[key] = block
        while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > KEPT:
            self._kept.popitem(last=False)
        return block

    def _decode(self, level: int, index: int) -> Pixels:
        page = self._pages[level]
        wide, high = self.levels[level].block
        size = page.databytecounts[index]
        if size == 0:
            return np.full((high, wide, 3), GLASS, dtype=np.uint8)
        try:
            self._file.filehandle.seek(page.dataoffsets[index])
            data = self._file.filehandle.read(size)
            if len(data) < size:
                raise EOFError("the file ends too early")
            decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
            if decoded is None or decoded.dtype != np.uint8 or decoded.shape[1] > high or decoded.shape[2] != wide:
                raise EOFError("it does not decode to the pixels that belong there")
        except Damage as error:
            raise _decoding_error(self.path, level, index, error) from error
        return np.ascontiguousarray(decoded[0, :, :, :3])


def _decoding_error(path: Path, level: int, index: int, error: BaseException) -> ScanError:
    if "imagecodecs" in str(error):
        return ScanError(
            f"{path} is compressed in a way that needs a further package: {error}", hint='pip install "camlime[slides]"'
        )
    return ScanError(f"{path} is truncated or damaged at block {index} of level {level}: {error}", hint=_COPY)


def _check_page(path: Path, axes: str, page: tifffile.TiffPage) -> None:
    rgb = axes == "YXS" and page.samplesperpixel in {3, 4} and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
    if not rgb or page.dtype != np.uint8:
        raise ScanError(
            f"{path} does not hold an 8-bit RGB image: its axes are {axes}, its values {page.dtype}, with "
            f"{page.samplesperpixel} sample(s) a pixel",
            hint=_CONVERT,
        )
    wide, high = _block(page)
    if not wide or not high or page.imagewidth < 1 or page.imagelength < 1:
        raise ScanError(f"{path} is damaged: it claims an image or blocks of no size", hint=_COPY)
    blocks = -(-page.imagewidth // wide) * -(-page.imagelength // high)
    if not blocks == len(page.databytecounts) == len(page.dataoffsets):
        raise ScanError(
            f"{path} is damaged: it has {len(page.databytecounts)} blocks of pixels where {blocks} belong", hint=_COPY
        )
    if wide * high * page.samplesperpixel > LARGEST_BLOCK:
        raise ScanError(
            f"{path} is stored in blocks of {wide} x {high} pixels, too large to be read piece by piece", hint=_CONVERT
        )


def _block(page: tifffile.TiffPage) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilewidth, page.tilelength
    return page.imagewidth, min(page.rowsperstrip, page.imagelength)


def _ome_microns(file: tifffile.TiffFile, series: int) -> float | None:
    if not file.is_ome or not file.ome_metadata:
        return None
    try:
        root = ElementTree.fromstring(file.ome_metadata)
        pixels = [node for node in root.iter() if node.tag.rpartition("}")[2] == "Pixels"][series]
        return _plausible(float(pixels.attrib["PhysicalSizeX"]) * _IN_MICRONS[pixels.get("PhysicalSizeXUnit", "µm")])
    except (ElementTree.ParseError, IndexError, KeyError, ValueError):
        return None


def _tag_microns(page: tifffile.TiffPage) -> float | None:
    resolution, unit = page.tags.get("XResolution"), page.tags.get("ResolutionUnit")
    if resolution is None or unit is None or int(unit.value) not in _PER_UNIT:
        return None
    per_unit, units = resolution.value
    return _plausible(_PER_UNIT[int(unit.value)] * units / per_unit) if per_unit else None


def _plausible(microns: float) -> float | None:
    least, most = PLAUSIBLE_MICRONS
    return microns if least <= microns <= most else None
