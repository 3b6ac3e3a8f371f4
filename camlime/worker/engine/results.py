"""An explanation as an event tells it: numbers and words in JSON, volumes by file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from camlime.explanation import Explanation
from camlime.levels import GROUPS, LabelMap, Level, case_levels
from camlime.overview.words import (
    agreement_in_numbers,
    agreement_in_words,
    evidence_in_words,
    method_title,
    unit_of,
    verdict_in_words,
)
from camlime.record import plain, record_of
from camlime.worker.engine.arrays import ArrayFolder

Written = tuple[dict[str, Any], dict[str, Any] | None]


def explanation_result(explanation: Explanation, folder: ArrayFolder, maps: Mapping[str, Written]) -> dict[str, Any]:
    """Write what is not yet written; the fields of the event, as docs/worker.md lists them.

    Args:
        explanation: what to tell.
        folder: for the arrays.
        maps: of each method, values and standard deviation as written already.
    """
    record = record_of(explanation)
    valid = explanation.input.valid.numpy()
    lead = explanation.best
    input_ = record["input"]
    told = {
        "complete": record["complete"],
        "prediction": record["prediction"],
        "explained_class": record["explained_class"],
        "lead": None if lead is None else lead.method,
        "affine_ras": input_["affine_ras"],
        "shape": input_["shape"],
        "spacing_mm": input_["spacing_mm"],
        "input": {
            "channels": input_["channels"],
            "image": folder.write("input", explanation.input.image.numpy()),
            "valid": None if valid.all() else folder.write("valid", valid),
            "padded_voxels": input_["padded_voxels"],
        },
        "maps": {name: _map(explanation, name, record["attributions"][name], maps[name]) for name in maps},
        "regions": {
            "labels": folder.write("regions", explanation.regions.labels),
            "origin": record["regions_origin"],
            "table": record["regions"],
        },
        "levels": _levels(explanation, folder),
        "strongest_point_ras_mm": record["strongest_point_ras_mm"],
        "agreement": _agreement(explanation, record["agreement"]),
        "evidence": {
            name: {
                **record["evidence"][name],
                "verdict": verdict_in_words(evidence),
                "in_words": evidence_in_words(evidence),
            }
            for name, evidence in explanation.evidence.items()
        },
        "warnings": record["warnings"],
        "provenance": record["provenance"],
    }
    finished: dict[str, Any] = plain(told)
    return finished


def _map(explanation: Explanation, name: str, record: Mapping[str, Any], written: Written) -> dict[str, Any]:
    values, std = written
    kept = ("forward_passes", "backward_passes", "seconds", "target_layer", "parameters")
    return {
        "title": method_title(name),
        "unit": unit_of(explanation.attributions[name]),
        "values": values,
        "std": std,
        **{key: record[key] for key in kept},
    }


def _agreement(explanation: Explanation, record: dict[str, Any] | None) -> dict[str, Any] | None:
    if explanation.agreement is None or record is None:
        return None
    agreement = explanation.agreement
    return {**record, "in_words": agreement_in_words(agreement), "in_numbers": agreement_in_numbers(agreement)}


def _levels(explanation: Explanation, folder: ArrayFolder) -> dict[str, Any]:
    millilitres = abs(float(np.linalg.det(explanation.input.affine[:3, :3]))) / 1000
    case = case_levels(explanation)
    legend: list[dict[str, Any]] = []
    files: dict[str, dict[str, Any] | None] = dict.fromkeys(GROUPS)
    for key, labels in ({} if case is None else case.label_maps()).items():
        files[key] = folder.write(f"levels_{key}", labels)
        legend += legend_of(key, labels, GROUPS[key], millilitres)
    return {**files, "legend": legend}


def legend_of(of: str, labels: LabelMap, levels: tuple[Level, ...], millilitres: float) -> list[dict[str, Any]]:
    """The levels that occur in a label map, with their volume; ``millilitres`` are those of a voxel."""
    counts = np.bincount(labels.ravel(), minlength=max(level.label for level in levels) + 1)
    return [
        {
            "map": of,
            "label": level.label,
            "key": level.key,
            "name": level.name,
            "meaning": level.meaning,
            "colour": list(level.colour),
            "volume_ml": float(counts[level.label] * millilitres),
            "voxels": int(counts[level.label]),
        }
        for level in levels
        if counts[level.label]
    ]
