"""What ``camlime check-bundle`` says, and ``add-explain`` writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import pytest
from support.blob_bundle import write_blob_bundle
from support.hostile_bundles import CORPUS, config, scaled_by, write, zipped
from typer.testing import CliRunner

import camlime
from camlime.bundle import Bundle
from camlime.cli.app import app
from camlime.phantom import blob
from camlime.scan import save_volume

SHAPE = (16, 14, 12)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = write_blob_bundle(tmp_path / "blob", SHAPE)
    (root / "configs" / "explain.json").unlink()
    return root


@pytest.fixture
def run() -> Callable[..., Any]:
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_says_what_was_understood(tmp_path: Path, run: Callable[..., Any], bundle: Path) -> None:
    path = bundle / "configs" / "inference.json"
    record = json.loads(path.read_text())
    record |= {"imports": ["$import os"], "dataset": {"_target_": "Dataset"}, "run": ["$@evaluator.run()"]}
    del record["postprocessing"]
    spacing = {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0]}
    record["preprocessing"]["transforms"].append(spacing)
    path.write_text(json.dumps(record))
    done = run("check-bundle", bundle)
    assert done.exit_code == 0, done.output
    for line in (
        "bundle:        Blob 0.1.0 in ",
        "network:       Classifier, ",
        "input:         1 channel(s), 3D, 16 x 14 x 12",
        "spacing:       1.5 x 1.5 x 2 mm",
        "looks at:      24 x 21 x 24 mm",
        "preprocessing: Spacingd",
        "classes:       dark, bright",
        "activation:    softmax",
        "inferer:       SimpleInferer",
        "trust:         runs no code of its own",
        "assumed: 1\n  the post-processing names no activation: softmax is assumed for 2 output(s)",
        "left behind: 3\n  imports\n  dataset\n  run",
    ):
        assert line in done.stdout
    found = json.loads(run("check-bundle", bundle, "--json").stdout)
    assert found["target_layer"] in dict(map(tuple, ((name, tuple(grid)) for name, grid in found["layers"])))
    assert found["input_shape"] == list(SHAPE)
    assert set(found["files"]) == {"models/model.pt", "configs/inference.json", "configs/metadata.json"}


def test_needs_no_fixed_size(run: Callable[..., Any], tmp_path: Path) -> None:
    root = write(tmp_path / "b", config())
    record = json.loads((root / "configs" / "metadata.json").read_text())
    record["network_data_format"]["inputs"]["image"]["spatial_shape"] = ["16*n", 32]
    (root / "configs" / "metadata.json").write_text(json.dumps(record))
    found = json.loads(run("check-bundle", root, "--json").stdout)
    assert found["input_shape"] == [None, 32]
    assert found["tried_shape"] == [64, 32]
    assert "any x 32" in run("check-bundle", root).stdout


def test_every_refusal_is_named(run: Callable[..., Any], tmp_path: Path) -> None:
    steps = [scaled_by("$os.getcwd()"), {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x * 2"}]
    root = write(tmp_path / "b", config(*steps))
    done = run("check-bundle", root)
    assert done.exit_code == 5
    assert done.stderr.count("refused: ") == 3
    assert "'$lambda x: x * 2' at preprocessing::transforms::1::func in configs/inference.json" in done.stderr
    trusted = run("check-bundle", write(tmp_path / "c", config(steps[1])), "--trust-code")
    assert trusted.exit_code == 0, trusted.output
    assert "code of its own was run on your trust" in trusted.stdout
    assert "run on your trust: '$lambda x: x * 2'" in trusted.stdout


def test_outputs_that_do_not_fit(run: Callable[..., Any], tmp_path: Path) -> None:
    root = write(tmp_path / "b", config())
    record = json.loads((root / "configs" / "metadata.json").read_text())
    record["network_data_format"]["outputs"]["pred"] |= {"num_channels": 3, "channel_def": {"0": "a", "2": "c"}}
    (root / "configs" / "metadata.json").write_text(json.dumps(record))
    done = run("check-bundle", root)
    assert done.exit_code == 4
    assert "has 2 output(s), and the bundle names 3 class(es): a, class_1, c" in done.stderr


@pytest.mark.parametrize("name", CORPUS)
def test_no_command_runs_a_payload(run: Callable[..., Any], tmp_path: Path, name: str) -> None:
    marker = tmp_path / "pwned"
    root = CORPUS[name](tmp_path / "bundle", marker)
    written = root / "configs" / "explain.json"
    before = written.read_bytes() if written.exists() else None
    assert run("check-bundle", root).exit_code == 5
    # One whose payload lies in an explain.json of its own has that file, and it is not written over unasked.
    assert run("add-explain", root).exit_code == (5 if before is None else 8)
    assert (written.read_bytes() if written.exists() else None) == before
    if before is not None:
        run("add-explain", root, "--force")
    assert not marker.exists()


def test_what_add_explain_writes_is_obeyed(tmp_path: Path, run: Callable[..., Any], bundle: Path) -> None:
    options = ("--methods", "lime", "--baseline", "constant=0.25", "--n-regions", 12, "--budget", 64)
    done = run("add-explain", bundle, *options)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [str(bundle / "configs" / "explain.json")]
    scan = blob(SHAPE, spacing=(1.5, 1.5, 2.0), center_ras=(0, 0, 0), origin=(-12, -10, -12), radius_mm=4.0)
    path = save_volume(tmp_path / "ball.nii.gz", scan.image[0].numpy() / 1000, scan.affine)
    here = camlime.explain(path, bundle, device="cpu", evidence_budget=0)
    assert list(here.attributions) == ["lime"]
    assert here.provenance["baseline"] == {"name": "constant", "value": 0.25}
    monai.bundle.run(
        config_file=str(bundle / "configs" / "explain.json"),
        bundle_root=str(bundle),
        scan=str(path),
        output_dir=str(tmp_path / "out"),
        device_name="cpu",
    )
    there = camlime.Explanation.load(tmp_path / "out")
    np.testing.assert_allclose(
        there.attributions["lime"].region_weights, here.attributions["lime"].region_weights, atol=1e-5
    )


def test_add_explain_never_overwrites_unasked(run: Callable[..., Any], bundle: Path) -> None:
    assert run("add-explain", bundle, "--budget", 64).exit_code == 0
    file = bundle / "configs" / "explain.json"
    before = file.read_bytes()
    again = run("add-explain", bundle, "--budget", 128)
    assert again.exit_code == 8
    assert "is there already" in again.stderr
    assert "--force" in again.stderr
    assert file.read_bytes() == before
    assert run("add-explain", bundle, "--budget", 128, "--force").exit_code == 0
    assert Bundle.load(bundle).explain_settings.budget == 128
    assert sorted(path.name for path in file.parent.iterdir()) == ["explain.json", "inference.json", "metadata.json"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--methods", "magic"), 6, "there is no method 'magic'"),
        (("--target-layer", "nowhere"), 6, "no layer 'nowhere'"),
        (("--baseline", "black"), 6, "there is no baseline 'black'"),
        (("--baseline", "constant"), 6, "baseline 'constant' cannot be made"),
        (("--baseline", "mean=3"), 6, "baseline 'mean' cannot be made"),
        (("--baseline", "constant=x"), 2, "NAME=NUMBER"),
        (("--field-of-view", "1,2"), 6, "2 lengths for a network in 3D"),
        (("--field-of-view", "1,x,3"), 2, "mm by commas"),
        (("--field-of-view", "-1"), 4, "field_of_view_mm"),
        (("--budget", "3"), 2, "16"),
    ],
)
def test_settings_that_do_not_hold_are_not_written(
    run: Callable[..., Any], bundle: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    done = run("add-explain", bundle, *options)
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert not (bundle / "configs" / "explain.json").exists()


def test_add_explain_follows_no_link(run: Callable[..., Any], tmp_path: Path, bundle: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("mine")
    (bundle / "configs" / "explain.json").symlink_to(outside)
    assert run("add-explain", bundle, "--force").exit_code == 5
    (bundle / "configs" / "explain.json").unlink()
    (bundle / "configs").rename(tmp_path / "elsewhere")
    (bundle / "configs").symlink_to(tmp_path / "elsewhere")
    assert run("add-explain", bundle).exit_code == 5
    assert outside.read_text() == "mine"
    assert not (tmp_path / "elsewhere" / "explain.json").exists()


def test_only_folders_are_written_into(run: Callable[..., Any], tmp_path: Path, bundle: Path) -> None:
    archive = zipped(bundle, tmp_path / "b.zip")
    for place in (archive, tmp_path / "nothing", tmp_path):
        done = run("add-explain", place)
        assert done.exit_code == 4
        assert done.stderr.startswith("error: ")
    assert run("check-bundle", archive).exit_code == 0
