"""Bundles that come as a zip: sound ones, and archives that try to leave their folder or to fill the disk."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest
from bundle_factory import write
from support.hostile_bundles import zipped

from camlime.archives import unpack
from camlime.bundle import Bundle
from camlime.bundle.unpack import unpacked_bundle
from camlime.errors import BundleError, UntrustedBundleError


def archive_of(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in entries.items():
            target.writestr(name, content)
    return path


def assert_nothing_outside(tmp_path: Path) -> None:
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip", "into"]


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("nested", [True, False])
def test_a_sound_zip_is_a_bundle(tmp_path: Path, nested: bool) -> None:
    root = write(tmp_path / "tiny")
    (root / ".DS_Store").write_text("litter")
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as target:
        for path in root.rglob("*"):
            target.write(path, path.relative_to(tmp_path if nested else root))
        target.writestr("__MACOSX/tiny/x", "litter")
    bundle = Bundle.load(tmp_path / "tiny.zip")
    assert bundle.fingerprint == Bundle.load(root).fingerprint
    assert not list(bundle.root.rglob(".DS_Store"))
    assert unpacked_bundle(tmp_path / "tiny.zip") == bundle.root


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:evil", "C:/evil", "a\nb", "..", "a/../.."],
)
def test_names_that_leave_the_folder(tmp_path: Path, into: Path, name: str) -> None:
    archive_of(tmp_path / "bad.zip", **{"configs/metadata.json": b"{}", name: b"x"})
    with pytest.raises(UntrustedBundleError, match="would leave the folder"):
        unpack(tmp_path / "bad.zip", into)
    assert not list(into.iterdir())
    assert_nothing_outside(tmp_path)


def test_a_name_that_is_cut_at_a_null(tmp_path: Path, into: Path) -> None:
    archive_of(tmp_path / "bad.zip", safeXevil=b"x")
    raw = (tmp_path / "bad.zip").read_bytes()
    (tmp_path / "bad.zip").write_bytes(raw.replace(b"safeXevil", b"safe\0evil"))
    with pytest.raises(UntrustedBundleError, match="would leave the folder"):
        unpack(tmp_path / "bad.zip", into)


@pytest.mark.parametrize(("kind", "said"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "is no plain file")])
def test_links_and_devices(tmp_path: Path, into: Path, kind: int, said: str) -> None:
    entry = zipfile.ZipInfo("models")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as target:
        target.writestr(entry, "/etc")
        target.writestr("models/passwd", "x")
    with pytest.raises(UntrustedBundleError, match=f"'models' in .*bad.zip {said}"):
        unpack(tmp_path / "bad.zip", into)
    assert not list(into.iterdir())


def test_the_same_name_twice(tmp_path: Path, into: Path) -> None:
    archive_of(tmp_path / "bad.zip", **{"configs/a.json": b"{}", "Configs/A.json": b"x"})
    with pytest.raises(UntrustedBundleError, match="twice"):
        unpack(tmp_path / "bad.zip", into)


def test_a_bomb(tmp_path: Path, into: Path) -> None:
    archive_of(tmp_path / "bad.zip", bomb=bytes(64 * 1024**2))
    assert (tmp_path / "bad.zip").stat().st_size < 100_000
    with pytest.raises(BundleError, match=r"would unpack to 64 MiB, \d+ times its own size"):
        unpack(tmp_path / "bad.zip", into)
    assert not list(into.iterdir())


def test_a_bomb_that_understates_its_size(tmp_path: Path, into: Path) -> None:
    """Sizes in both headers are set to 1000: no more than that is taken, and its checksum then does not fit."""
    size = 64 * 1024**2
    archive_of(tmp_path / "bad.zip", bomb=bytes(size))
    raw = (tmp_path / "bad.zip").read_bytes()
    (tmp_path / "bad.zip").write_bytes(raw.replace(struct.pack("<I", size), struct.pack("<I", 1000)))
    with pytest.raises(BundleError, match="cannot be unpacked"):
        unpack(tmp_path / "bad.zip", into)
    assert sum(path.stat().st_size for path in into.rglob("*")) <= 1000


def test_entries_that_share_their_bytes(tmp_path: Path, into: Path) -> None:
    """A bomb of many names for one compressed block (D. Fifield 2019)."""
    archive_of(tmp_path / "one.zip", bomb=bytes(8 * 1024**2))
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("bomb", bytes(8 * 1024**2))
        first = target.infolist()[0]
        for number in range(100):
            entry = zipfile.ZipInfo(f"bomb{number}")
            for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(entry, field, getattr(first, field))
            target.filelist.append(entry)
            target.NameToInfo[entry.filename] = entry
    (tmp_path / "one.zip").unlink()
    with pytest.raises(BundleError, match="times its own size"):
        unpack(tmp_path / "bad.zip", into)


def test_too_many_files(tmp_path: Path, into: Path) -> None:
    archive_of(tmp_path / "bad.zip", **{str(number): b"" for number in range(5001)})
    with pytest.raises(BundleError, match="holds 5001 files"):
        unpack(tmp_path / "bad.zip", into)


def test_no_room_on_the_disk(tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive_of(tmp_path / "bad.zip", a=b"12345")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 4}))
    with pytest.raises(BundleError, match="no room"):
        unpack(tmp_path / "bad.zip", into)


def test_damaged_and_empty(tmp_path: Path) -> None:
    root = write(tmp_path / "tiny")
    archive = zipped(root, tmp_path / "tiny.zip")
    content = bytearray(archive.read_bytes())
    content[len(content) // 3] ^= 0xFF
    archive.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="cannot be unpacked"):
        Bundle.load(archive)
    with pytest.raises(BundleError, match="holds no bundle"):
        Bundle.load(archive_of(tmp_path / "empty.zip", readme=b"x"))
    (tmp_path / "text.zip").write_text("no zip at all")
    with pytest.raises(BundleError, match="neither a bundle's folder nor a zip"):
        Bundle.load(tmp_path / "text.zip")


def test_an_encrypted_zip(tmp_path: Path, into: Path) -> None:
    archive_of(tmp_path / "bad.zip", a=b"12345")
    raw = bytearray((tmp_path / "bad.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + offset] |= 1
    (tmp_path / "bad.zip").write_bytes(bytes(raw))
    with pytest.raises(BundleError, match="is encrypted"):
        unpack(tmp_path / "bad.zip", into)
