"""``classify``, ``layers``, ``demo``, and what belongs to no command."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.conftest import FEW

from camlime.phantom import blob, chest_ct_nodule
from camlime.scan import Scan
from camlime.version import __version__

Run = Callable[..., Any]


def test_version_and_help(camlime: Run) -> None:
    assert camlime("--version").stdout == f"camlime {__version__}\n"
    said = camlime("--help").stdout
    assert all(command in said for command in ("explain", "classify", "layers", "demo"))


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys, camlime.cli.app; print([m for m in ('torch', 'monai', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("given", "policy"), [(None, "passive"), ("active", "active")])
def test_threads_wait_asleep_unless_the_user_says_otherwise(given: str | None, policy: str) -> None:
    """OpenMP reads it as torch is imported, which must come later."""
    code = "import os, sys, camlime.cli.app as app\napp.app = lambda **_: print(os.environ['OMP_WAIT_POLICY'], "
    code += "'torch' in sys.modules)\nimport camlime.cli\ncamlime.cli.main()"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == [policy, "False"]


def test_classify(camlime: Run, volume: Path, bundle: Path) -> None:
    result = camlime("classify", volume, "--bundle", bundle, "--json")
    answer = json.loads(result.stdout)
    assert set(answer["probabilities"]) == {"dark", "bright"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    words = camlime("classify", volume, "--bundle", bundle).stdout
    assert f"{100 * answer['probabilities']['bright']:.1f} %" in words


def test_layers_from_metadata_or_a_scan(camlime: Run, volume: Path, bundle: Path) -> None:
    from_metadata = camlime("layers", "--bundle", bundle)
    assert from_metadata.exit_code == 0, from_metadata.stderr
    assert from_metadata.stdout == camlime("layers", volume, "--bundle", bundle).stdout
    assert "input: 1 x 16 x 14 x 12" in from_metadata.stdout
    assert "4 x 4 x 3" in from_metadata.stdout and "is the deepest" in from_metadata.stdout
    assert sum(line.startswith("* ") for line in from_metadata.stdout.splitlines()) == 1


def test_layers_says_when_a_scan_is_needed(camlime: Run, bundle: Path, tmp_path: Path) -> None:
    import shutil

    loose = shutil.copytree(bundle, tmp_path / "loose")
    metadata = json.loads((loose / "configs" / "metadata.json").read_text())
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = ["*", "*", "*"]
    (loose / "configs" / "metadata.json").write_text(json.dumps(metadata))
    result = camlime("layers", "--bundle", loose)
    assert result.exit_code == 6 and "hint: give a scan" in result.stderr


def test_demo_explains_the_phantom(
    camlime: Run, region_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = chest_ct_nodule(3)
    monkeypatch.setattr("camlime.phantom.chest_ct_nodule", {3: made}.__getitem__)
    options = ("--bundle", region_bundle, "--budget", 128, "--device", "cpu", "--seed", 3)
    result = camlime("demo", "--output", tmp_path, *options)
    assert result.exit_code == 0, result.stderr
    scan, center, _ = made
    saved = Scan.read(tmp_path / "scan.nii.gz")
    assert saved.shape == scan.shape
    np.testing.assert_allclose(saved.affine, scan.affine)
    record = json.loads((tmp_path / "explanation.json").read_text())
    np.testing.assert_allclose(record["provenance"]["point_ras_mm"], center, atol=0.051)
    assert str(tmp_path / "scan.nii.gz") in result.stdout and "Slicer" in result.stdout
    assert (tmp_path / "report.html").is_file() and str(tmp_path / "report.html") in result.stdout


@pytest.mark.parametrize("stage", ["camlime.cli.running.explain", "camlime.saving.draw_overview"])
def test_a_demo_that_fails_leaves_nothing(
    camlime: Run, region_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    small = blob((30, 28, 20), origin=(-90.0, -40.0, 5.0))
    monkeypatch.setattr("camlime.phantom.chest_ct_nodule", lambda seed: (small, np.array([-75.04, -26.0, 15.0]), None))
    monkeypatch.setattr(stage, full)
    options = ("--bundle", region_bundle, "--budget", 64, "--device", "cpu")
    result = camlime("demo", "--output", tmp_path / "out", *options)
    assert result.exit_code != 0
    assert not (tmp_path / "out").exists()


def test_demo_without_a_suitable_bundle(camlime: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camlime.bundle.shipped_bundles", dict)
    result = camlime("demo", "--output", tmp_path / "none")
    assert result.exit_code == 6 and "--bundle" in result.stderr
    assert not (tmp_path / "none").exists()


def test_demo_finds_the_shipped_bundle_that_asks_for_it_and_says_how_to_repeat_it(
    camlime: Run, region_bundle: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = blob((30, 28, 20), origin=(-90.0, -40.0, 5.0))
    monkeypatch.setattr("camlime.phantom.chest_ct_nodule", lambda seed: (small, np.array([-75.04, -26.0, 15.0]), None))
    shipped = {str(folder): folder for folder in (bundle, region_bundle)}
    monkeypatch.setattr("camlime.bundle.shipped_bundles", lambda: shipped)
    output = tmp_path / "my demo"
    result = camlime("demo", "--output", output, "--budget", 128, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    again = next(line for line in result.stdout.splitlines() if line.startswith("  camlime explain"))
    assert shlex.split(again)[4] == str(region_bundle)
    first = json.loads((output / "explanation.json").read_text())
    repeated = camlime(*shlex.split(again)[1:])
    assert repeated.exit_code == 0, repeated.stderr
    second = json.loads((output / "explanation.json").read_text())
    weights = [[row["weight"] for row in record["regions"]] for record in (first, second)]
    np.testing.assert_allclose(*weights, atol=1e-4 * np.ptp(weights[0]))


def test_noise_of_names_from_files_is_kept_off_the_terminal(
    camlime: Run, volume: Path, bundle: Path, tmp_path: Path
) -> None:
    import shutil

    odd = shutil.copytree(bundle, tmp_path / "odd")
    metadata = json.loads((odd / "configs" / "metadata.json").read_text())
    names = {"0": "[red]dark[/red]", "1": "bright\x1b[2J $x^2$"}
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = names
    (odd / "configs" / "metadata.json").write_text(json.dumps(metadata))
    result = camlime("explain", volume, "--bundle", odd, "--output", tmp_path / "out", "--methods", "gradcam", *FEW)
    assert result.exit_code == 0, result.stderr
    assert "[red]dark[/red]" in result.stdout and "\x1b" not in result.stdout
