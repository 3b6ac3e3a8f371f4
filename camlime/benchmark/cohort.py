"""The cases of a benchmark: a table with one line a case."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from camlime.errors import RequestError
from camlime.regions import MOST_SUPERVOXELS

NEEDED = ("case", "patient", "image")
OPTIONAL = ("mask", "r", "a", "s", "class", "regions")


@dataclass(frozen=True)
class CohortCase:
    """One line of ``cases.csv``.

    Args:
        case: its name, unique.
        patient: whose it is; intervals and tests treat all of a patient's cases as one.
        image: the scan.
        mask: an expert's label map (any label above 0), or ``None``.
        point: RAS mm, where a region bundle looks; the middle of the scan if ``None``.
        class_name: the class to explain; the predicted one if ``None``.
        regions: exactly so many supervoxels; about ``n_regions`` of the settings if ``None``.
    """

    case: str
    patient: str
    image: Path
    mask: Path | None = None
    point: tuple[float, float, float] | None = None
    class_name: str | None = None
    regions: int | None = None

    def digest(self) -> str:
        """Of the line and of what the files hold; changes when the case's result has to be made again.

        Raises:
            RequestError: a file cannot be read.
        """
        line: dict[str, Any] = asdict(self)
        for key in ("image", "mask"):
            line[key] = None if line[key] is None else _digest(line[key])
        return sha256(repr(sorted(line.items())).encode()).hexdigest()[:16]


def read_cohort(path: str | Path) -> tuple[CohortCase, ...]:
    """Read ``cases.csv``: columns ``case, patient, image`` and, if wanted, ``mask, r, a, s, class, regions``.

    ``r``, ``a``, ``s`` are a point in RAS mm. Paths are relative to the table's folder. Empty fields count as absent,
    other columns are ignored, and capitals in the header do not matter.

    Raises:
        RequestError: it is no such table; names the line and what is wrong with it.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            lines = [
                {k: (v or "").strip() for k, v in row.items() if isinstance(v, (str, type(None)))} for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{path} cannot be read as a table: {error}", hint="give --cases a CSV file") from error
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise RequestError(
            f"{path} has no column {', '.join(missing)}",
            hint=f"needed: {', '.join(NEEDED)}; optional: {', '.join(OPTIONAL)}",
        )
    if not lines:
        raise RequestError(f"{path} has no cases", hint="one line a case below the header")
    cases = tuple(_case(line, f"{path}, line {number}", path.parent) for number, line in enumerate(lines, start=2))
    seen: set[str] = set()
    for case in cases:
        if case.case in seen:
            raise RequestError(f"{path} names case '{case.case}' twice", hint="give each line a case name of its own")
        seen.add(case.case)
    return cases


def _case(line: Mapping[str | None, str], where: str, folder: Path) -> CohortCase:
    for name in NEEDED:
        if not line[name]:
            raise RequestError(f"{where}: '{name}' is empty", hint="every case has a name, a patient and an image")
    given = [line.get(axis, "") for axis in "ras"]
    if any(given) and not all(given):
        raise RequestError(f"{where}: the point is incomplete", hint="fill in r, a and s, or none of them")
    image, mask = folder / line["image"], folder / line["mask"] if line.get("mask") else None
    for file in filter(None, (image, mask)):
        if not file.exists():
            raise RequestError(f"{where}: {file} does not exist", hint="paths are relative to the table's folder")
    try:
        point = (float(given[0]), float(given[1]), float(given[2])) if all(given) else None
        regions = int(line["regions"]) if line.get("regions") else None
    except ValueError as error:
        raise RequestError(f"{where}: {error}", hint="r, a, s are numbers (mm), regions is a whole number") from error
    if point is not None and not all(map(math.isfinite, point)):
        raise RequestError(f"{where}: the point {', '.join(given)} is nowhere", hint="r, a, s are numbers (mm)")
    if regions is not None and not 2 <= regions <= MOST_SUPERVOXELS:
        raise RequestError(f"{where}: {regions} regions cannot be made", hint=f"give 2 to {MOST_SUPERVOXELS}")
    return CohortCase(line["case"], line["patient"], image, mask, point, line.get("class") or None, regions)


def _digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    whole = sha256()
    try:
        for file in files:
            whole.update(sha256(file.read_bytes()).digest())
    except OSError as error:
        raise RequestError(
            f"{error.filename} cannot be read: {error.strerror}", hint="check its permissions"
        ) from error
    return whole.hexdigest()
