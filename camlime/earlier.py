"""What an earlier result in a folder has named: what a new one replaces, and what it must leave alone.

Only files that an earlier result names are ours to replace. Anything else of the same name is the user's, and so is
whatever the new result is made from, even where an earlier one did write it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from camlime.errors import OutputError
from camlime.record import FORMAT, NATIVE
from camlime.staging import JSON_NAME

SLICES_FORMAT = "camlime slices 1"
OVERVIEW = "overview.png"

REPORT_NAME = "report.html"
"""The page that may be written beside an explanation, and goes with it."""

ALSO = "also"
"""Key of the record: files from elsewhere that were put beside the explanation, such as the demo's scan."""

_OURS = re.compile(rf"({NATIVE}/)?[^/\\:\0.][^/\\:\0]*\.nii\.gz|{re.escape(OVERVIEW)}|{re.escape(REPORT_NAME)}")
_OURS_OF_SLICES = re.compile(
    rf"slice_\d{{3,}}/[A-Za-z0-9_+-]+\.(nii\.gz|png|json)|({NATIVE}/)?[A-Za-z0-9_+-]+\.nii\.gz"
    rf"|{re.escape(OVERVIEW)}|{re.escape(REPORT_NAME)}"
)
"""What a JSON, which anybody may have written, may have removed: a stranger's could name any file of the folder."""

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def earlier_files(folder: Path) -> list[Path]:
    """The files that an earlier explanation, of one image or of slices, names, relative to its folder.

    Those that it only put beside itself (:data:`ALSO`) are left out. None if there is none that can be read.
    """
    record = _record(folder)
    try:
        if record.get("format") == FORMAT:
            names, ours = _named(record), _OURS
        elif record.get("format") == SLICES_FORMAT:
            names, ours = [*record["files"], REPORT_NAME], _OURS_OF_SLICES
        else:
            return []
        return [Path(JSON_NAME), *[Path(name) for name in names if isinstance(name, str) and ours.fullmatch(name)]]
    except _UNREADABLE:
        return []


def brought_along(folder: Path) -> list[str]:
    """Names of the files that an earlier explanation put beside itself and that are still there."""
    names = _record(folder).get(ALSO)
    plain = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return [name for name in plain if Path(name).name == name and (folder / name).is_file()]


def check_unclaimed(folder: Path, names: Iterable[str | Path]) -> None:
    """Find out whether a new result would replace files that no earlier one in the folder names.

    Args:
        folder: where the result goes.
        names: of its files, relative to the folder.

    Raises:
        OutputError: it would; names the first such file.
    """
    ours = {*earlier_files(folder), *map(Path, brought_along(folder))}
    if str(_record(folder).get("format")).startswith("camlime "):  # of another version: this much is ours at any rate
        ours |= {Path(JSON_NAME), Path(OVERVIEW), Path(REPORT_NAME)}
    for name in sorted({Path(name) for name in names} - ours):
        place = folder / name
        if place.is_dir() or not (place.exists() or place.is_symlink()):
            continue
        if len(name.parts) == 1 or Path(name.name) not in earlier_files(place.parent):
            raise OutputError(
                f"{place} is there already, and no earlier result in that folder names it: it would be lost",
                hint="move it away, or give --output another folder",
            )


def check_inputs_stay(folder: Path, names: Iterable[str | Path], inputs: Iterable[Path]) -> None:
    """Find out whether a new result would replace, or remove as an earlier result, what it is made from.

    Args:
        folder: where the result goes.
        names: of its files, relative to the folder.
        inputs: files that the user gave, by whatever name.

    Raises:
        OutputError: it would; names the input.
    """
    going = sorted({*map(Path, names), *earlier_files(folder)})
    for given in inputs:
        for name in going:
            if same_file(folder / name, given):
                raise OutputError(
                    f"{given} is one of the inputs, and results that go to {folder} would take its place",
                    hint="give --output another folder",
                )


def check_other_file(file: Path, inputs: Iterable[Path]) -> None:
    """Find out whether a single file that is to be written is one of those that it is made from.

    Raises:
        OutputError: it is.
    """
    if any(same_file(file, given) for given in inputs):
        raise OutputError(f"{file} is one of the inputs, and would be lost", hint="give --output another name")


def same_file(one: Path, other: Path) -> bool:
    """Whether two names, through links and relative to whatever, stand for one file that is there."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
    except _UNREADABLE:
        return {}
    return record if isinstance(record, dict) else {}


def _named(record: dict[str, Any]) -> list[Any]:
    maps = record["attributions"].values()
    names = [a.get(key) for a in maps for key in ("file", "std_file", "native_file", "native_std_file")]
    if any(a.get("native_file") for a in maps):
        names.append(f"{NATIVE}/regions.nii.gz")
    if record["input"]["padded_voxels"]:
        names.append("valid.nii.gz")
    return [*names, record["input"]["file"], record["regions_file"], OVERVIEW, REPORT_NAME]
