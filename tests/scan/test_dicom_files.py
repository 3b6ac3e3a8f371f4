"""No file of a folder is left out of a series without a word."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from camlime.errors import ScanError
from camlime.scan import Scan

AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])
FORBIDDEN = "cannot be read: Permission denied"


@pytest.fixture
def series(tmp_path, ramp, write_dicom) -> list[Path]:
    """Slices as many exports name them: IM0 to IM6, in the order of their positions."""
    files = write_dicom(tmp_path / "series", ramp, AFFINE)
    return [file.rename(file.with_name(f"IM{n}")) for n, file in enumerate(files)]


def fails(path: Path, named: Path, match: str) -> None:
    with pytest.raises(ScanError, match=match) as caught:
        Scan.read(path)
    assert caught.value.message.startswith(f"{named} ")
    assert caught.value.hint


# ---- what may not be read


@pytest.fixture
def forbid(monkeypatch) -> object:
    """Take away the permission to open a file or to list a folder, from the administrator too."""

    def take_away(path: Path) -> None:
        def refusing(real):
            def call(place, *args, **kwargs):
                if Path(place) == path:
                    raise PermissionError(13, "Permission denied", str(place))
                return real(place, *args, **kwargs)

            return call

        monkeypatch.setattr(Path, "open", refusing(Path.open))
        monkeypatch.setattr(os, "scandir", refusing(os.scandir))
        monkeypatch.setattr(Path, "is_file", refusing(Path.is_file))

    return take_away


@pytest.mark.parametrize("name", ["IM6", "IM6.dcm", "IM6.txt"])
def test_a_file_that_may_not_be_opened(name, series, forbid):
    hidden = series[6].rename(series[6].with_name(name))
    forbid(hidden)
    fails(hidden.parent, hidden, FORBIDDEN)
    fails(series[0], hidden, FORBIDDEN)


def test_a_folder_that_may_not_be_listed(series, forbid):
    private = series[0].parent / "private"
    private.mkdir()
    assert Scan.read(series[0].parent).shape == (9, 8, 7)
    forbid(private)
    fails(series[0].parent, private, FORBIDDEN)
    assert Scan.read(series[0]).shape == (9, 8, 7)  # a single file's series lies beside it


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the administrator may read everything")
@pytest.mark.parametrize("kind", ["file", "link", "folder", "entries"])
def test_permissions_of_the_system(kind, series):
    folder = series[0].parent
    named = {"file": series[3], "link": series[3], "folder": folder / "sub", "entries": folder / "sub" / "IM9"}[kind]
    if kind == "link":
        series[3] = series[3].rename(folder.parent / "elsewhere")
        named.symlink_to(series[3])
    if kind in ("folder", "entries"):
        (folder / "sub").mkdir()
        (folder / "sub" / "IM9").touch()
    locked = {"file": series[3], "link": series[3]}.get(kind, folder / "sub")
    locked.chmod(0o600 if kind == "entries" else 0)
    try:
        fails(folder, named, FORBIDDEN)
    finally:
        locked.chmod(0o700)


# ---- what is broken


@pytest.mark.parametrize(
    ("size", "match"), [(0, "zero bytes"), (100, "not a DICOM file"), (131, "not a DICOM file"), (400, "truncated")]
)
@pytest.mark.parametrize("name", ["IM0", "IM6", "1.2.840.17", "IM.0006", "a.dcm"])
def test_a_broken_slice_is_named(size, match, name, series):
    broken = series[6].rename(series[6].with_name(name))
    broken.write_bytes(broken.read_bytes()[:size])
    if name == "IM0":
        series[0] = broken
    fails(broken.parent, broken, match)
    fails(series[1], broken, match)


def test_a_slice_whose_start_is_overwritten(series):
    series[6].write_bytes(b"\0" * 300 + series[6].read_bytes()[300:])
    fails(series[0].parent, series[6], "damaged, or is not a DICOM file")


def test_a_slice_without_the_preamble_is_read(series, ramp):
    series[6].write_bytes(series[6].read_bytes()[132:])
    np.testing.assert_array_equal(Scan.read(series[0].parent).image[0], ramp)


def test_an_extension_of_their_own(series):
    files = [file.rename(file.with_suffix(".IMA")) for file in series]
    files[6].write_bytes(b"lost")
    fails(files[0].parent, files[6], "damaged")
    (files[0].parent / "NOTES").write_text("slices have an extension, so this is none")
    files[6].unlink()
    assert Scan.read(files[0].parent).shape == (9, 8, 6)


def test_companions_are_passed_over(series):
    folder = series[0].parent
    names = "DICOMDIR README LICENSE LICENCE.txt MD5SUMS sha256sums VERSION .DS_Store ._IM3 ._a.dcm README.txt a.json"
    for name in (*names.split(), "a.xml", "p.png", "p.jpg", "Thumbs.db", "autorun.inf", "report.pdf", "index.html"):
        (folder / name).write_bytes(b"not DICOM " * 40)
    (folder / "empty.txt").touch()
    (folder / "dangling").symlink_to(folder / "nowhere")
    (folder.parent / "checklist").write_text("no slices lie beside this")
    assert Scan.read(folder).shape == (9, 8, 7)
    assert Scan.read(folder.parent).shape == (9, 8, 7)
    assert Scan.read(series[2]).shape == (9, 8, 7)
