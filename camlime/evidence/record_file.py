"""Reads ``models/randomisation.json``: a stranger's file, so nothing is taken from it but what it may hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camlime.bundle.config import BundleFolder
from camlime.errors import BundleError
from camlime.evidence.bundle_record import FILE, FORMAT, METHODS, BundleRecord, RecordedCheck, bound_files
from camlime.evidence.kept import CHECK
from camlime.evidence.randomisation import COPIES, THRESHOLD

MAX_BYTES = 256 << 10
MOST_CASES = 1000
MOST_METHODS = 50

_LONGEST = 200
"""Characters of a text."""

_WHOLE = {"format", "check", "threshold", "copies", "camlime", "seed", "files", "patients", "methods"}
_OF_METHOD = {"method", "settings", "similarities", "cases", "median", "lowest", "highest", "survived"}
_SETTINGS = {"target_layer", "lime_mode", "window_mm", "baseline"}


def usable_record(root: Path, fingerprint: Mapping[str, str]) -> tuple[BundleRecord | None, str]:
    """A bundle's record if there is one that can be used; else ``None`` and why not, empty where there is none.

    Args:
        root: the bundle's folder.
        fingerprint: sha256 of the weights and configs that were read.
    """
    try:
        record = read_record(root)
    except BundleError as error:
        return None, f"the bundle's {FILE} is not used: {error.message}"
    if record is None:
        return None, ""
    own = bound_files(fingerprint)
    other = sorted(name for name in {*own, *record.files} if own.get(name) != record.files.get(name))
    if other:
        shown = ", ".join(repr(name)[1:-1] for name in other[:3])
        return None, f"the bundle's {FILE} is not used: it was made with other files than these ({shown})"
    return record, ""


def read_record(root: Path) -> BundleRecord | None:
    """Read a bundle's record; ``None`` if there is none.

    Raises:
        BundleError: it is damaged, too large, or not what ``camlime randomisation`` of this version writes.
        UntrustedBundleError: a link leads out of the bundle.
    """
    path = BundleFolder(root).find(FILE)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _Wrong(f"it is larger than {MAX_BYTES >> 10} KiB")
        whole = json.loads(
            content.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_no_constant, parse_int=_short_int
        )
        return _parsed(whole)
    except OSError as error:
        raise BundleError(f"{FILE} cannot be read: {error.strerror}") from error
    except (_Wrong, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"it is no record of the randomisation check: {str(error)[:200]}") from error
    except RecursionError as error:
        raise BundleError("it is no record of the randomisation check: it is nested too deeply") from error


class _Wrong(ValueError):  # noqa: N818 - a finding, turned into an error by the caller
    """The file says something that no record says."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Wrong("a key is there twice")
    return found


def _no_constant(name: str) -> float:
    raise _Wrong(f"{name} is no number")


def _short_int(digits: str) -> int:
    if len(digits) > 12:
        raise _Wrong("a number is too long")
    return int(digits)


def _parsed(whole: Any) -> BundleRecord:
    _keys(whole, _WHOLE, "the record")
    for name, wanted in (("format", FORMAT), ("check", CHECK), ("threshold", THRESHOLD), ("copies", COPIES)):
        if whole[name] != wanted or isinstance(whole[name], bool):
            raise _Wrong(f"its {name} is not {wanted}, that of this version: make it anew with camlime randomisation")
    files = whole["files"]
    if not isinstance(files, dict) or not 1 <= len(files) <= 20:
        raise _Wrong("'files' does not hold the files that it was made with")
    for name, digest in files.items():
        _text(name, "a file's name")
        if len(_text(digest, "a hash")) != 64 or set(digest) - set("0123456789abcdef"):
            raise _Wrong("a hash is not a sha256 in hexadecimal")
    methods = whole["methods"]
    if not isinstance(methods, list) or not 1 <= len(methods) <= MOST_METHODS:
        raise _Wrong(f"'methods' is not a list of 1 to {MOST_METHODS}")
    checks = tuple(_check(one) for one in methods)
    told = [(check.method, json.dumps(check.settings, sort_keys=True)) for check in checks]
    if len(set(told)) != len(told):
        raise _Wrong("a method is there twice with the same settings")
    return BundleRecord(
        files=files,
        checks=checks,
        patients=_count(whole["patients"], "patients", 1, MOST_CASES),
        seed=_count(whole["seed"], "seed", 0, 10**12),
        camlime=_text(whole["camlime"], "camlime"),
    )


def _check(one: Any) -> RecordedCheck:
    _keys(one, _OF_METHOD, "a method")
    if one["method"] not in METHODS:
        raise _Wrong("it speaks of a method that there is not")
    similarities = one["similarities"]
    if not isinstance(similarities, list) or not 1 <= len(similarities) <= MOST_CASES:
        raise _Wrong(f"'similarities' is not a list of 1 to {MOST_CASES} numbers")
    check = RecordedCheck(one["method"], _settings(one["settings"]), tuple(_share(x) for x in similarities))
    for name, value in check.as_dict().items():
        if isinstance(value, (int, float)) and (isinstance(one[name], bool) or one[name] != value):
            raise _Wrong(f"'{name}' of {check.method} does not follow from its similarities")
    return check


def _settings(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or set(given) - _SETTINGS:
        raise _Wrong("'settings' holds what no method has")
    for name, value in given.items():
        if name == "baseline":
            if not isinstance(value, dict) or not 1 <= len(value) <= 5:
                raise _Wrong("'baseline' is not a name with options")
            for key, option in value.items():
                _text(key, "the name of an option")
                _plain(option, "an option of the baseline")
        else:
            _plain(value, name)
    return given


def _plain(value: Any, name: str) -> None:
    if isinstance(value, str):
        _text(value, name)
    elif value is not None and (isinstance(value, bool) or not _is_number(value)):
        raise _Wrong(f"'{name}' is neither text nor a number")


def _keys(given: Any, wanted: set[str], where: str) -> None:
    if not isinstance(given, dict) or set(given) != wanted:
        raise _Wrong(f"{where} does not hold just {', '.join(sorted(wanted))}")


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST or not value.isprintable():
        raise _Wrong(f"'{name}' is not text of at most {_LONGEST} characters")
    return value


def _count(value: Any, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _Wrong(f"'{name}' is not a whole number of {least} to {most}")
    return value


def _share(value: Any) -> float:
    if isinstance(value, bool) or not _is_number(value) or not 0 <= value <= 1:
        raise _Wrong("a similarity is not a number between 0 and 1")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
