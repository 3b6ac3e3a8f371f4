"""An explanation on disk: volumes, ``explanation.json`` and the picture, all of them or none.

A run that fails on the way leaves nothing half-written (:mod:`camlime.staging`). What an earlier explanation in the
same folder named is gone afterwards, or all still there after a failure.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.errors import OutputError, unreadable
from camlime.explanation import Explanation
from camlime.overview import draw_overview
from camlime.record import FORMAT, NATIVE, explanation_of, file_stem, plain, record_of
from camlime.resampling import resample
from camlime.scan import save_volume
from camlime.scan.scan import Scan
from camlime.staging import JSON_NAME, staged

REPORT_NAME = "report.html"
"""The page that may be written beside an explanation, and goes with it."""

DAMAGED = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What reading a record raises that is no JSON, or whose parts are missing, of another type or do not fit together."""

_OVERVIEW = "overview.png"


def save_explanation(
    explanation: Explanation, folder: Path, *, native: Scan | None = None, also: Sequence[Path] = ()
) -> list[Path]:
    """Write an explanation to a folder, which is made if it is not there, in place of an earlier one.

    Every file that the earlier ``explanation.json`` names goes, also those that the new one does not write; other files
    stay.

    Args:
        explanation: what to write.
        folder: where to.
        native: the scan; if given, maps (trilinear) and regions (nearest neighbour) are also written on its grid, in
            ``native/``.
        also: files from elsewhere to put into the folder with it, under their own names.

    Returns:
        The files, ``explanation.json`` first, those from elsewhere left out.

    Raises:
        OutputError: it cannot be written; nothing new is left behind, and an earlier explanation stays as it was.
    """
    with staged(folder, instead_of=_earlier_files) as stage:
        names = _write_volumes(explanation, stage)
        if native is not None:
            (stage / NATIVE).mkdir()
            names += _write_native(explanation, native, stage)
        for path in also:
            shutil.copyfile(path, stage / path.name)
        draw_overview(explanation, stage / _OVERVIEW)
        record = record_of(explanation, native=native is not None)
        (stage / JSON_NAME).write_text(json.dumps(plain(record), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return [folder / name for name in (JSON_NAME, _OVERVIEW, *names)]


def load_explanation(folder: str | Path) -> Explanation:
    """Read what :func:`save_explanation` wrote.

    Raises:
        OutputError: it is not such a folder, another version of camlime wrote it, or a file is missing or damaged.
    """
    folder = Path(folder)
    try:
        record = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
        if record.get("format") != FORMAT:
            of_slices = "slices" in str(record.get("format"))
            raise OutputError(
                f"{folder / JSON_NAME} has format {record.get('format')!r}, not {FORMAT!r}",
                hint="give the folder of one slice in it, such as slice_011" if of_slices else "explain the scan again",
            )
        return explanation_of(record, folder)
    except FileNotFoundError as error:
        raise OutputError(f"{error.filename} is missing", hint="give a folder that camlime explain wrote") from error
    except DAMAGED as error:
        raise unreadable(folder / JSON_NAME, error) from error


def _earlier_files(folder: Path) -> list[Path]:
    """The files that an earlier explanation names, relative to its folder; none if there is none that can be read."""
    try:
        record = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            return []
        maps = record["attributions"].values()
        names = [a.get(key) for a in maps for key in ("file", "std_file", "native_file", "native_std_file")]
        if any(a.get("native_file") for a in maps):
            names.append(f"{NATIVE}/regions.nii.gz")
        if record["input"]["padded_voxels"]:
            names.append("valid.nii.gz")
        names += [record["input"]["file"], record["regions_file"], _OVERVIEW, REPORT_NAME, JSON_NAME]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return [Path(name) for name in names if isinstance(name, str) and _is_ours(name)]


def _is_ours(name: str) -> bool:
    """Whether a name in a JSON, which anybody may have written, is one that could have been saved here."""
    stem = name.removeprefix(f"{NATIVE}/")
    plain = not set(stem) & set("/\\:\0") and not stem.startswith(".")
    return plain and (stem.endswith(".nii.gz") or name in {_OVERVIEW, REPORT_NAME, JSON_NAME})


def _write_volumes(explanation: Explanation, stage: Path) -> list[str]:
    affine = explanation.input.affine
    image = explanation.input.image.numpy()
    several = image.shape[0] > 1
    save_volume(stage / "input.nii.gz", np.moveaxis(image, 0, -1) if several else image[0], affine, vector=several)
    volumes: dict[str, NDArray[Any]] = {"regions": explanation.regions.labels}
    if not bool(explanation.input.valid.all()):
        volumes["valid"] = explanation.input.valid.numpy().astype(np.uint8)
    for attribution in explanation.attributions.values():
        volumes[file_stem(attribution.method)] = attribution.values
        if attribution.std is not None:
            volumes[f"{file_stem(attribution.method)}_std"] = attribution.std
    for name, volume in volumes.items():
        save_volume(stage / f"{name}.nii.gz", volume, affine)
    return ["input.nii.gz", *[f"{name}.nii.gz" for name in volumes]]


def _write_native(explanation: Explanation, scan: Scan, stage: Path) -> list[str]:
    names = []
    volumes: dict[str, tuple[NDArray[Any], str]] = {"regions": (explanation.regions.labels, "nearest")}
    for attribution in explanation.attributions.values():
        volumes[file_stem(attribution.method)] = (attribution.values, "linear")
        if attribution.std is not None:
            volumes[f"{file_stem(attribution.method)}_std"] = (attribution.std, "linear")
    for name, (volume, mode) in volumes.items():
        resampled = resample(volume, explanation.input.affine, scan.shape, scan.affine, mode=mode)
        save_volume(stage / NATIVE / f"{name}.nii.gz", resampled, scan.affine)
        names.append(f"{NATIVE}/{name}.nii.gz")
    return names
