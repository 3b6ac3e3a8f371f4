"""``camlime randomisation``: the record that a bundle carries is what the cases' own checks say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.benchmark_cases import SHAPE, write_scan
from support.blob_bundle import write_blob_bundle
from typer.testing import CliRunner

import camlime
from camlime.authoring.randomisation import draw
from camlime.benchmark.cohort import CohortCase
from camlime.cli.app import app
from camlime.evidence.bundle_record import FILE
from camlime.evidence.record_file import read_record, usable_record

METHODS = "gradcam,eigencam,lime,fused,occlusion"


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["randomisation", *[str(a) for a in arguments], "--device", "cpu"])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blob_bundle(tmp_path_factory.mktemp("bundle") / "ball", SHAPE)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    lines = ["case,patient,image"]
    for i, place in enumerate([(2, 3, 1), (8, 9, 3), (4, 8, 2), (10, 2, 4), (6, 6, 2), (9, 5, 1)]):
        write_scan(folder, f"scan{i}", place)
        lines.append(f"c{i},p{i},scan{i}.nii.gz")
    (folder / "cases.csv").write_text("\n".join(lines))
    return folder / "cases.csv"


@pytest.fixture(scope="module")
def written(bundle: Path, cases: Path) -> Path:
    done = run(bundle, "--cases", cases, "--methods", METHODS, "--budget", 128, "--seed", 3)
    assert done.exit_code == 0, done.output
    assert str(bundle / FILE) in done.stdout.replace("\n", "")
    assert "6 of 6  c5" in done.stderr and "lime: 0." in done.stderr and "of 6" in done.stderr
    return bundle


def test_the_record_has_what_the_cases_own_checks_say(written: Path, cases: Path) -> None:
    loaded = camlime.Bundle.load(written)
    record, problem = usable_record(written, loaded.fingerprint)
    assert record is not None, problem
    assert [check.method for check in record.checks] == METHODS.split(",")
    assert record.patients == 6 and record.seed == 3 and all(check.cases == 6 for check in record.checks)
    for i in (0, 4):
        settings: dict[str, Any] = {"budget": 128, "seed": 3, "device": "cpu", "batch_size": 16, "segmentations": 1}
        scan = cases.parent / f"scan{i}.nii.gz"
        found = camlime.explain(scan, loaded, methods=METHODS.split(","), evidence_budget=10**4, **settings)
        for check in record.checks:
            own = found.evidence[check.method]
            assert own.randomisation is not None and own.bundle_record == check
            assert own.randomisation.similarity == pytest.approx(check.similarities[i], abs=1e-3), check.method


def test_the_same_cases_make_the_same_record(written: Path, cases: Path) -> None:
    before = (written / FILE).read_bytes()
    options = ("--cases", cases, "--methods", METHODS, "--budget", 128, "--seed", 3)
    refused = run(written, *options)
    assert refused.exit_code == 8 and "--force" in refused.stderr and (written / FILE).read_bytes() == before
    assert run(written, *options, "--force", "--quiet").exit_code == 0
    assert (written / FILE).read_bytes() == before
    assert json.loads(before)["files"]["models/model.pt"]


def test_what_cannot_be_recorded_is_refused_and_nothing_is_written(tmp_path: Path, cases: Path) -> None:
    root = write_blob_bundle(tmp_path / "ball", SHAPE)
    few = cases.parent / "few.csv"
    few.write_text("\n".join(cases.read_text().splitlines()[:5]))
    for options, code, why in (
        (("--cases", few), 6, "4 patient(s) make no record"),
        (("--cases", cases, "--methods", "mean"), 6, "no record of mean"),
        (("--cases", cases, "--methods", "magic"), 6, "no method 'magic'"),
        (("--cases", tmp_path / "none.csv"), 6, "cannot be read"),
        (("--cases", cases, "--patients", 3), 2, ""),
    ):
        done = run(root, *options)
        assert done.exit_code == code and why in done.stderr.replace("\n", " "), done.output
        assert "Traceback" not in done.output
    assert run(tmp_path / "nowhere", "--cases", cases).exit_code == 4
    assert [path.name for path in (root / "models").iterdir()] == ["model.pt"]
    assert read_record(root) is None


def test_patients_are_drawn_by_the_seed_one_case_each() -> None:
    cases = [CohortCase(f"{p}{i}", p, Path("x")) for p in "abcdefghijkl" for i in range(3)]
    one = draw(cases, 6, 0)
    assert len({line.patient for line in one}) == len(one) == 6
    assert one == draw(list(reversed(cases)), 6, 0) != draw(cases, 6, 1)
    assert len(draw(cases, 100, 0)) == 12
