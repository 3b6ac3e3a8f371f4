"""The parts that need no engine: lines, requests, and that nothing beyond the standard library is imported."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from worker.conftest import ROOT

from camlime import sequence
from camlime.pipeline import Settings
from camlime.worker.lines import LineError, Writer, parse, read_lines
from camlime.worker.requests import HEADER, QUALITIES, REQUESTS, SETTINGS, FieldError, checked_request


def test_worker_and_client_need_the_standard_library_alone() -> None:
    """``-S``: no site-packages; ``-I``: nothing from the environment."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import camlime.worker.client, camlime.worker.front, camlime.worker.__main__\n"
        "print([name for name in sys.modules if name.startswith('camlime')])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "engine." not in done.stdout


def test_lines_within_limits() -> None:
    stream = io.BufferedReader(io.BytesIO(b'{"a": 1}\n\n' + b"x" * 50 + b"\n" + b"y" * 11 + b'\n123456789\n{"b": 2}'))
    lines = list(read_lines(stream, longest=10))
    assert [line for line in lines if isinstance(line, bytes)] == [b'{"a": 1}\n', b"123456789\n", b'{"b": 2}']
    assert [isinstance(line, LineError) for line in lines] == [False, True, True, False, False]


def test_what_is_written_is_one_ascii_line() -> None:
    stream = io.BytesIO()
    Writer(stream).write({"name": "Zürich\n\u2028", "lone": "\udcff"})
    written = stream.getvalue()
    assert written.isascii() and written.count(b"\n") == 1 and parse(written)["name"] == "Zürich\n\u2028"
    with pytest.raises(ValueError):
        Writer(stream).write({"x": float("nan")})
    assert stream.getvalue() == written


def test_every_setting_is_the_engines_own() -> None:
    names = set(SETTINGS) | {"class_name", "point", "regions", "device"}
    names |= {"guidance", "guidance_label"}  # the worker takes a scan that has its guidance as the last channel
    assert names == set(Settings.__dataclass_fields__)
    for settings in QUALITIES.values():
        checked_request({**EXPLAIN, "settings": settings})


EXPLAIN: dict[str, Any] = {"request": "explain", "id": 1, "scan": "/s.nrrd", "bundle": "b", "folder": "/f"}
if os.name == "nt":
    EXPLAIN = {**EXPLAIN, "scan": "C:/s.nrrd", "folder": "C:/f"}
ARRAY = {
    "array": EXPLAIN["folder"] + "/a.npy",
    "affine_ras": [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"point": [1, 2]}, "'point'"),
        ({"point": [1, 2, "3"]}, "'point'"),
        ({"point": [True, 2, 3]}, "'point'"),
        ({"quality": "best"}, "quick, standard"),
        ({"settings": {"budget": 0}}, "'budget'"),
        ({"settings": {"budget": "lots"}}, "'budget'"),
        ({"settings": {"seed": -1}}, "'seed'"),
        ({"settings": {"methods": "lime"}}, "'methods'"),
        ({"settings": {"device": "cpu"}}, "no field 'device'"),
        ({"settings": [1]}, "'settings'"),
        ({"scan": {**ARRAY, "affine_ras": [[1]]}}, "'scan'"),
        ({"scan": {**ARRAY, "array": "/a.npz"}}, "'scan'"),
        ({"scan": {**ARRAY, "more": 1}}, "'scan'"),
        ({"scan": "a\0b"}, "'scan'"),
        ({"scan": {**ARRAY, "header": "FLAIR"}}, "'scan'"),
        ({"scan": {**ARRAY, "header": {"modality": 1}}}, "'scan'"),
        ({"scan": {**ARRAY, "header": {"modality": "M\0R"}}}, "'scan'"),
        ({"scan": {**ARRAY, "header": {"series_description": "x" * 257}}}, "at most 256 characters"),
        ({"scan": {**ARRAY, "header": {"patient_name": "Doe"}}}, "series_description, protocol_name"),
        ({"folder": "here"}, "'folder'"),
        ({"trust_code": 1}, "'trust_code'"),
        ({"bundle": ""}, "'bundle'"),
        ({"masks": "/m"}, "no field 'masks'"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(FieldError, match=said):
        checked_request({**EXPLAIN, **fields})


def test_what_is_null_is_left_out() -> None:
    empty = dict.fromkeys(name for name, field in REQUESTS["explain"].items() if not field.required)
    assert checked_request({**EXPLAIN, **empty, "settings": {"seed": None}}) == {**EXPLAIN, "settings": {}}
    assert checked_request({**EXPLAIN, "scan": ARRAY, "point": [1, 2.5, -3]})["scan"] == ARRAY
    headed = {**ARRAY, "header": {"modality": "MR", "series_description": "x" * 256, "contrast_agent": None}}
    assert checked_request({**EXPLAIN, "scan": headed})["scan"] == headed


def test_a_header_holds_what_tells_a_sequence() -> None:
    assert set(HEADER) == set(sequence.GIVEN)
    assert set(sequence.GIVEN.values()) == {"0008|0060", "0008|103e", "0018|1030", "0018|0010"}


def test_the_documented_examples_are_requests() -> None:
    """Every request in docs/worker.md passes the check, and every kind of request has an example."""
    lines = (ROOT / "docs" / "worker.md").read_text(encoding="utf-8").replace(",\n ", ", ").splitlines()
    examples = [json.loads(line) for line in lines if line.startswith('{"request"')]
    own = {"cancel", "status", "shutdown"}
    assert {example["request"] for example in examples} == set(REQUESTS) | own
    for example in examples:
        if example["request"] not in own and os.name != "nt":
            assert checked_request(example)
