"""Which reader a file needs."""

from __future__ import annotations

from pathlib import Path

import tifffile

from camlime.errors import ScanError
from camlime.slides.slide import Slide
from camlime.slides.tiff import Damage, TiffPyramid
from camlime.slides.whole_slide import WholeSlide

SCANNERS = ("svs", "ndpi", "scn", "philips", "bif", "qpi", "sis")
"""Formats that are TIFF inside but keep pyramid and resolution in ways of their own, by tifffile's names."""


def open_slide(path: str | Path) -> Slide:
    """Open a TIFF, an OME-TIFF or a whole slide; nothing but its structure is read.

    Args:
        path: the file. Plain and OME-TIFF are read through tifffile, scanners' formats through tiffslide; that package
            and compressions other than deflate and LZMA need the extra ``slides``.

    Raises:
        ScanError: it is missing, not such a file, damaged, or not 8-bit RGB; or an optional package is missing.

    Example:
        >>> with open_slide("slide.ome.tif") as slide:  # doctest: +SKIP
        ...     slide.width, slide.height, slide.microns_per_pixel
        (40960, 30720, 0.25)
    """
    path = Path(path)
    try:
        if path.is_dir() or not path.exists():
            raise ScanError(
                f"{path} is a folder, not a slide" if path.is_dir() else f"{path} does not exist", hint="check the path"
            )
        if path.stat().st_size == 0:
            raise ScanError(f"{path} is an empty file of zero bytes", hint="copy or export the file again")
        file = tifffile.TiffFile(path)
    except tifffile.TiffFileError as error:
        raise ScanError(
            f"{path} is not a TIFF file, or its header is damaged: {error}",
            hint="readable are TIFF, OME-TIFF and scanners' formats built on TIFF; convert others to OME-TIFF",
        ) from error
    except Damage as error:
        raise ScanError(f"{path} cannot be opened: {error}", hint="check the path and its permissions") from error
    try:
        if any(getattr(file, f"is_{name}", False) for name in SCANNERS):
            file.close()
            return WholeSlide(path)
        return TiffPyramid(path, file)
    except BaseException:
        file.close()
        raise
