"""Every error is one sentence and a hint, with the exit code of its kind, before the long work, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.conftest import CENTER, FEW

from camlime.errors import ScanError
from camlime.scan import Scan

Run = Callable[..., Any]


@pytest.fixture
def wrong(volume: Path, bundle: Path, tmp_path: Path) -> dict[str, tuple[int, str, list[object]]]:
    """By name: exit code, a word of the message, arguments."""
    text = tmp_path / "text.nii.gz"
    text.write_text("not an image")
    taken = tmp_path / "taken"
    taken.write_text("a file")
    out = ["--output", tmp_path / "out"]
    good = ["explain", volume, "--bundle", bundle]
    return {
        "missing scan": (3, "does not exist", ["explain", tmp_path / "no.nii.gz", "--bundle", bundle, *out]),
        "text as scan": (3, "gzip", ["explain", text, "--bundle", bundle, *out]),
        "missing bundle": (4, "no bundle", ["explain", volume, "--bundle", tmp_path / "no", *out]),
        "unknown class": (6, "no class", [*good, *out, "--class", "green"]),
        "unknown method": (6, "no method", [*good, *out, "--methods", "gradcam,magic"]),
        "refused method": (6, "scorecam", [*good, *out, "--methods", "scorecam"]),
        "no method": (6, "method", [*good, *out, "--methods", ","]),
        "unknown layer": (6, "no layer", [*good, *out, "--target-layer", "conv99"]),
        "layer without a CAM": (6, "is for CAMs", [*good, *out, "--methods", "lime", "--target-layer", "conv1"]),
        "missing names": (
            7,
            "names cannot be read",
            [*good, *out, "--regions", volume, "--region-names", tmp_path / "n"],
        ),
        "point not asked for": (6, "point", [*good, *out, "--point", -1, -2, -3]),
        "missing regions": (7, "does not exist", [*good, *out, "--regions", tmp_path / "no.nii.gz"]),
        "unknown baseline": (6, "baseline", [*good, *out, "--baseline", "magic"]),
        "unknown device": (9, "device", [*good, *out, "--device", "abacus"]),
        "output is a file": (8, "file", [*good, "--output", taken]),
        "output below a file": (8, "file", [*good, "--output", taken / "deeper"]),
        "classify, missing scan": (3, "does not exist", ["classify", tmp_path / "no.nii.gz", "--bundle", bundle]),
        "layers, missing bundle": (4, "no bundle", ["layers", "--bundle", tmp_path / "no"]),
    }


NAMES = (
    "missing scan", "text as scan", "missing bundle", "unknown class", "unknown method", "refused method", "no method",
    "unknown layer", "layer without a CAM", "missing names", "point not asked for", "missing regions",
    "unknown baseline", "unknown device", "output is a file", "output below a file", "classify, missing scan",
    "layers, missing bundle",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_errors(camlime: Run, wrong: dict[str, tuple[int, str, list[object]]], tmp_path: Path, name: str) -> None:
    code, word, arguments = wrong[name]
    before = sorted(tmp_path.rglob("*"))
    options = ("--budget", 64, "--batch-size", 16) if arguments[0] == "explain" else ()
    result = camlime(*arguments, *options)
    assert result.exit_code == code, result.stderr
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ") and word in lines[0]
    assert not any("Traceback" in line for line in lines)
    assert result.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that even root cannot write to")
def test_a_folder_that_cannot_be_written_to(camlime: Run, volume: Path, bundle: Path) -> None:
    result = camlime("explain", volume, "--bundle", bundle, "--output", "/proc/self/out")
    assert result.exit_code == 8 and "cannot write to /proc/self/out" in result.stderr


@pytest.mark.parametrize("before", [True, False])
def test_debug_shows_a_traceback(camlime: Run, bundle: Path, tmp_path: Path, before: bool) -> None:
    arguments = ["classify", tmp_path / "no.nii.gz", "--bundle", bundle]
    result = camlime(*(["--debug", *arguments] if before else [*arguments, "--debug"]))
    assert result.exit_code == 3
    assert "Traceback" in result.stderr and "ScanError" in result.stderr and "error: " in result.stderr


def test_a_defect_asks_for_debug(camlime: Run, volume: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by [zero]")

    monkeypatch.setattr("camlime.pipeline.answer", broken)
    result = camlime("classify", volume, "--bundle", bundle)
    assert result.exit_code == 70
    assert "ZeroDivisionError: by [zero]" in result.stderr and "--debug" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in camlime("classify", volume, "--bundle", bundle, "--debug").stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--budget", "many"],
        ["--budget", "0"],
        ["--n-regions", "1"],
        ["--batch-size", "0"],
        ["--seed", "-1"],
        ["--lime-mode", "odd"],
        ["--point", "1", "2"],
        ["--point", "1", "2", "3", "--center-voxel", "1", "2", "3"],
        ["--regions", "a.nii.gz", "--n-regions", "20"],
        ["--region-names", "names.json"],
        ["--subdivide", "20"],
        ["--regions", "a.nii.gz", "--subdivide", "1"],
        ["--nonsense"],
        ["--target-layer", ""],
        ["--output="],
    ],
)
def test_usage_errors(camlime: Run, tmp_path: Path, options: list[str]) -> None:
    result = camlime("explain", "scan.nii.gz", "--bundle", "b", "--output", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_disk_is_full(
    camlime: Run, volume: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("camlime.saving.draw_overview", full)
    where = ("--output", tmp_path / "a" / "out", "--methods", "gradcam")
    result = camlime("explain", volume, "--bundle", bundle, *where, *FEW)
    assert result.exit_code == 8 and "No space left" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "typed", "says", "hints"),
    [
        ("--point", (-CENTER[0], -CENTER[1], CENTER[2]), "the point (20, -12, -60) mm RAS is outside", "--point-lps"),
        ("--point-lps", CENTER, "the point (-20, 12, -60) mm LPS is outside", "with --point"),
        ("--point", (0.125, 900, 0), "the point (0.125, 900, 0) mm RAS is outside", "RAS mm"),
        ("--point-lps", (0.125, 900, 0), "the point (0.125, 900, 0) mm LPS is outside", "LPS mm"),
        ("--center-voxel", (-5, 3, 3), "voxel (-5, 3, 3) is outside 0..15, 0..13, 0..11", "from 0"),
        ("--center-voxel", (1, "nan", 3), "(1, nan, 3) is not a point", "finite"),
    ],
)
def test_a_point_outside_is_quoted_as_it_was_typed(
    camlime: Run, volume: Path, region_bundle: Path, option: str, typed: tuple[float, ...], says: str, hints: str
) -> None:
    result = camlime("classify", volume, "--bundle", region_bundle, option, *typed)
    assert result.exit_code == 6
    said, hint = result.stderr.splitlines()
    assert said.startswith(f"error: {says}") and hint.startswith("hint: ") and hints in hint


def test_the_reach_is_told_in_the_frame_that_was_typed(camlime: Run, volume: Path, region_bundle: Path) -> None:
    low, high = Scan.read(volume).bounds
    assert np.all(low < high)
    ras = f"R {low[0]:.1f} to {high[0]:.1f}, A {low[1]:.1f} to {high[1]:.1f}, S {low[2]:.1f} to {high[2]:.1f}"
    lps = f"L {-high[0]:.1f} to {-low[0]:.1f}, P {-high[1]:.1f} to {-low[1]:.1f}, S {low[2]:.1f} to {high[2]:.1f}"
    for option, reach in (("--point", ras), ("--point-lps", lps)):
        said = camlime("classify", volume, "--bundle", region_bundle, option, 0, 999, 0).stderr
        assert f"which spans {reach}" in said


@pytest.mark.parametrize("command", ["explain", "classify", "layers"])
def test_a_scan_that_is_not_there_is_told_before_the_heavy_imports(tmp_path: Path, command: str) -> None:
    """In the words of ``Scan.read``."""
    missing = tmp_path / "nothere.nii.gz"
    arguments = [command, str(missing), "--bundle", "lung_nodule_ct"]
    arguments += ["--output", str(tmp_path / "out")] if command == "explain" else []
    code = (
        "import sys; from camlime.cli.app import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as end: print(end.code, [m for m in ('torch', 'monai', 'nibabel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3 []"
    with pytest.raises(ScanError) as caught:
        Scan.read(missing)
    assert done.stderr.splitlines() == [f"error: {caught.value.message}", f"hint: {caught.value.hint}"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["classify", "", "--bundle", "b"], "an argument of classify"),
        (["classify", "scan.nii.gz", "--bundle", " "], "--bundle"),
        (["explain", "scan.nii.gz", "--bundle", "b", "--output="], "--output"),
        (["layers", "--bundle", "b", "--", ""], "an argument of layers"),
    ],
)
def test_nothing_at_all_is_not_the_current_folder(camlime: Run, arguments: list[str], named: str) -> None:
    result = camlime(*arguments)
    assert result.exit_code == 2
    assert f"{named} is empty" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("arguments", [["--version"], ["layers", "--bundle"]])
def test_the_standard_output_is_full(bundle: Path, arguments: list[str]) -> None:
    asked = [*arguments, *([str(bundle)] if arguments[-1] == "--bundle" else [])]
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "camlime", *asked]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 8
    assert "cannot write to the standard output: No space left" in done.stderr and "Traceback" not in done.stderr
