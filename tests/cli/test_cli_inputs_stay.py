"""What the user gave, and what lies in the folder of the results without being one, is still there afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camlime.errors import OutputError

Run = Callable[..., Any]
QUICK = ("--methods", "gradcam", "--n-regions", 10, "--evidence-budget", 0, "--device", "cpu", "-q")


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where anything is computed."""
    monkeypatch.setattr("camlime.cli.running.explain", lambda *args, **kwargs: pytest.fail("it was explained"))


@pytest.mark.parametrize("name", ["input.nii.gz", "gradcam.nii.gz"])
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.usefixtures("no_work")
def test_the_scan(camlime: Run, volume: Path, bundle: Path, tmp_path: Path, name: str, linked: bool) -> None:
    scan = tmp_path / "out" / name
    scan.parent.mkdir()
    shutil.copy(volume, scan)
    given = scan
    if linked:
        given = tmp_path / "link.nii.gz"
        given.symlink_to(scan)
    before = contents(tmp_path)
    result = camlime("explain", given, "--bundle", bundle, "--output", scan.parent, *QUICK)
    assert result.exit_code == OutputError.exit_code
    assert "is one of the inputs" in result.stderr and "another folder" in result.stderr
    assert contents(tmp_path) == before


def test_regions_of_an_earlier_explanation_that_would_be_replaced(
    camlime: Run, volume: Path, bundle: Path, tmp_path: Path
) -> None:
    asked = ("explain", volume, "--bundle", bundle, "--output", tmp_path, *QUICK)
    assert camlime(*asked, "--native-grid").exit_code == 0
    before = contents(tmp_path)
    quick = [option for option in asked if option not in ("--n-regions", 10)]
    for regions in (tmp_path / "regions.nii.gz", tmp_path / "native" / "regions.nii.gz"):
        result = camlime(*quick, "--regions", regions)
        assert result.exit_code == OutputError.exit_code and "is one of the inputs" in result.stderr
        assert contents(tmp_path) == before
    assert camlime(*asked).exit_code == 0  # again, in place of the first


@pytest.mark.usefixtures("no_work")
def test_a_file_of_the_users_that_is_no_result(camlime: Run, volume: Path, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "overview.png").write_text("mine")
    result = camlime("explain", volume, "--bundle", bundle, "--output", tmp_path, *QUICK)
    assert result.exit_code == OutputError.exit_code and "overview.png is there already" in result.stderr
    assert (tmp_path / "overview.png").read_text() == "mine"


@pytest.mark.usefixtures("no_work")
def test_a_scan_that_is_not_the_demos(camlime: Run, region_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_text("mine")
    result = camlime("demo", "--bundle", region_bundle, "--output", tmp_path, "-q")
    assert result.exit_code == OutputError.exit_code and "scan.nii.gz is there already" in result.stderr
    assert (tmp_path / "scan.nii.gz").read_text() == "mine"


def test_what_a_page_is_made_of(camlime: Run, volume: Path, bundle: Path, tmp_path: Path) -> None:
    assert camlime("explain", volume, "--bundle", bundle, "--output", tmp_path, *QUICK).exit_code == 0
    before = contents(tmp_path)
    for place in (tmp_path / "explanation.json", volume):
        result = camlime("report", tmp_path, "--scan", volume, "--output", place)
        assert result.exit_code == OutputError.exit_code and "is one of the inputs" in result.stderr
    assert contents(tmp_path) == before
