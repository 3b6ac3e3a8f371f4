"""``camlime report``, ``camlime explain --report`` and ``camlime export`` as a user runs them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.dicom_case import explanation_of, write_series
from support.report_case import volume_explanation


def test_explain_writes_the_page_and_a_later_run_takes_it_away(
    camlime: Callable[..., Any], volume: Path, bundle: Path, tmp_path: Path
) -> None:
    few = ("--budget", "32", "--n-regions", "6", "--batch-size", "16", "--device", "cpu", "--evidence-budget", "0")
    run = ("explain", volume, "--bundle", bundle, "--output", tmp_path / "out", *few, "--methods", "lime")
    done = camlime(*run, "--report", "-q")
    assert done.exit_code == 0, done.stderr
    page = tmp_path / "out" / "report.html"
    assert str(page) in done.stdout.splitlines()
    text = page.read_text()
    assert "bright" in text and "ball.nii.gz" not in text and "Content-Security-Policy" in text
    assert camlime(*run, "-q").exit_code == 0
    assert not page.exists()  # it spoke of an explanation that is gone


def test_where_the_page_cannot_be_written_nothing_is(
    camlime: Callable[..., Any], volume: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("camlime.cli.pages.report_text", full)
    quick = (
        "--methods",
        "gradcam",
        "--n-regions",
        "6",
        "--batch-size",
        "16",
        "--device",
        "cpu",
        "--evidence-budget",
        "0",
    )
    done = camlime("explain", volume, "--bundle", bundle, "--output", tmp_path / "out", *quick, "--report")
    assert done.exit_code == 8 and "No space left" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_report_of_a_saved_explanation(camlime: Callable[..., Any], tmp_path: Path) -> None:
    volume_explanation(scan="Doe.nii.gz").save(tmp_path / "out")
    done = camlime("report", tmp_path / "out", "--identified", "--output", tmp_path / "page.html")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "page.html")]
    assert "<dd>Doe.nii.gz</dd>" in (tmp_path / "page.html").read_text()


def test_report_errors_are_sentences(camlime: Callable[..., Any], tmp_path: Path) -> None:
    done = camlime("report", tmp_path)
    assert done.exit_code == 8 and "explanation.json is missing" in done.stderr
    done = camlime("report", tmp_path, "--scan", tmp_path / "none.nii.gz")
    assert done.exit_code == 3 and "does not exist" in done.stderr


def test_export_dicom(camlime: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs highdicom: pip install camlime[dicom]")
    explanation_of("straight").save(tmp_path / "out")
    source = write_series(tmp_path / "source", "straight")
    done = camlime("export", tmp_path / "out", "--dicom", tmp_path / "dicom", "--source", source)
    assert done.exit_code == 0, done.stderr
    assert [Path(line).name for line in done.stdout.splitlines()][:2] == ["segmentation.dcm", "gradcam.dcm"]


def test_export_slicer(camlime: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("slicer_core", reason="needs slicer-core: pip install camlime[slicer]")
    explanation_of("straight").save(tmp_path / "out")
    source = write_series(tmp_path / "source", "straight")
    scene = tmp_path / "scenes" / "case.mrb"
    done = camlime("export", tmp_path / "out", "--slicer", scene, "--source", source)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [str(scene)] and zipfile.is_zipfile(scene)


def test_errors_of_export_slicer_are_sentences(camlime: Callable[..., Any], tmp_path: Path) -> None:
    done = camlime("export", tmp_path, "--slicer", tmp_path / "x.zip")
    assert done.exit_code == 6 and "does not end in .mrb" in done.stderr
    done = camlime("export", tmp_path, "--slicer", tmp_path / "x.mrb", "--source", tmp_path / "none.nii.gz")
    assert done.exit_code == 3 and "does not exist" in done.stderr
    done = camlime("export", tmp_path, "--slicer", tmp_path / "x.mrb")
    assert done.exit_code == 8 and ("explanation.json is missing" in done.stderr or "slicer-core" in done.stderr)
    assert "Traceback" not in done.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [(), ("--dicom", "x"), ("--dicom", "x", "--slicer", "y.mrb")])
def test_export_says_what_it_needs(camlime: Callable[..., Any], tmp_path: Path, options: tuple[str, ...]) -> None:
    done = camlime("export", tmp_path, *options)
    assert done.exit_code == 2 and ("--dicom DIR" in done.stderr or "--source" in done.stderr)
