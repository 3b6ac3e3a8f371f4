"""The scene file, written whole or not at all."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import numpy as np

from camlime.errors import OutputError, RequestError
from camlime.explanation import Explanation
from camlime.export.scene.background import background_of
from camlime.export.scene.process import module_folder, write_scene
from camlime.overview.units import is_picture
from camlime.same_scan import check_same_scan
from camlime.saving import load_explanation
from camlime.scan import Scan
from camlime.scan.geometry import LPS_RAS
from camlime.staging import staged

SUFFIX = ".mrb"


def export_scene(explanation: str | Path, file: str | Path, *, scan: str | Path | None = None) -> Path:
    """Write an explanation as a scene that 3D Slicer opens as its module shows it.

    Maps, standard deviations, levels as segments, agreement, tables and chart are in one folder of the scene, on the
    grid of the network's input, in the scan's patient space; slice views are centred on the strongest point. A picture
    lies below a transform that turns it the way in which viewers show it.

    Args:
        explanation: a folder that ``camlime explain`` wrote.
        file: where to; ends in ``.mrb``; an earlier file is replaced.
        scan: the scan that was explained, to lie below the maps, as a file or the folder of its series; what the
            network saw if it is ``None``.

    Returns:
        The file.

    Raises:
        ScanError: the scan cannot be read.
        RequestError: the name does not end in ``.mrb``, or the scan is not the one that was explained.
        OutputError: slicer-core is not installed, the explanation is damaged, or the file cannot be written; then an
            earlier one stays as it was.

    Example:
        >>> export_scene("explanation", "explanation.mrb")  # doctest: +SKIP
    """
    file = Path(file)
    check_name(file)
    module_folder()
    folder = Path(explanation).resolve()
    found = load_explanation(folder)
    below = background_of(found, None if scan is None else _read(found, Path(scan)))
    picture = is_picture(found)
    try:
        with staged(file.parent) as stage, tempfile.TemporaryDirectory(prefix="camlime-") as shared:
            scratch, made = Path(shared), stage / "explanation.mrb"
            np.save(scratch / "background.npy", below.values, allow_pickle=False)
            job = {
                "explanation": str(folder),
                "title": found.title,
                "background": {
                    "file": str(scratch / "background.npy"),
                    "name": below.name,
                    "affine_ras": below.affine_ras.tolist(),
                    "window": list(below.window),
                },
                "above": LPS_RAS.tolist() if picture else None,
                "output": str(made.resolve()),
            }
            write_scene(job, scratch)
            _check_whole(made)
            made.rename(stage / file.name)
    except OutputError as error:
        hint = error.hint.replace("--output a folder", "--slicer a file in a folder")
        hint = hint.replace("--output another folder", "--slicer another file")
        raise OutputError(error.message, hint=hint) from error
    return file


def check_name(file: Path) -> None:
    """Find out whether a scene can have this name.

    Raises:
        RequestError: Slicer would not know it for a scene.
    """
    if file.suffix.lower() != SUFFIX:
        raise RequestError(f"{file} does not end in {SUFFIX}", hint="3D Slicer knows its scene files by that ending")


def _read(explanation: Explanation, path: Path) -> Scan:
    """The scan, of which a folder may hold several; checked to be the one that was explained."""
    uid = explanation.provenance.get("scan", {}).get("series_uid")
    scan = Scan.read(path, series=uid or None)
    check_same_scan(explanation, scan, option="--source")
    return scan


def _check_whole(file: Path) -> None:
    """A full disk is not always told by who wrote the file.

    Raises:
        OutputError: it is no bundle that can be read.
    """
    try:
        with zipfile.ZipFile(file) as bundle:
            whole = bundle.testzip() is None and any(name.endswith(".mrml") for name in bundle.namelist())
    except (OSError, zipfile.BadZipFile):
        whole = False
    if not whole:
        raise OutputError("the scene could not be written whole", hint="give --slicer a place with space left")
