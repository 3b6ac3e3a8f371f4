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
