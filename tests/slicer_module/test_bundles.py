"""Zips are unpacked where they should be, or not at all."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.slicer_panel import bootstrapped

bootstrapped()

from SlicerXAILib.bundles import unpack_bundle  # noqa: E402
from SlicerXAILib.problems import InputError  # noqa: E402


def zipped(path: Path, *names: str, extra: Callable[[zipfile.ZipFile], None] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in names:
            made.writestr(name, f"content of {name}")
        if extra is not None:
            extra(made)
    return path


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")} if folder.exists() else set()


@pytest.mark.parametrize("prefix", ["", "lungs/", "a/b/"])
def test_the_bundle_is_found_wherever_it_lies_in_the_zip(tmp_path, prefix):
    archive = zipped(tmp_path / "x.zip", f"{prefix}configs/metadata.json", f"{prefix}models/model.pt")
    folder = unpack_bundle(archive, tmp_path / "home")
    assert (folder / "configs" / "metadata.json").read_text() == f"content of {prefix}configs/metadata.json"
    assert (folder / "models" / "model.pt").is_file()
    assert unpack_bundle(archive, tmp_path / "home") == folder


def test_another_zip_of_the_same_name_is_another_bundle(tmp_path):
    first = unpack_bundle(zipped(tmp_path / "x.zip", "configs/metadata.json"), tmp_path / "home")
    second = unpack_bundle(zipped(tmp_path / "x.zip", "configs/metadata.json", "models/model.pt"), tmp_path / "home")
    assert first != second


@pytest.mark.parametrize(
    "name", ["../outside.txt", "a/../../outside.txt", "/tmp/outside.txt", "..\\outside.txt", "C:\\outside.txt"]
)
def test_a_way_out_is_refused_and_nothing_is_written(tmp_path, name):
    archive = zipped(tmp_path / "x.zip", "configs/metadata.json", name)
    before = everything(tmp_path)
    with pytest.raises(InputError) as raised:
        unpack_bundle(archive, tmp_path / "home")
    assert "not safe" in raised.value.problem.message
    assert raised.value.problem.hint
    assert everything(tmp_path) == before


def test_a_link_is_refused(tmp_path):
    def link(made: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo("models/model.pt")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(entry, "/etc/passwd")

    archive = zipped(tmp_path / "x.zip", "configs/metadata.json", extra=link)
    with pytest.raises(InputError, match="not safe"):
        unpack_bundle(archive, tmp_path / "home")
    assert everything(tmp_path / "home") == set()


def test_a_zip_that_swells_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("SlicerXAILib.bundles._MOST_BYTES", 1000)
    archive = zipped(tmp_path / "x.zip", "configs/metadata.json", extra=lambda made: made.writestr("big", "0" * 2000))
    with pytest.raises(InputError, match="not safe"):
        unpack_bundle(archive, tmp_path / "home")
    assert everything(tmp_path / "home") == set()


@pytest.mark.parametrize("names", [("readme.txt",), ("a/configs/metadata.json", "b/configs/metadata.json")])
def test_a_zip_holds_one_bundle(tmp_path, names):
    with pytest.raises(InputError, match="MONAI bundles"):
        unpack_bundle(zipped(tmp_path / "x.zip", *names), tmp_path / "home")


@pytest.mark.parametrize("content", [b"", b"no zip at all"])
def test_what_is_no_zip_is_a_message(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack_bundle(tmp_path / "x.zip", tmp_path / "home")


def test_a_damaged_zip_leaves_nothing_behind(tmp_path):
    archive = zipped(tmp_path / "x.zip", "configs/metadata.json", "models/model.pt")
    content = bytearray(archive.read_bytes())
    at = content.index(b"models/model.pt") + len(b"models/model.pt")
    content[at + 3] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(InputError):
        unpack_bundle(archive, tmp_path / "home")
    assert everything(tmp_path / "home") == set()
