"""An explanation on disk: volumes, ``explanation.json`` and the picture, all of them or none.

A run that fails on the way leaves nothing half-written (:mod:`camlime.staging`). What an earlier explanation in the
same folder named is gone afterwards, or all still there after a failure.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.earlier import (
    ALSO,
    OVERVIEW,
    REPORT_NAME,
    brought_along,
    check_inputs_stay,
    check_unclaimed,
    earlier_files,
)
from camlime.errors import OutputError, unreadable
from camlime.explanation import Explanation
from camlime.overview import draw_overview
from camlime.record import FORMAT, NATIVE, explanation_of, file_stem, plain, record_of
from camlime.resampling import resample
from camlime.scan import save_volume
from camlime.scan.scan import Scan
from camlime.staging import JSON_NAME, staged

DAMAGED = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What reading a record raises that is no JSON, or whose parts are missing, of another type or do not fit together."""


def save_explanation(
    explanation: Explanation,
    folder: Path,
    *,
    native: Scan | None = None,
    also: Sequence[Path] = (),
    page: Callable[[], str] | None = None,
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
        page: makes the text of a report page to go with it; see :func:`camlime.report.report_text`.

    Returns:
        The files, ``explanation.json`` first, those from elsewhere left out.

    Raises:
        OutputError: it cannot be written, or not without replacing a file that no earlier explanation names, or the
            scan itself; nothing new is left behind, and an earlier explanation stays as it was.
    """
    with staged(folder, instead_of=earlier_files) as stage:
        names = _write_volumes(explanation, stage)
        if native is not None:
            (stage / NATIVE).mkdir()
            names += _write_native(explanation, native, stage)
        for path in also:
            shutil.copyfile(path, stage / path.name)
        draw_overview(explanation, stage / OVERVIEW)
        record = record_of(explanation, native=native is not None)
        record[ALSO] = list(dict.fromkeys([*[path.name for path in also], *brought_along(folder)]))
        (stage / JSON_NAME).write_text(json.dumps(plain(record), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        if page is not None:
            (stage / REPORT_NAME).write_text(page(), encoding="utf-8", newline="\n")
            names.append(REPORT_NAME)
        written = [JSON_NAME, OVERVIEW, *names]
        check_unclaimed(folder, [*written, *[path.name for path in also]])
        check_inputs_stay(folder, written, [] if native is None else [native.source])
    return [folder / name for name in written]


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


def possible_files(methods: Iterable[str], *, native: bool = False) -> list[str]:
    """The names of all files that an explanation by these methods may consist of, the page included."""
    stems = [file_stem(method) + ending for method in methods for ending in ("", "_std")]
    names = [f"{stem}.nii.gz" for stem in (*stems, "input", "regions", "valid")]
    on_scan = [f"{NATIVE}/{stem}.nii.gz" for stem in (*stems, "regions")] if native else []
    return [JSON_NAME, OVERVIEW, REPORT_NAME, *names, *on_scan]


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
