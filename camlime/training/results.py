"""Results of a model card as a JSON file that evaluations fill part by part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


def write_part(path: str | Path, key: str, value: object, *, digits: int = 4) -> None:
    """Replace one part of a JSON file and keep the others; a file that is not there is made.

    Args:
        path: the file, an object of parts.
        key: name of the part.
        value: of mappings, sequences, arrays, numbers, texts, truth values and ``None``.
        digits: decimals that numbers are rounded to.
    """
    file = Path(path)
    parts = json.loads(file.read_text()) if file.exists() else {}
    parts[key] = _plain(value, digits)
    write_json(file, parts)


def write_json(path: str | Path, value: object) -> None:
    """Write a JSON file, indented, with lists of plain values (intervals, bins, rows of a table) on one line each."""
    file = Path(path)
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.write_text(_text(value) + "\n")
    unfinished.replace(file)


def _text(value: object, margin: str = "") -> str:
    inner = margin + "    "
    if isinstance(value, Mapping) and value:
        rows = [f"{json.dumps(name)}: {_text(entry, inner)}" for name, entry in value.items()]
    elif isinstance(value, list) and any(isinstance(entry, Mapping | list) for entry in value):
        rows = [_text(entry, inner) for entry in value]
    else:
        return json.dumps(value)
    start, end = "{}" if isinstance(value, Mapping) else "[]"
    return start + ",".join(f"\n{inner}{row}" for row in rows) + f"\n{margin}{end}"


def _plain(value: object, digits: int) -> object:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(entry, digits) for name, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(entry, digits) for entry in value]
    return round(value, digits) if isinstance(value, float) else value
