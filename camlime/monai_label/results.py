"""An explanation as MONAI Label hands it out: a volume on the study's own grid, and JSON."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from camlime.explanation import Explanation
from camlime.levels import EVIDENCE_LEVELS, evidence_levels
from camlime.monai_label.asked import Asked
from camlime.monai_label.doubt import doubt_of
from camlime.monai_label.explainer import Explained
from camlime.monai_label.study import Study
from camlime.overview.words import agreement_in_words, evidence_in_words, unit_of, verdict_in_words
from camlime.record import plain, record_of
from camlime.resampling import resample
from camlime.scan import save_volume

LABELS = {level.name: level.label for level in EVIDENCE_LEVELS}
"""Name and number of each level. 3D Slicer's plug-in gives the n-th name the number n, so none may be left out."""

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_OF_FILES = {"file", "std_file", "native_file", "native_std_file"}


def write_result(explained: Explained, study: Study, asked: Asked, folder: Path) -> Path:
    """Write the first map, or its levels of evidence, on the grid that viewers show the study on.

    Args:
        explained: of one method.
        study: whose grid it is; three axes, a picture has one slice.
        asked: number type and file type.
        folder: for the file, which gets a name of its own.

    Raises:
        OutputError: it cannot be written.
    """
    explanation = explained.explanation
    lead = explanation.best
    assert lead is not None  # a method was asked for, and is there unless it was cancelled
    valid, affine = explanation.input.valid.numpy(), explanation.input.affine
    shape, target = study.grid(explained.scan)
    placed = explained.scan.affine if study.is_picture else target  # viewers and the engine see pictures differently
    if asked.wants_map:
        volume = resample(lead.values, affine, shape, placed, mode="linear").astype(np.float32)
    else:
        levels = evidence_levels(lead.values, valid, std=lead.std, factor=lead.interval_factor)
        volume = resample(levels, affine, shape, placed, mode="nearest")
        volume = volume.astype(np.int16 if asked.dtype in {"int8", "uint16", "int16"} else asked.dtype)
    handle = tempfile.NamedTemporaryFile(dir=folder, prefix="result-", suffix=asked.extension, delete=False)  # noqa: SIM115
    handle.close()
    path = Path(handle.name)
    if asked.extension == ".nrrd":
        _write_nrrd(path, volume, target, compress=asked.compress)
    else:
        save_volume(path, volume, target)
    return path


def result_json(explained: Explained, study: Study) -> dict[str, Any]:
    """Prediction, evidence, regions and the rest, as ``explanation.json`` tells them, for the client.

    ``label_names`` is what MONAI Label's plug-ins read; the study's file name is replaced by its id. An image outside
    the training domain has no class, nor has a slice of which nobody said that it shows what the bundle presumes.
    """
    explanation = explained.explanation
    record = record_of(explanation)
    lead = explanation.best
    told = {
        "label_names": LABELS,
        "levels": [{key: getattr(level, key) for key in ("label", "key", "name", "meaning", "colour")}
                   for level in EVIDENCE_LEVELS],
        "prediction": record["prediction"],
        "explained_class": record["explained_class"],
        "method": None if lead is None else lead.method,
        "unit": None if lead is None else unit_of(lead),
        "map": None if lead is None else _kept(record["attributions"][lead.method]),
        "slice": None if explained.slice is None else explained.slice.as_dict(),
        "point_ras_mm": None if explained.point is None else list(explained.point),
        "strongest_point_ras_mm": record["strongest_point_ras_mm"],
        "evidence": {
            name: {
                **record["evidence"][name],
                "verdict": verdict_in_words(found),
                "in_words": evidence_in_words(found),
            }
            for name, found in explanation.evidence.items()
        },
        "agreement": _agreement(explanation, record),
        "regions": record["regions"],
        "doubt": doubt_of(explanation).as_dict(),
        "warnings": record["warnings"],
        "complete": record["complete"],
        "provenance": {**record["provenance"], "scan": {"name": study.name}},
    }  # fmt: skip
    finished: dict[str, Any] = plain(told)
    return finished


def brief(answer: dict[str, Any]) -> dict[str, Any]:
    """What the datastore keeps with a label: the datastore is one JSON file, written anew at each change."""
    kept = ("label_names", "prediction", "explained_class", "method", "slice", "point_ras_mm", "doubt", "warnings")
    verdicts = {name: found["verdict"] for name, found in answer["evidence"].items()}
    badge = answer["agreement"]["badge"] if answer["agreement"] else None
    return {**{key: answer[key] for key in kept}, "verdicts": verdicts, "agreement": badge}


def _kept(attribution: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attribution.items() if key not in _OF_FILES}


def _agreement(explanation: Explanation, record: dict[str, Any]) -> dict[str, Any] | None:
    if explanation.agreement is None:
        return None
    return {**record["agreement"], "in_words": agreement_in_words(explanation.agreement)}


def _write_nrrd(path: Path, volume: Any, affine: Any, *, compress: bool) -> None:
    """Any affine, sheared ones as well, which ITK's own writer refuses."""
    lps = _LPS @ affine
    header = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
        "kinds": ["domain"] * 3,
        "encoding": "gzip" if compress else "raw",
    }
    nrrd.write(str(path), volume, header, index_order="F")
