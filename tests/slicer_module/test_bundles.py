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


@pytest.mark.parametrize("prefix", ["", "lungs/"])
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


def link(made: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("models/model.pt")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    made.writestr(entry, "/etc/passwd")


def swell(made: zipfile.ZipFile) -> None:
    made.writestr("big", b"\0" * (20 << 20))


@pytest.mark.parametrize(
    ("names", "extra", "said"),
    [
        (["configs/metadata.json", "../outside.txt"], None, "would leave the folder"),
        (["configs/metadata.json"], link, "is a link"),
        (["configs/metadata.json"], swell, "times its own size"),
        (["readme.txt"], None, "holds no bundle"),
    ],
)
def test_what_the_engine_would_not_unpack_is_a_message_and_leaves_nothing(tmp_path, names, extra, said):
    """All that it refuses is in tests/bundle/test_unpack.py."""
    archive = zipped(tmp_path / "x.zip", *names, extra=extra)
    with pytest.raises(InputError) as raised:
        unpack_bundle(archive, tmp_path / "home")
    assert said in raised.value.problem.message
    assert raised.value.problem.hint
    assert everything(tmp_path / "home") == set()
    assert not (tmp_path / "outside.txt").exists()


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
