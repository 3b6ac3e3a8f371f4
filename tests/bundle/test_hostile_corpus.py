"""No way in runs a payload of the hostile corpus, and each says what it refused."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
from monai.bundle import ConfigParser
from support.hostile_bundles import CORPUS, HARMLESS, breaking_out, config, write, zipped
from typer.testing import CliRunner

import camlime
from camlime.bundle import Bundle
from camlime.bundle.extract import Extract
from camlime.bundle.resolve import Resolver
from camlime.cli.app import app
from camlime.errors import BundleError, RequestError, UntrustedBundleError
from camlime.scan import Scan, save_volume

SCAN = Scan.from_array(np.random.default_rng(0).normal(size=(1, 16, 16)), np.eye(4))
ROOT = Path(__file__).parents[2]
OUR_EXPLAIN = ROOT / "monai_bundle" / "lung_nodule_ct" / "configs" / "explain.json"


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """Where a payload would leave its mark."""
    path = tmp_path / "pwned"
    yield path
    assert not path.exists(), "the payload ran"


@pytest.fixture(scope="module")
def slice_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_volume(tmp_path_factory.mktemp("scan") / "slice.nii.gz", SCAN.image[0, :, :, None].numpy(), np.eye(4))


@pytest.mark.parametrize("name", CORPUS)
def test_python(tmp_path: Path, marker: Path, name: str) -> None:
    root = CORPUS[name](tmp_path / "bundle", marker)
    with pytest.raises(UntrustedBundleError):
        Bundle.load(root)
    with pytest.raises(UntrustedBundleError):
        camlime.explain(SCAN, root)
    assert not marker.exists()


@pytest.mark.parametrize("name", CORPUS)
def test_zip(tmp_path: Path, marker: Path, name: str) -> None:
    archive = zipped(CORPUS[name](tmp_path / "bundle", marker), tmp_path / "bundle.zip")
    with pytest.raises(UntrustedBundleError):
        Bundle.load(archive)


@pytest.mark.parametrize("name", CORPUS)
def test_command_line(tmp_path: Path, marker: Path, slice_file: Path, name: str) -> None:
    root = CORPUS[name](tmp_path / "bundle", marker)
    for command in (
        ["classify", slice_file, "--bundle", root],
        ["explain", slice_file, "--bundle", root, "--output", tmp_path / "out"],
        ["layers", "--bundle", root],
        ["add-explain", root, "--force"],
    ):
        done = CliRunner().invoke(app, [str(word) for word in command])
        assert done.exit_code == UntrustedBundleError.exit_code, done.output
        assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
    found = CliRunner().invoke(app, ["check-bundle", str(root), "--json"])
    assert found.exit_code in {0, UntrustedBundleError.exit_code}, found.output
    assert "Traceback" not in found.output
    if found.exit_code == 0:
        assert json.loads(found.stdout)["refusals"]


@pytest.mark.parametrize("name", CORPUS)
def test_our_explain_json_pointed_at_it(tmp_path: Path, marker: Path, name: str, slice_file: Path) -> None:
    root = CORPUS[name](tmp_path / "bundle", marker)
    with pytest.raises(Exception) as caught:
        monai.bundle.run(
            config_file=str(OUR_EXPLAIN),
            bundle_root=str(root),
            scan=str(slice_file),
            output_dir=str(tmp_path / "out"),
        )
    assert any(isinstance(error, UntrustedBundleError) for error in chain(caught.value))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_not_needed_never_runs(tmp_path: Path, marker: Path, slice_file: Path, name: str) -> None:
    root = HARMLESS[name](tmp_path / "bundle", marker)
    bundle = Bundle.load(root)
    bundle.prepare(SCAN)
    assert {"imports", "initialize", "run", "evaluator", "dataset"} <= set(bundle.left_behind)
    done = CliRunner().invoke(app, ["classify", str(slice_file), "--bundle", str(root), "--json"])
    assert json.loads(done.stdout)["class"] in {"healthy", "ill"}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("expression: open", "$open('"),
        ("target: os.system", "'os.system' at preprocessing::transforms::0::_target_ in configs/inference.json"),
        ("hidden in references and macros", "at configs/more.json"),
        ("a module of its own", "'scripts.Payload'"),
        ("pickle in the weights", "'posix.system'"),
        ("yaml: apply", "configs/inference.yaml uses a YAML tag"),
    ],
)
def test_what_is_refused_is_named(tmp_path: Path, marker: Path, name: str, what: str) -> None:
    with pytest.raises(BundleError) as caught:
        Bundle.load(CORPUS[name](tmp_path / "bundle", marker))
    wanted = what if name != "hidden in references and macros" else "in configs/more.json"
    assert wanted in str(caught.value)


def test_the_payloads_do_work(tmp_path: Path) -> None:
    """With trust they run: the corpus is live."""
    for number, name in enumerate(("expression: import", "a module of its own", "target: subprocess")):
        marker = tmp_path / f"pwned{number}"
        root = CORPUS[name](tmp_path / f"bundle{number}", marker)
        with contextlib.suppress(BundleError):  # what the payload returns is no transform
            Bundle.load(root, trust_code=True)
        assert marker.exists(), name


def test_monai_evaluates_what_was_screened_and_nothing_else(tmp_path: Path, marker: Path) -> None:
    """Even if the screen let through a text that MONAI completes with the author's names, it is not evaluated."""
    copy = Extract(roles={"inferer": "r0"}, ids={"inferer": "inferer"}, expressions={"$'%::x'"})
    copy.config["r0"] = {breaking_out(marker): {"a": "$'%::x'"}}
    with pytest.raises(UntrustedBundleError, match="another expression than the one that was screened"):
        Resolver(copy, tmp_path).build("inferer")
    live = tmp_path / "live"
    parser = ConfigParser({"r0": {breaking_out(live): {"a": "$'%::x'"}}})
    with contextlib.suppress(RuntimeError):
        parser.get_parsed_content("r0")
    assert live.exists()


def test_modules_that_lie_in_the_bundle(tmp_path: Path, marker: Path, slice_file: Path) -> None:
    """``python -m`` puts the current folder first: packages that are looked for are not taken from a bundle."""
    root = write(tmp_path / "bundle", config())
    for module in ("einops", "cucim", "squeeze_and_excitation", "typer", "torch", "sitecustomize", "ignite"):
        (root / f"{module}.py").write_text(f"open({str(marker)!r}, 'w')\n")
    done = subprocess.run(
        [sys.executable, "-m", "camlime", "classify", str(slice_file), "--bundle", "."],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "healthy" in done.stdout


@pytest.mark.parametrize(
    "baseline",
    [
        {"name": "constant", "value": "abc"},
        {"name": "constant", "value": float("nan")},
        {"name": "constant", "value": 10**15 * 1e300},
        {"name": "blur", "sigma_mm": 1e9},
        {"name": "blur", "sigma_mm": "wide"},
        {"name": "mean", "model_input": 3},
        {"name": "__import__"},
    ],
)
def test_baselines_that_are_none(tmp_path: Path, baseline: dict[str, object]) -> None:
    root = write(tmp_path / "bundle", config())
    (root / "configs" / "explain.json").write_text(json.dumps({"explain": {"baseline": baseline}}))
    with pytest.raises(RequestError):
        camlime.explain(SCAN, root, methods=["lime"], device="cpu", budget=32, n_regions=5)
