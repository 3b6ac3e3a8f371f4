"""What may be asked: each request's fields and their types, checked before any work."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_ID = 64
LONGEST_HEADER = 256
"""Of one value of a header, in characters: four times what DICOM allows."""

QUALITIES: dict[str, dict[str, Any]] = {
    "quick": {"budget": 256, "segmentations": 1, "evidence_budget": 0},
    "standard": {},
    "thorough": {"budget": 4096, "segmentations": 4},
    "until_certain": {"budget": "auto"},
}
"""Settings of :func:`camlime.explain` by the name of a quality."""


PLANES = ("axial", "coronal", "sagittal", "native")

HEADER = ("modality", "series_description", "protocol_name", "contrast_agent")
"""What a scan's header may hold: what tells a sequence, and nothing that names a patient."""


class FieldError(ValueError):
    """A field is missing, not known, or of the wrong type."""


Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Field:
    """One field of a request.

    Args:
        meaning: what it has to be, in words.
        check: whether a value is that.
        required: whether it has to be there.
    """

    meaning: str
    check: Check
    required: bool = False


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _is_numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(_is_number, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 4096 and "\0" not in value and _encodable(value)


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
        return True
    except UnicodeError:
        return False


def _is_path(value: Any) -> bool:
    return _is_text(value) and Path(value).is_absolute()


def _is_scan(value: Any) -> bool:
    if not isinstance(value, dict):
        return _is_path(value)
    affine = value.get("affine_ras")
    return (
        set(value) <= {"array", "affine_ras", "name", "header"}
        and _is_array_path(value.get("array"))
        and isinstance(affine, list)
        and len(affine) == 4
        and all(_is_numbers(row, 4) for row in affine)
        and (value.get("name") is None or _is_text(value["name"]))
        and (value.get("header") is None or _is_header(value["header"]))
    )


def _is_header(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= set(HEADER)
        and all(told is None or (_is_text(told) and len(told) <= LONGEST_HEADER) for told in value.values())
    )


def _is_array_path(value: Any) -> bool:
    return _is_path(value) and value.endswith(".npy")


def _is_mask(value: Any) -> bool:
    return _is_path(value) or (isinstance(value, dict) and set(value) == {"array"} and _is_array_path(value["array"]))


def _is_slices(value: Any) -> bool:
    if not isinstance(value, dict) or not set(value) <= {"axis", "plane", "first", "last"}:
        return False
    first: Any = value.get("first")
    last: Any = first if value.get("last") is None else value["last"]
    return bool(
        (value.get("axis") is None) != (value.get("plane") is None)
        and (value.get("axis") is None or (_is_int(value["axis"]) and 0 <= value["axis"] < 3))
        and (value.get("plane") is None or value["plane"] in PLANES)
        and _is_int(first)
        and _is_int(last)
        and 0 <= first <= last < 1 << 31
    )


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _among(*names: str) -> Field:
    return Field("one of " + ", ".join(names), lambda value: value in names)


def _at_least(least: int) -> Field:
    return Field(f"a whole number from {least}", lambda value: _is_int(value) and least <= value < 1 << 31)


def is_id(value: Any) -> bool:
    """Whether a value can name a request."""
    return (isinstance(value, str) and 0 < len(value) <= LONGEST_ID) or _is_int(value)


TEXT = Field("a text", _is_text)
SWITCH = Field("true or false", _is_bool)
FOLDER = Field("the absolute path of a folder", _is_path, required=True)
BUNDLE = Field("the name of a shipped bundle or a folder's absolute path", _is_text, required=True)
SCAN = Field(
    "an absolute path, or an object with array (an absolute path of a .npy), affine_ras (4x4), and perhaps name and "
    f"header (texts of at most {LONGEST_HEADER} characters: {', '.join(HEADER)})",
    _is_scan,
)
CASE = {
    "bundle": BUNDLE,
    "point": Field("three numbers, RAS mm", lambda value: _is_numbers(value, 3)),
    "series": TEXT,
    "device": Field("auto, cpu, cuda or cuda:N", _is_text),
    "trust_code": SWITCH,
    "slices": Field("an object with axis or plane, first and perhaps last", _is_slices),
}
SCAN_NEEDED = Field(SCAN.meaning, SCAN.check, required=True)

REQUESTS: dict[str, dict[str, Field]] = {
    "classify": {"scan": SCAN_NEEDED, **CASE},
    "explain": {
        "scan": SCAN_NEEDED,
        **CASE,
        "folder": FOLDER,
        "class_name": TEXT,
        "quality": _among(*QUALITIES),
        "regions": Field("the absolute path of a label map", _is_path),
        "settings": Field("an object", lambda value: isinstance(value, dict)),
    },
    "what_if": {
        "scan": SCAN_NEEDED,
        **CASE,
        "mask": Field("the absolute path of a label map, or an object with array", _is_mask, required=True),
        "label": Field("a whole number or a text", lambda value: _is_int(value) or _is_text(value)),
    },
    "describe": {"bundle": BUNDLE, "trust_code": SWITCH},
    "estimate": {"scan": SCAN, **CASE},
    "export": {
        "explanation": Field("the id of an explain", is_id, required=True),
        "folder": FOLDER,
        "native_grid": SWITCH,
    },
}
"""Requests that the engine does, and their fields."""

SETTINGS = {
    "methods": Field("a list of texts", lambda value: isinstance(value, list) and all(map(_is_text, value))),
    "n_regions": _at_least(2),
    "region_names": Field("the absolute path of a JSON file", _is_path),
    "subdivide": _at_least(1),
    "segmentations": _at_least(1),
    "budget": Field(
        "a whole number from 1, or auto", lambda value: value == "auto" or (_is_int(value) and 0 < value < 1 << 31)
    ),
    "evidence_budget": _at_least(0),
    "lime_mode": _among("default", "stock"),
    "seed": _at_least(0),
    "batch_size": _at_least(1),
    "amp": SWITCH,
    "target_layer": TEXT,
    "baseline": TEXT,
    "window_mm": Field("a length in mm", lambda value: _is_numbers([value], 1) and value > 0),
}


def checked_request(message: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request for the engine, without those that are ``null``.

    Raises:
        FieldError: there is no such request, or a field is missing, not known or of the wrong type.
    """
    kind = message.get("request")
    if not isinstance(kind, str) or kind not in REQUESTS:
        raise FieldError(f"there is no request {str(kind)[:60]!r}; requests: {', '.join(REQUESTS)}")
    given = {key: value for key, value in message.items() if value is not None and key not in {"request", "id"}}
    _check(given, REQUESTS[kind], f"'{kind}'")
    if "settings" in given:
        given["settings"] = {key: value for key, value in given["settings"].items() if value is not None}
        _check(given["settings"], SETTINGS, "'settings'")
    return {"request": kind, "id": message.get("id"), **given}


def _check(given: Mapping[str, Any], fields: Mapping[str, Field], owner: str) -> None:
    for name, value in given.items():
        if name not in fields:
            raise FieldError(f"{owner} has no field {name[:60]!r}; fields: {', '.join(fields)}")
        if not fields[name].check(value) or (isinstance(value, float) and not math.isfinite(value)):
            raise FieldError(f"'{name}' of {owner} has to be {fields[name].meaning}")
    for name, field in fields.items():
        if field.required and name not in given:
            raise FieldError(f"{owner} needs the field '{name}': {field.meaning}")
