"""Evidence as part of an explanation: measured, saved, loaded, printed and drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence.conftest import gradient_map, make_toy
from matplotlib.text import Text
from support.blob_bundle import write_blob_bundle

import camlime
from camlime.cli.console import stdout
from camlime.errors import RequestError
from camlime.evidence import Evidence, measure
from camlime.overview import compose
from camlime.phantom import blob
from camlime.scan import Scan

SHAPE = (16, 14, 12)


@pytest.fixture(scope="module")
def scan() -> Scan:
    made = blob(SHAPE, center_ras=(4.0, 4.0, 4.0), radius_mm=3.0)
    return Scan.from_array(made.image.numpy() / 1000, made.affine)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> camlime.Bundle:
    return camlime.Bundle.load(write_blob_bundle(tmp_path_factory.mktemp("bundle") / "ball", SHAPE))


def explain(scan: Scan, bundle: camlime.Bundle, **settings: Any) -> camlime.Explanation:
    few = {"n_regions": 20, "budget": 128, "device": "cpu", "batch_size": 32, "class_name": "bright"}
    return camlime.explain(scan, bundle, **{**few, **settings})


@pytest.fixture(scope="module")
def explanation(scan: Scan, bundle: camlime.Bundle) -> camlime.Explanation:
    return explain(scan, bundle)


def test_every_map_is_examined_the_first_one_first(explanation: camlime.Explanation, tmp_path: Path) -> None:
    assert list(explanation.evidence) == ["fused", "gradcam", "lime"]
    evidence = explanation.evidence["fused"]
    assert evidence.supported is True, evidence.reason
    assert evidence.seconds > 0 and "p(bright)" in evidence.sentence
    assert set(evidence.baselines) == {"blur", "mean"}  # explained with a constant
    untouched = explanation.prediction.probabilities["bright"]
    for test in evidence.baselines.values():
        assert test.curves.most_first.probability[0] == pytest.approx(untouched, abs=1e-5)
    explanation.save(tmp_path)
    assert camlime.Explanation.load(tmp_path).evidence == explanation.evidence


def test_a_second_run_that_is_too_small_for_its_segmentations_costs_only_itself(
    scan: Scan, bundle: camlime.Bundle
) -> None:
    """The first of 40 segmentations had 12 passes, and LIME is not made with so few."""
    found = explain(scan, bundle, methods=["lime"], budget=512, segmentations=40, evidence_budget=1330)
    evidence = found.evidence["lime"]
    assert found.complete and evidence.supported is not None and evidence.repeatability is None


@pytest.mark.parametrize("method", ["lime", "fused"])
def test_only_the_segmentation_that_is_compared_is_run_again(scan: Scan, bundle: camlime.Bundle, method: str) -> None:
    found = explain(scan, bundle, methods=[method], budget=257, segmentations=4, evidence_budget=3000)
    shown, evidence = found.attributions[method], found.evidence[method]
    passes = {"lime": 2 * (257 // 8), "fused": 19 + 2 * ((257 - 19) // 8)}
    assert shown.parameters["passes_of_weights"] == passes[method]
    assert evidence.repeatability is not None and evidence.repeatability.of_the_map
    assert 0 <= passes[method] - evidence.repeatability.passes_each <= 1  # pairs of passes do not fill an odd number


def test_evidence_does_not_change_the_maps_or_their_passes(
    explanation: camlime.Explanation, scan: Scan, bundle: camlime.Bundle
) -> None:
    without = explain(scan, bundle, evidence_budget=0)
    assert not without.evidence
    for name, attribution in without.attributions.items():
        assert (attribution.values == explanation.attributions[name].values).all()
        assert attribution.forward_passes == explanation.attributions[name].forward_passes


@pytest.mark.parametrize("methods", [["lime", "gradcam"], ["gradcam"], ["mean"]])
def test_other_maps_are_examined_where_there_is_no_fused(
    scan: Scan, bundle: camlime.Bundle, methods: list[str]
) -> None:
    evidence = explain(scan, bundle, methods=methods, evidence_budget=1500, segmentations=1).evidence
    assert list(evidence) == methods
    assert evidence[methods[0]].randomisation is not None
    assert (evidence[methods[0]].repeatability is not None) == (methods[0] == "lime")


def test_a_negative_budget_is_refused(scan: Scan, bundle: camlime.Bundle) -> None:
    with pytest.raises(RequestError, match="no budget"):
        explain(scan, bundle, evidence_budget=-1)


def test_cancelled_evidence_is_left_out_and_said(scan: Scan, bundle: camlime.Bundle) -> None:
    heard: list[str] = []
    listeners = camlime.Listeners(
        on_progress=lambda progress: heard.append(progress.method), cancelled=lambda: "evidence" in heard
    )
    cut = explain(scan, bundle, methods=["gradcam"], listeners=listeners)
    assert not cut.complete and not cut.evidence and "gradcam" in cut.attributions
    assert any("evidence was stopped" in warning for warning in cut.warnings)


@pytest.mark.parametrize(("supported", "mark"), [(True, "supported"), (False, "NOT SUPPORTED"), (None, "not judged")])
def test_the_verdict_is_drawn_and_printed(
    explanation: camlime.Explanation, capsys: pytest.CaptureFixture[str], supported: bool | None, mark: str
) -> None:
    evidence = replace(explanation.evidence["fused"], supported=supported)
    shown = replace(explanation, evidence={"fused": evidence})
    page = compose(shown)
    texts = [text.get_text() for text in page.figure.findobj(Text)]
    assert f"Fused: {mark}" in texts
    assert mark in texts  # beside the map itself, too
    assert "Removing the strongest 5 %" in " ".join(texts)
    lines = sum(len(axes.lines) > 3 for axes in page.figure.axes)
    assert lines >= 4  # deletion and insertion with both baselines
    stdout().explanation(shown)
    said = capsys.readouterr().out
    assert f"evidence: {mark}" in said and evidence.sentence in said and "passes in" in said


def test_evidence_without_curves_is_drawn(explanation: camlime.Explanation) -> None:
    toy = make_toy()
    none: Evidence = measure(toy.case, gradient_map(toy.case, 0), gradient_map, toy.baselines(), budget=1)
    assert compose(replace(explanation, evidence={"fused": none})).height < compose(explanation).height
