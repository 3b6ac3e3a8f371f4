"""An explanation as ``explanation.json`` tells it, and back: which file holds what, and all numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.domain import Likeness
from camlime.errors import OutputError
from camlime.evidence.records import Evidence
from camlime.explanation import Explanation, Prediction
from camlime.methods.agreement import Agreement
from camlime.regions import Regions
from camlime.scan import load_label_map

FORMAT = "camlime explanation 1"
NATIVE = "native"
"""Sub-folder for the maps on the scan's own grid."""


def file_stem(method: str) -> str:
    """The file name of a method without its ending: ``gradcam++`` becomes ``gradcampp``, + being awkward in names."""
    return method.replace("+", "p")


def record_of(explanation: Explanation, *, native: bool = False) -> dict[str, Any]:
    """What ``explanation.json`` says, still to be made :func:`plain`; with ``native``, of the scan's grid as well."""
    return {
        "format": FORMAT,
        "complete": explanation.complete,
        "prediction": explanation.prediction.as_dict(),
        "explained_class": explanation.explained_class,
        "attributions": {name: _attribution(a, native) for name, a in explanation.attributions.items()},
        "regions": explanation.region_table(),
        "structures": explanation.structure_table(),
        "regions_file": "regions.nii.gz",
        "regions_origin": explanation.regions.origin,
        "input": {
            "file": "input.nii.gz",
            "channels": int(explanation.input.image.shape[0]),
            "shape": list(explanation.input.spatial_shape),
            "spacing_mm": list(explanation.input.spacing),
            "affine_ras": explanation.input.affine.tolist(),
            "padded_voxels": int((~explanation.input.valid).sum()),
        },
        "strongest_point_ras_mm": explanation.strongest_point_ras().tolist(),
        "agreement": explanation.agreement.as_dict() if explanation.agreement else None,
        "evidence": {name: evidence.as_dict() for name, evidence in explanation.evidence.items()},
        "likeness": _likeness(explanation.likeness),
        "warnings": list(explanation.warnings),
        "provenance": dict(explanation.provenance),
    }


def _likeness(likeness: Likeness | None) -> dict[str, Any] | None:
    return None if likeness is None else {**asdict(likeness), "unlike_training_data": likeness.unlike}


def _read_likeness(record: Mapping[str, Any] | None) -> Likeness | None:
    return None if record is None else Likeness(record["score"], record["threshold"], record["quantile"])


def _attribution(attribution: Attribution, native: bool) -> dict[str, Any]:
    stem = file_stem(attribution.method)
    with_std = attribution.std is not None
    record: dict[str, Any] = {
        "file": f"{stem}.nii.gz",
        "std_file": f"{stem}_std.nii.gz" if with_std else None,
        "forward_passes": attribution.forward_passes,
        "backward_passes": attribution.backward_passes,
        "seconds": attribution.seconds,
        "target_layer": attribution.target_layer,
        "parameters": dict(attribution.parameters),
    }
    if native:
        record["native_file"] = f"{NATIVE}/{stem}.nii.gz"
        record["native_std_file"] = f"{NATIVE}/{stem}_std.nii.gz" if with_std else None
    return record


def explanation_of(record: Mapping[str, Any], folder: Path) -> Explanation:
    """What :func:`record_of` told, with the volumes from the folder.

    Raises:
        OutputError: a volume is missing or damaged.
    """
    described = record["input"]
    shape = tuple(described["shape"])
    image = _volume(folder / described["file"]).reshape(*shape, described["channels"])
    valid = np.ones(shape, dtype=bool)
    if described["padded_voxels"]:
        valid = _volume(folder / "valid.nii.gz").reshape(shape) > 0
    rows = record["regions"]
    named = tuple(str(row["name"]) for row in rows) if rows and rows[0]["name"] is not None else None
    labels = load_label_map(folder / record["regions_file"])[0].reshape(shape)
    agreement = record["agreement"]
    return Explanation(
        prediction=Prediction.from_dict(record["prediction"]),
        explained_class=record["explained_class"],
        attributions={
            name: _read_attribution(name, a, record, shape, folder) for name, a in record["attributions"].items()
        },
        regions=Regions(labels, named, record["regions_origin"], *_structures(record)),
        input=ModelInput(
            torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))),
            np.asarray(described["affine_ras"], dtype=np.float64),
            torch.from_numpy(valid),
            tuple(described["spacing_mm"]),
        ),
        agreement=_read_agreement(agreement) if agreement else None,
        evidence={name: Evidence.from_dict(evidence) for name, evidence in record["evidence"].items()},
        provenance=record["provenance"],
        warnings=tuple(record["warnings"]),
        complete=record["complete"],
        likeness=_read_likeness(record["likeness"]),
    )


def _structures(record: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, NDArray[np.int64] | None]:
    """Names of the structures, and which one each region is a part of."""
    rows = record["structures"]
    if not rows:
        return None, None
    structure_of = np.zeros(len(record["regions"]), dtype=np.int64)
    for i, row in enumerate(rows):
        structure_of[[part - 1 for part in row["parts"]]] = i
    return tuple(str(row["name"]) for row in rows), structure_of


def _read_agreement(record: Mapping[str, Any]) -> Agreement:
    """As it was written; a number that JSON could not hold is NaN again."""
    known: dict[str, Any] = {key: float("nan") if value is None else value for key, value in record.items()}
    return Agreement(**{**known, "interval": tuple(record["interval"])})


def _read_attribution(
    name: str, record: Mapping[str, Any], whole: Mapping[str, Any], shape: tuple[int, ...], folder: Path
) -> Attribution:
    rows, structures = whole["regions"], whole["structures"]
    weighed = bool(rows) and name in rows[0].get("by_method", {})
    weights = np.array([row["by_method"][name]["weight"] for row in rows]) if weighed else None
    errors = [row["by_method"][name]["standard_error"] for row in rows] if weighed else [None]
    of_sums = [row["by_method"][name]["standard_error"] for row in structures] if weighed and structures else [None]
    return Attribution(
        method=name,
        values=_volume(folder / record["file"]).reshape(shape),
        std=_volume(folder / record["std_file"]).reshape(shape) if record["std_file"] else None,
        region_weights=weights,
        region_std=None if errors[0] is None else np.array(errors, dtype=float),
        structure_std=None if of_sums[0] is None else np.array(of_sums, dtype=float),
        forward_passes=record["forward_passes"],
        backward_passes=record["backward_passes"],
        seconds=record["seconds"],
        target_layer=record["target_layer"],
        parameters=record["parameters"],
    )


def _volume(path: Path) -> NDArray[np.float32]:
    import nibabel

    try:
        return np.asarray(nibabel.load(path).dataobj, dtype=np.float32)
    except FileNotFoundError as error:
        raise OutputError(f"{path} is missing", hint="explain the scan again") from error
    except Exception as error:  # nibabel and gzip raise many kinds for damaged files
        raise OutputError(f"{path} is damaged: {error}", hint="explain the scan again") from error


def plain(value: Any) -> Any:
    """JSON's own types; NaN and infinities, which JSON has not, become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
