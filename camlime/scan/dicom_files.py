"""Which files of a folder are to be read as DICOM slices, so that none is left out without a word."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import NoReturn

from camlime.errors import ScanError

# Files without an extension that people and programs put beside slices; hidden ones too, such as .DS_Store or the
# ._IM0001 that macOS leaves on memory sticks.
_COMPANION = re.compile(
    r"\.|(dicomdir|readme|licen[cs]e|copying|notice|authors|version|changelog|changes|index|manifest|makefile"
    r"|(md5|sha\d+|check)sums?)\b",
    re.IGNORECASE,
)


def is_dicom(path: Path) -> bool:
    """Tell whether a file starts as DICOM files do: 128 bytes of anything, then ``DICM``.

    Raises:
        ScanError: if it may not be read, since nobody knows then whether it is a slice.
    """
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise _unreadable(error, path) from error


def files_of(folder: Path, *, deep: bool) -> list[Path]:
    """Return a folder's files in order, with ``deep`` those of its sub-folders too.

    Raises:
        ScanError: if a folder or a file may not be looked at: slices may be there.
    """
    found: list[Path] = []
    try:
        for place, _, names in os.walk(folder, onerror=_raise):
            found += [Path(place, name) for name in names]
            if not deep:
                break
        return sorted(file for file in found if file.is_file())
    except OSError as error:
        raise _unreadable(error, folder) from error


def slice_files(files: list[Path]) -> list[Path]:
    """Return the files that are DICOM, or are named as if they were and so may be slices that got damaged.

    Named so is whatever ends in ``.dcm``, and whatever lies in one folder with DICOM files and has the extension of one
    of them, or none as they, companions such as a README left out.

    Raises:
        ScanError: if a file may not be read.
    """
    headed = [file for file in files if file.name.upper() != "DICOMDIR" and is_dicom(file)]
    endings: dict[Path, set[str]] = defaultdict(lambda: {".dcm"})
    for file in headed:
        endings[file.parent].add(_ending(file))
    known = set(headed)
    return [
        file
        for file in files
        if file in known or (_ending(file) in endings[file.parent] and not _COMPANION.match(file.name))
    ]


def _ending(file: Path) -> str:
    """Return the extension; a number is none, as in ``IM.0001`` or a UID."""
    suffix = file.suffix.lower()
    return "" if suffix[1:].isdecimal() else suffix


def _raise(error: OSError) -> NoReturn:
    raise error


def _unreadable(error: OSError, path: Path) -> ScanError:
    return ScanError(
        f"{error.filename or path} cannot be read: {error.strerror or error}",
        hint="give yourself the permission to read it or move it elsewhere, since it may be a part of the series; "
        "or name the folder that holds this series alone",
    )
