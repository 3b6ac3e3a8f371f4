"""The evidence card, from a summary as ``camlime benchmark`` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.hostile_bundles import config, write
from typer.testing import CliRunner

from camlime.authoring import card
from camlime.bundle import Bundle
from camlime.bundle.config import BundleFolder
from camlime.bundle.screening import read_settings
from camlime.bundle.shipped import shipped_bundles
from camlime.cli.app import app


def result(method: str, quantity: str, mean: float, **extra: Any) -> dict[str, Any]:
    row = {"method": method, "group": "ours", "budget": 128, "quantity": quantity, "baseline": "", "patients": 12}
    row |= {"cases": 14, "mean": mean, "mean_low": mean - 0.1, "mean_high": mean + 0.1, "median": mean}
    return {**row, **extra}


def summary_of(root: Path) -> dict[str, Any]:
    bundle = Bundle.load(root)
    about = {"better": "larger"}
    row = {"quantity": "abpc", "baseline": "blur", "budget": 128, "mean_difference": 0.2, "low": -0.01, "high": 0.4}
    return {
        "format": card.FORMAT,
        "created": "2026-01-02T03:04:05+00:00",
        "bundle": {"name": bundle.name, "version": bundle.version, "sha256": dict(bundle.fingerprint)},
        "settings": {"budgets": [64, 128], "seeds": [0, 1], "jitter_mm": 3.0},
        "settings_hash": "0123456789abcdef",
        "versions": {"camlime": "0.1.0", "torch": "2.8", "captum": None},
        "cohort": {
            "cases": 14,
            "patients": 12,
            "classes": {"ill|er": 14},
            "outlines": 14,
            "mean_prevalence": 0.125,
            "failed": {"case 3": "the scan is\ntruncated"},
            "skipped": [{"method": "gradcam", "budget": None, "why": "no layer", "cases": 2}],
            "left_out": {"captum-lime": "captum is not installed"},
        },
        "quantities": {"abpc": {"title": "ABPC", **about}, "coverage": {"title": "share held", "better": ""}},
        "results": [
            result("fused", "abpc", 1.25, baseline="blur"),
            result("fused", "abpc", 9.99, baseline="blur", budget=64),
            result("gradcam", "abpc", 0.5, baseline="blur", budget=None, mean_low=None),
            result("captum-lime", "abpc", 7.77, baseline="blur", group="peers"),
            result("random", "abpc", 0.01, baseline="blur", group="controls"),
            result("fused", "coverage", 0.94),
            result("fused", "seconds", 3.0),
        ],
        "reference": "fused",
        "comparisons": [{**row, "method": "fused", "against": "gradcam", "p_holm": 0.004}],
        "margin": 0.1,
        "non_inferiority": [{**row, "method": "fused", "better_parent": "lime", "not_inferior": False}],
    }


@pytest.fixture
def case(tmp_path: Path) -> tuple[Path, Path, dict[str, Any]]:
    root = write(tmp_path / "bundle", config())
    summary = summary_of(root)
    path = tmp_path / "out" / "summary.json"
    path.parent.mkdir()
    path.write_text(json.dumps(summary))
    return root, path, summary


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["card", *[str(word) for word in words]])


def test_what_it_says(case: tuple[Path, Path, dict[str, Any]]) -> None:
    root, path, _ = case
    done = run(root, "--summary", path.parent)
    assert done.exit_code == 0, done.output
    file = root / "docs" / "evidence_card.md"
    assert done.stdout.strip() == str(file)
    text = file.read_text()
    for line in (
        "# Evidence card: Hostile 1",
        "- 12 patients, 14 cases (explained class: ill\\|er 14)",
        "which covers 12.5% of the view on average: what chance would hit",
        "- not done: case 3: the scan is truncated",
        "- gradcam could not run on 2 case(s): no layer",
        "- captum-lime was not run: captum is not installed",
        "### ABPC ↑",
        "| Fused | 128 | blur | 1.25 (1.15 to 1.35) | 12 |",
        "| Grad-CAM | - | blur | 0.5 | 12 |",
        "| random | 128 | blur | 0.01 (-0.09 to 0.11) | 12 |",
        "### share held\n",
        "| Fused | 128 | 0.94 (0.84 to 1.04) | 12 |",
        "| abpc | blur | Grad-CAM | 128 | 0.2 (-0.01 to 0.4) | 0.004 |",
        "| abpc | blur | 128 | LIME | 0.2 (-0.01 to 0.4) | **no** |",
        "- budgets 64, 128; seeds 0, 1; jitter 3.0 mm",
        "- camlime 0.1.0, torch 2.8\n",
        "`models/model.pt` ",
    ):
        assert line in text
    assert "9.99" not in text
    assert "7.77" not in text
    assert "seconds" not in text
    assert "changed since" not in text


def test_it_says_what_is_presumed(case: tuple[Path, Path, dict[str, Any]]) -> None:
    root, path, _ = case
    assert run(root, "--summary", path).exit_code == 0
    assert "presumed" not in (root / "docs" / "evidence_card.md").read_text()
    (root / "configs" / "explain.json").write_text(json.dumps({"explain": {"presumes": "a <b>tumour"}}))
    assert run(root, "--summary", path, "--force").exit_code == 0
    text = (root / "docs" / "evidence_card.md").read_text()
    assert (
        "ill\\|er 14)\n- every case is presumed to show a \\<b\\>tumour, as every training image does\n- 14 cases"
        in text
    )


@pytest.mark.parametrize("name", shipped_bundles())
def test_shipped_cards_say_what_is_presumed(name: str) -> None:
    root = shipped_bundles()[name]
    presumes = read_settings(BundleFolder(root)).presumes
    said = [line for line in (root / card.CARD).read_text(encoding="utf-8").splitlines() if "presumed" in line]
    line = f"- every case is presumed to show {presumes}, as every training image does"
    assert said == ([] if presumes is None else [line])


def test_never_overwrites_unasked(case: tuple[Path, Path, dict[str, Any]]) -> None:
    root, path, _ = case
    (root / "docs").mkdir()
    (root / "docs" / "README.md").write_text("mine")
    assert run(root, "--summary", path).exit_code == 0
    (root / "docs" / "evidence_card.md").write_text("edited")
    done = run(root, "--summary", path)
    assert done.exit_code == 8
    assert "--force" in done.stderr
    assert (root / "docs" / "evidence_card.md").read_text() == "edited"
    assert run(root, "--summary", path, "--force").exit_code == 0
    assert (root / "docs" / "README.md").read_text() == "mine"
    assert sorted(p.name for p in (root / "docs").iterdir()) == ["README.md", "evidence_card.md"]


def test_other_weights_and_changed_configs(case: tuple[Path, Path, dict[str, Any]]) -> None:
    root, path, _ = case
    with (root / "configs" / "inference.json").open("a") as stream:
        stream.write("\n")
    assert run(root, "--summary", path).exit_code == 0
    text = (root / "docs" / "evidence_card.md").read_text()
    assert text.count("(changed since)") == 1
    with (root / "models" / "model.pt").open("ab") as stream:
        stream.write(b"x")
    done = run(root, "--summary", path, "--force")
    assert done.exit_code == 6
    assert "another models/model.pt" in done.stderr
    assert (root / "docs" / "evidence_card.md").read_text() == text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no summary of a benchmark"),
        ("[]", "no summary of a benchmark"),
        ('{"format": "camlime explanation 1"}', "its format is 'camlime explanation 1'"),
        ('{"format": "camlime benchmark 1", "bundle": 3}', "'bundle' is not an object"),
        ('{"format": "camlime benchmark 1"}', "'bundle'"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_summary(case: tuple[Path, Path, dict[str, Any]], content: str | None, said: str) -> None:
    root, path, _ = case
    path.unlink() if content is None else path.write_text(content)
    done = run(root, "--summary", path)
    assert done.exit_code == 6
    assert said in done.stderr
    assert not (root / "docs").exists()


@pytest.mark.parametrize("missing", ["results", "comparisons", "non_inferiority", "margin", "created", "cohort"])
def test_a_summary_with_a_hole(case: tuple[Path, Path, dict[str, Any]], missing: str) -> None:
    root, path, summary = case
    del summary[missing]
    path.write_text(json.dumps(summary))
    done = run(root, "--summary", path)
    assert done.exit_code == 6
    assert f"'{missing}'" in done.stderr
    assert not (root / "docs").exists()


def test_links_and_paths_that_lead_out(case: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    root, path, summary = case
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "docs").symlink_to(outside)
    assert run(root, "--summary", path, "--force").exit_code == 5
    (root / "docs").unlink()
    summary["bundle"]["sha256"]["../out/summary.json"] = "0"
    path.write_text(json.dumps(summary))
    assert run(root, "--summary", path).exit_code == 5
    assert not list(outside.iterdir())
