"""The hostile corpus through the worker: nothing runs, each is refused in words, and the worker stays well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.hostile_bundles import CORPUS, zipped


@pytest.mark.parametrize("name", CORPUS)
def test_refused(talk: Any, volume: Path, tmp_path: Path, name: str) -> None:
    marker = tmp_path / "pwned"
    root = CORPUS[name](tmp_path / "bundle", marker)
    for request, fields in (
        ("describe", {}),
        ("classify", {"scan": str(volume)}),
        ("explain", {"scan": str(volume), "folder": str(tmp_path / "out")}),
    ):
        found = talk.refused(request, bundle=str(root), **fields)
        assert found["kind"] == "untrusted", found
    assert not marker.exists()
    assert not list((tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("name", ["expression: import", "pickle in the weights", "link: weights", "yaml: apply"])
def test_refused_as_a_zip(talk: Any, tmp_path: Path, name: str) -> None:
    marker = tmp_path / "pwned"
    archive = zipped(CORPUS[name](tmp_path / "bundle", marker), tmp_path / "bundle.zip")
    assert talk.refused("describe", bundle=str(archive))["kind"] == "untrusted"
    assert not marker.exists()


def test_a_sound_zip(talk: Any, bundle: Path, tmp_path: Path) -> None:
    archive = zipped(bundle, tmp_path / "ball.zip")
    asked = [talk.ask("describe", bundle=str(path)) for path in (archive, bundle)]
    assert asked[0]["bundle"]["class_names"] == asked[1]["bundle"]["class_names"] == ["dark", "bright"]
