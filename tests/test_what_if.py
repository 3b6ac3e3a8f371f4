"""What-if answers, against the same voxels masked by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.blob_bundle import write_blob_bundle

import camlime
from camlime.errors import RegionsError, RequestError
from camlime.masking import make_baseline
from camlime.phantom import blob
from camlime.pipeline import Prepared, classifier_of
from camlime.scan import Scan, save_volume

SHAPE = (16, 14, 12)


@pytest.fixture(scope="module")
def scan() -> Scan:
    made = blob(
        SHAPE, spacing=(1.5, 1.5, 2.0), origin=(-30.0, 2.0, -72.0), center_ras=(-20.0, 12.0, -60.0), radius_mm=4.0
    )
    return Scan.from_array(made.image.numpy() / 1000, made.affine)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> camlime.Bundle:
    root = tmp_path_factory.mktemp("bundle") / "ball"
    return camlime.Bundle.load(write_blob_bundle(root, SHAPE, explain={"baseline": {"name": "constant", "value": 0.2}}))


@pytest.fixture
def ball(scan: Scan) -> np.ndarray:
    return (scan.image[0].numpy() > 0.5).astype(np.int16) * 4


def ask(scan: Scan, bundle: camlime.Bundle, mask: Any, **settings: Any) -> camlime.WhatIf:
    return camlime.what_if(scan, bundle, mask=mask, device="cpu", **settings)


def test_answers_are_those_to_images_masked_by_hand(scan: Scan, bundle: camlime.Bundle, ball: np.ndarray) -> None:
    result = ask(scan, bundle, ball, label=4)
    given, inside = bundle.prepare(scan), torch.from_numpy(ball > 0)
    asked = [(answer.baseline, answer.kept) for answer in result.answers]
    assert asked == [(name, kept) for name in ("constant", "mean", "median", "blur") for kept in ("rest", "part")]
    rows = [(given.image, result.untouched, result.untouched_log_odds)]
    for answer in result.answers:
        baseline = make_baseline(answer.baseline, given, **({"value": 0.2} if answer.baseline == "constant" else {}))
        image = given.image.clone()
        removed = inside if answer.kept == "rest" else ~inside
        image[:, removed] = baseline[:, removed]
        rows.append((image, answer.prediction, answer.log_odds))
    for image, prediction, log_odds in rows:
        with torch.no_grad():
            logits = bundle.network(image[None])[0].double()
        for i, name in enumerate(bundle.class_names):
            assert prediction.logits[name] == pytest.approx(float(logits[i]), abs=1e-5)
            assert prediction.probabilities[name] == pytest.approx(float(logits.softmax(0)[i]), abs=1e-5)
            assert log_odds[name] == pytest.approx(float(logits[i] - logits[1 - i]), abs=1e-5)
    assert result.voxels == int(inside.sum()) and result.share == pytest.approx(float(inside.double().mean()))
    without = next(a for a in result.answers if (a.baseline, a.kept) == ("constant", "rest"))
    assert without.log_odds["bright"] < result.untouched_log_odds["bright"]


def test_a_file_may_cover_a_part_of_the_scan_and_hold_several_labels(
    tmp_path: Path, scan: Scan, bundle: camlime.Bundle, ball: np.ndarray
) -> None:
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in np.nonzero(ball))
    affine = scan.affine.copy()
    affine[:3, 3] = scan.voxel_to_ras([part.start for part in box])
    labels = np.where(ball[box] > 0, 4, 2).astype(np.int16)
    path = save_volume(tmp_path / "ball.nii.gz", labels, affine)
    assert ask(scan, bundle, path, label=4).answers == ask(scan, bundle, ball > 0).answers
    assert ask(scan, bundle, path).voxels == labels.size


def test_what_cannot_be_asked_is_said(tmp_path: Path, scan: Scan, bundle: camlime.Bundle, ball: np.ndarray) -> None:
    with pytest.raises(RegionsError, match=r"no label 3.*labels: 4"):
        ask(scan, bundle, ball, label=3)
    with pytest.raises(RegionsError, match="no label tumour"):
        ask(scan, bundle, save_volume(tmp_path / "a.nii.gz", ball, scan.affine), label="tumour")
    with pytest.raises(RegionsError, match="no label inside"):
        ask(scan, bundle, np.zeros(SHAPE, dtype=bool))
    with pytest.raises(RegionsError, match="marks all"):
        ask(scan, bundle, np.ones(SHAPE, dtype=bool))
    with pytest.raises(RegionsError, match="shape"):
        ask(scan, bundle, np.ones((3, 3, 3), dtype=bool))
    with pytest.raises(RegionsError, match="float"):
        ask(scan, bundle, ball / 2)
    with pytest.raises(RegionsError, match="another voxel grid"):
        ask(scan, bundle, save_volume(tmp_path / "b.nii.gz", ball, scan.affine @ np.diag([1.1, 1, 1, 1])))
    with pytest.raises(RegionsError, match="cannot be read"):
        ask(scan, bundle, tmp_path / "missing.nii.gz")
    with pytest.raises(RequestError):
        ask(scan, bundle, ball, point=(500.0, 0.0, 0.0))


def test_on_the_command_line(
    tmp_path: Path, scan: Scan, bundle: camlime.Bundle, ball: np.ndarray, camlime_command: Callable[..., Any]
) -> None:
    image = save_volume(tmp_path / "scan.nii.gz", scan.image[0].numpy(), scan.affine)
    mask = save_volume(tmp_path / "mask.nii.gz", ball, scan.affine)
    where = ("what-if", image, "--bundle", bundle.root, "--mask", mask, "--device", "cpu")
    record = json.loads(camlime_command(*where, "--label", "4", "--json").stdout)
    result = ask(scan, bundle, ball, label=4)
    assert [a["kept"] for a in record["answers"]] == ["rest", "part"] * 4
    for read, made in zip(record["answers"], result.answers, strict=True):
        assert read["probabilities"] == pytest.approx(made.prediction.probabilities, abs=1e-5)
    said = camlime_command(*where)
    assert said.exit_code == 0
    assert "untouched" in said.stdout and "without it, replaced by constant" in said.stdout
    wrong = camlime_command(*where, "--label", "9")
    assert wrong.exit_code == RegionsError.exit_code and "labels: 4" in wrong.stderr


@pytest.fixture
def camlime_command() -> Callable[..., Any]:
    from typer.testing import CliRunner

    from camlime.cli.app import app

    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_baselines_that_a_bundle_scores_with_are_asked_about(scan: Scan, tmp_path: Path, ball: np.ndarray) -> None:
    score = ["mean", {"name": "blur", "sigma_mm": 3.0}, {"name": "constant", "value": 0.7}]
    explain = {"baseline": {"name": "constant", "value": 0.2}, "score_baselines": score}
    bundle = camlime.Bundle.load(write_blob_bundle(tmp_path / "ball", SHAPE, explain=explain))
    result = ask(scan, bundle, ball)
    names = ["constant", "mean", "blur", "constant (value 0.7)", "median"]
    assert [answer.baseline for answer in result.answers[::2]] == names
    given, inside = bundle.prepare(scan), torch.from_numpy(ball > 0)
    image = torch.where(inside, torch.full_like(given.image, 0.7), given.image)
    with torch.no_grad():
        by_hand = torch.softmax(bundle.network(image[None]), dim=1)[0, 1]
    assert result.answers[6].prediction.probabilities["bright"] == pytest.approx(float(by_hand), abs=1e-5)


def test_the_model_that_was_made_before_is_the_one_that_is_asked(
    scan: Scan, bundle: camlime.Bundle, ball: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be on another device than the one that would be chosen now."""
    ready = Prepared(bundle.prepare(scan), classifier_of(bundle, device="cpu"))
    expected = camlime.what_if(scan, bundle, mask=ball)
    monkeypatch.setattr("camlime.whatif.classifier_of", lambda *_, **__: pytest.fail("another model was made"))
    before = ready.classifier.passes.forward
    assert camlime.what_if(scan, bundle, mask=ball, prepared=ready).as_dict() == expected.as_dict()
    assert ready.classifier.passes.forward > before
