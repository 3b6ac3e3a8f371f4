"""Explanations of a range of slices as an event tells them: one stack of each volume, and each slice's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.explanation import Explanation
from camlime.levels import GROUPS, case_levels, first_to_show
from camlime.overview.words import (
    agreement_in_numbers,
    agreement_in_words,
    evidence_in_words,
    method_title,
    unit_of,
    verdict_in_words,
)
from camlime.record import file_stem, plain, record_of
from camlime.slices import SliceAnswers, SliceExplanations
from camlime.slices.saving import answer_record
from camlime.worker.engine.arrays import ArrayFolder
from camlime.worker.engine.results import legend_of

_SUMMED = ("forward_passes", "backward_passes", "seconds")


def told_slices(answers: SliceAnswers) -> dict[str, Any]:
    """What the model says of each slice."""
    stack = answers.stack
    told: dict[str, Any] = plain(
        {
            "plane": stack.plane,
            "axis": stack.axis,
            "count": len(stack),
            "step_mm": stack.step_mm,
            "threshold": answers.threshold,
            "presumes": answers.presumes,
            "answers": [answer_record(answer) for answer in answers.answers],
        }
    )
    return told


def slices_result(result: SliceExplanations, folder: ArrayFolder) -> dict[str, Any]:
    """Write the stacks; the fields of the event, as docs/worker.md lists them."""
    records = {n: record_of(explanation) for n, explanation in result.explanations.items()}
    labels, table = _regions(result, records)
    slices = told_slices(result.answers)
    for answer in slices["answers"]:
        answer["explanation"] = _words(result.explanations.get(answer["index"]), records.get(answer["index"]))
    point = result.strongest_point_ras()
    told = {
        "complete": result.complete,
        "prediction": None,
        "explained_class": _one({each.explained_class for each in result.explanations.values()}),
        "slices": slices,
        "lead": first_to_show(result.methods),
        "affine_ras": result.affine.tolist(),
        "shape": list(result.shape),
        "spacing_mm": [float(edge) for edge in np.linalg.norm(result.affine[:3, :3], axis=0)],
        "input": {
            "channels": 1,
            "image": folder.write("input", result.images()[None]),
            "valid": None,
            "padded_voxels": 0,
        },
        "maps": {name: _map(result, name, records, folder) for name in result.methods},
        "regions": {"labels": folder.write("regions", labels), "origin": _origin(records), "table": table},
        "levels": _levels(result, folder),
        "strongest_point_ras_mm": None if point is None else point.tolist(),
        "agreement": None,
        "evidence": {},
        "warnings": _warnings(result, records),
        "provenance": dict(result.provenance),
    }
    finished: dict[str, Any] = plain(told)
    return finished


def _one(values: set[str]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None


def _origin(records: Mapping[int, Mapping[str, Any]]) -> Any:
    return next(iter(records.values()))["regions_origin"]


def _words(explanation: Explanation | None, record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What an explained slice's own result would say, without its volumes."""
    if explanation is None or record is None:
        return None
    agreement = explanation.agreement
    return {
        "explained_class": explanation.explained_class,
        "complete": record["complete"],
        "strongest_point_ras_mm": record["strongest_point_ras_mm"],
        "agreement": None
        if agreement is None
        else {
            **record["agreement"],
            "in_words": agreement_in_words(agreement),
            "in_numbers": agreement_in_numbers(agreement),
        },
        "evidence": {
            name: {
                **record["evidence"][name],
                "verdict": verdict_in_words(evidence),
                "in_words": evidence_in_words(evidence),
            }
            for name, evidence in explanation.evidence.items()
        },
    }


def _map(
    result: SliceExplanations, name: str, records: Mapping[int, Mapping[str, Any]], folder: ArrayFolder
) -> dict[str, Any]:
    own = {n: record["attributions"][name] for n, record in records.items() if name in record["attributions"]}
    first = next(iter(own))
    std = result.std(name)
    return {
        "title": method_title(name),
        "unit": unit_of(result.explanations[first].attributions[name]),
        "values": folder.write(file_stem(name), result.values(name)),
        "std": None if std is None else folder.write(f"{file_stem(name)}_std", std),
        **{key: sum(record[key] for record in own.values()) for key in _SUMMED},
        **{key: own[first][key] for key in ("target_layer", "parameters")},
    }


def _regions(
    result: SliceExplanations, records: Mapping[int, Mapping[str, Any]]
) -> tuple[NDArray[np.int32], list[dict[str, Any]]]:
    """All slices' regions in one label map, each with a number of its own, and their rows."""
    labels = np.zeros(result.shape, dtype=np.int32)
    rows: list[dict[str, Any]] = []
    for n, explanation in result.explanations.items():
        own = explanation.regions.labels
        labels[..., n - result.first] = np.where(own > 0, own + len(rows), 0)
        offset = len(rows)
        rows += [{**row, "id": row["id"] + offset, "slice": n} for row in records[n]["regions"]]
    return labels, rows


def _levels(result: SliceExplanations, folder: ArrayFolder) -> dict[str, Any]:
    stacks: dict[str, NDArray[np.uint8]] = {}
    for n, explanation in result.explanations.items():
        case = case_levels(explanation)
        for key, labels in ({} if case is None else case.label_maps()).items():
            stack = stacks.setdefault(key, np.zeros(result.shape, dtype=np.uint8))
            stack[..., n - result.first] = labels
    millilitres = abs(float(np.linalg.det(result.affine[:3, :3]))) / 1000
    files: dict[str, Any] = dict.fromkeys(GROUPS)
    legend: list[dict[str, Any]] = []
    for key in GROUPS:
        if key in stacks:
            files[key] = folder.write(f"levels_{key}", stacks[key])
            legend += legend_of(key, stacks[key], GROUPS[key], millilitres)
    return {**files, "legend": legend}


def _warnings(result: SliceExplanations, records: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Of the stack, and of slices those that are not said of all."""
    said = list(result.warnings)
    for n, record in records.items():
        said += [f"slice {n}: {words}" for words in record["warnings"] if words not in result.warnings]
    return said
