"""``camlime explain``: what it writes and prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from cli.conftest import CENTER, FEW

from camlime.scan import Scan, save_volume

Run = Callable[..., Any]


def test_writes_and_prints_everything(camlime: Run, volume: Path, bundle: Path, tmp_path: Path) -> None:
    result = camlime("explain", volume, "--bundle", bundle, "--output", tmp_path / "out", *FEW, "--native-grid")
    assert result.exit_code == 0, result.stderr
    record = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert record["complete"] and list(record["attributions"]) == ["gradcam", "lime", "fused"]
    written = {str(path) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {line.strip() for line in result.stdout.split("files\n")[1].splitlines()}
    assert {"overview.png", "fused_std.nii.gz", "regions.nii.gz"} <= {Path(name).name for name in written}
    assert (tmp_path / "out" / "native" / "fused.nii.gz") in map(Path, written)
    for words in ("prediction", "bright", " %", "explained", "gradcam", "forward", " s ", "agreement: "):
        assert words in result.stdout
    assert "lime: 64 passes in" in result.stderr


def test_a_picture(camlime: Run, picture_case: tuple[Path, Path], tmp_path: Path) -> None:
    picture, bundle = picture_case
    result = camlime("explain", picture, "--bundle", bundle, "--output", tmp_path, *FEW, "--methods", "hirescam, lime")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "hirescam.nii.gz").exists() and (tmp_path / "overview.png").stat().st_size > 10_000


def test_quiet_prints_the_files_alone(camlime: Run, volume: Path, bundle: Path, tmp_path: Path) -> None:
    where = ("--output", tmp_path, "--methods", "gradcam", "--quiet")
    result = camlime("explain", volume, "--bundle", bundle, *where, *FEW)
    assert result.stderr == ""
    assert all(Path(line).is_file() for line in result.stdout.splitlines())
    assert str(tmp_path / "explanation.json") in result.stdout.splitlines()


def test_bars_on_a_terminal(camlime: Run, volume: Path, bundle: Path, tmp_path: Path) -> None:
    where = ("--output", tmp_path, "--methods", "lime")
    result = camlime("explain", volume, "--bundle", bundle, *where, *FEW, env={"FORCE_COLOR": "1", "COLUMNS": "120"})
    assert result.exit_code == 0
    assert "64 of 64 passes" in result.stderr
    assert "passes" not in result.stdout.split("methods")[0]


@pytest.mark.parametrize("frame", ["ras", "lps", "voxel"])
def test_a_point_in_any_frame(camlime: Run, volume: Path, region_bundle: Path, tmp_path: Path, frame: str) -> None:
    """Negative numbers after an option are values, not options."""
    index = Scan.read(volume).ras_to_voxel(CENTER)
    given = {
        "ras": ("--point", *CENTER),
        "lps": ("--point-lps", -CENTER[0], -CENTER[1], CENTER[2]),
        "voxel": ("--center-voxel", *index),
    }[frame]
    where = ("--output", tmp_path, "--methods", "gradcam", *given)
    result = camlime("explain", volume, "--bundle", region_bundle, *where, *FEW)
    assert result.exit_code == 0, result.stderr
    record = json.loads((tmp_path / "explanation.json").read_text())
    np.testing.assert_allclose(record["provenance"]["point_ras_mm"], CENTER, atol=1e-6)


def test_structures_are_named_and_cut(camlime: Run, volume: Path, bundle: Path, tmp_path: Path) -> None:
    shape = nib.load(volume).shape
    labels = np.ones(shape, dtype=np.int16)
    labels[shape[0] // 2 :] = 2
    save_volume(tmp_path / "sides.nii.gz", labels, nib.load(volume).affine)
    (tmp_path / "names.json").write_text('{"1": "one side", "2": "other side"}')
    where = ("--output", tmp_path / "out", "--methods", "lime")
    few = ("--budget", 64, "--batch-size", 16, "--device", "cpu", "--evidence-budget", 0)
    options = ("--regions", tmp_path / "sides.nii.gz", "--region-names", tmp_path / "names.json", "--subdivide", 10)
    result = camlime("explain", volume, "--bundle", bundle, *where, *few, *options)
    assert result.exit_code == 0, result.stderr
    record = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert [row["name"] for row in record["structures"]] == ["one side", "other side"]
    assert {row["structure"] for row in record["regions"]} == {"one side", "other side"} and len(record["regions"]) > 4
    assert record["provenance"]["subdivide"] == 10
    assert "one side" in result.stdout


def test_options_reach_the_engine(camlime: Run, volume: Path, bundle: Path, tmp_path: Path) -> None:
    options = ["--class", "dark", "--seed", 7, "--segmentations", 1, "--lime-mode", "stock", "--baseline", "blur"]
    where = ("--output", tmp_path, "--methods", "lime")
    result = camlime("explain", volume, "--bundle", bundle, *where, *FEW, *options)
    assert result.exit_code == 0, result.stderr
    record = json.loads((tmp_path / "explanation.json").read_text())
    assert record["explained_class"] == "dark"
    assert record["attributions"]["lime"]["parameters"]["mode"] == "stock"
    assert record["attributions"]["lime"]["forward_passes"] == 64
    assert record["provenance"]["seed"] == 7 and record["provenance"]["baseline"]["name"] == "blur"
