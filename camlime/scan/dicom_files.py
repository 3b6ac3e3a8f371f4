"""Which files of a folder are to be read as DICOM slices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from camlime.errors import ScanError


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
    """Return the files that are DICOM, or are named ``.dcm`` and so may be slices that got damaged.

    Raises:
        ScanError: if a file may not be read.
    """
    return [
        file for file in files if file.name.upper() != "DICOMDIR" and (is_dicom(file) or file.suffix.lower() == ".dcm")
    ]


def _raise(error: OSError) -> NoReturn:
    raise error


def _unreadable(error: OSError, path: Path) -> ScanError:
    return ScanError(
        f"{error.filename or path} cannot be read: {error.strerror or error}",
        hint="give yourself the permission to read it or move it elsewhere, since it may be a part of the series; "
        "or name the folder that holds this series alone",
    )
