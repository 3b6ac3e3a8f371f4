"""A bundle's record of the randomisation check: read strictly, bound to the weights, and never a support by itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evidence.conftest import Toy, as_attribution, gradient_map, make_toy
from matplotlib.text import Text
from support.blob_bundle import write_blob_bundle

import camlime
from camlime.attribution import Attribution
from camlime.bundle.shipped import find_bundle
from camlime.errors import BundleError, UntrustedBundleError
from camlime.evidence import Evidence, Examination
from camlime.evidence.bundle_record import FILE, BundleRecord, RecordedCheck, settings_of
from camlime.evidence.plan import Plan
from camlime.evidence.record_file import MAX_BYTES, read_record, usable_record
from camlime.overview import compose
from camlime.overview.words import doubt_in_words, evidence_in_words
from camlime.phantom import blob
from camlime.scan import Scan

PASSED = RecordedCheck("lime", {"lime_mode": "default"}, (0.1, 0.2, 0.05, 0.3, 0.6))
FAILED = RecordedCheck("lime", {"lime_mode": "default"}, (0.7, 0.8, 0.55, 0.3, 0.6))
HASH = "0123456789abcdef" * 4
SHAPE = (16, 14, 12)


def record(**changes: Any) -> dict[str, Any]:
    return {**BundleRecord({"models/model.pt": HASH}, (PASSED,), 5, 0, "0.2.0").as_dict(), **changes}


def written(root: Path, content: object) -> Path:
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    (root / FILE).write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def test_to_the_file_and_back(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    found = read_record(written(tmp_path, record()))
    assert found is not None and found.as_dict() == record()
    assert found.find("lime", {"lime_mode": "default"}) == PASSED
    assert found.find("lime", {"lime_mode": "stock"}) is None and found.find("fused", {}) is None
    assert (PASSED.survived, PASSED.fails, FAILED.survived, FAILED.fails) == (1, False, 4, True)
    assert not replace(FAILED, similarities=(0.7,) * 4).fails  # of too few cases


def of_method(**changes: Any) -> dict[str, Any]:
    return record(methods=[{**PASSED.as_dict(), **changes}])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no record"),
        ("[1, 2]", "does not hold just"),
        (b"\xff\xfe{}", "no record"),
        ("[" * 100_000, "no record"),
        (record(more=1), "does not hold just"),
        ({k: v for k, v in record().items() if k != "seed"}, "does not hold just"),
        (json.dumps(record())[:-1] + ', "seed": 0}', "twice"),
        (record(format="camlime randomisation record 2"), "format"),
        (record(check=2), "check"),
        (record(check=True), "check"),
        (record(threshold=0.9), "threshold"),
        (record(copies=1), "copies"),
        (record(seed=-1), "seed"),
        (record(seed=10**40), "too long"),
        (record(patients=0), "patients"),
        (record(patients=5.0), "patients"),
        (record(camlime="0.2\n\x1b[31m"), "camlime"),
        (record(camlime="x" * 201), "camlime"),
        (record(files={}), "files"),
        (record(files={"models/model.pt": "abc"}), "sha256"),
        (record(files={"models/model.pt": HASH.upper()}), "sha256"),
        (record(files={"a\u202eb": HASH}), "file's name"),
        (record(methods=[]), "methods"),
        (record(methods=[PASSED.as_dict()] * 2), "twice with the same settings"),
        (record(methods=[PASSED.as_dict()] * 51), "methods"),
        (of_method(method="magic"), "method that there is not"),
        (of_method(method="mean"), "method that there is not"),
        (of_method(similarities=[]), "similarities"),
        (of_method(similarities=[0.1] * 1001), "similarities"),
        (of_method(similarities=[0.1, 0.2, 0.05, 0.3, 1.6]), "between 0 and 1"),
        (of_method(similarities=[0.1, 0.2, 0.05, 0.3, True]), "between 0 and 1"),
        (of_method(similarities=[0.1, 0.2, 0.05, 0.3, "0.6"]), "between 0 and 1"),
        (of_method(similarities=[0.1, 0.2, 0.05, 0.3, float("nan")]), "NaN is no number"),
        (json.dumps(record()).replace("0.05", "1e999"), "between 0 and 1"),
        (of_method(survived=0), "'survived' of lime does not follow"),
        (of_method(median=0.0), "'median' of lime does not follow"),
        (of_method(cases=50), "'cases' of lime does not follow"),
        (of_method(settings={"seed": 0}), "settings"),
        (of_method(settings={"target_layer": ["a"]}), "target_layer"),
        (of_method(settings={"baseline": {}}), "baseline"),
        (of_method(settings={"baseline": {"name": {"a": 1}}}), "baseline"),
        ("{" + " " * MAX_BYTES + "}", "larger than"),
    ],
)
def test_what_is_no_record_is_refused_and_only_warned_of(tmp_path: Path, content: object, why: str) -> None:
    written(tmp_path, content)
    with pytest.raises(BundleError, match=why) as caught:
        read_record(tmp_path)
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()
    found, problem = usable_record(tmp_path, {"models/model.pt": HASH})
    assert found is None and problem.startswith(f"the bundle's {FILE} is not used: ")


def test_a_link_out_of_the_bundle_is_not_followed(tmp_path: Path) -> None:
    inside = written(tmp_path / "bundle", record())
    outside = shutil.move(inside / FILE, tmp_path / "elsewhere.json")
    (inside / FILE).symlink_to(outside)
    with pytest.raises(UntrustedBundleError):
        read_record(inside)
    assert usable_record(inside, {"models/model.pt": HASH})[0] is None


def test_only_the_same_weights_and_configs_will_do(tmp_path: Path) -> None:
    written(tmp_path, record(files={"models/model.pt": HASH, "configs/inference.json": HASH}))
    same = {"models/model.pt": HASH, "configs/inference.json": HASH, "configs/metadata.json": "e" * 64}
    assert usable_record(tmp_path, same)[0] is not None
    for other in (
        {**same, "models/model.pt": HASH[::-1]},
        {**same, "configs/inference.json": HASH[::-1]},
        {**same, "configs/explain.json": HASH},
        {name: same[name] for name in same if name != "configs/inference.json"},
        {},
    ):
        found, problem = usable_record(tmp_path, other)
        assert found is None and "made with other files" in problem


def examined(recorded: RecordedCheck | None, missing: int, attribution: Attribution | None = None) -> Evidence:
    """The evidence with ``missing`` passes less than a verdict takes."""
    toy: Toy = make_toy()
    given = attribution or gradient_map(toy.case, 0)
    plan = Plan.within(Plan.within(10**6, given, 2).needed - missing, given, 2)
    return Examination(toy.case, toy.baselines(), 0).evidence(given, gradient_map, plan, recorded)


@pytest.mark.parametrize("missing", [1, 10**4])
def test_a_record_alone_never_supports(missing: int) -> None:
    without, with_record = examined(None, missing), examined(PASSED, missing)
    assert without.supported is None and with_record.supported is None
    assert with_record.randomisation is None and with_record.bundle_record == PASSED
    assert "from the bundle's record on 5 other cases" in with_record.reason
    assert "passed the randomisation check on 4" in with_record.reason
    assert "not measured on this case" in with_record.reason and "not measured" not in without.reason
    assert ("better than 95 % of 19 copies" in with_record.reason) == (missing == 1)


@pytest.mark.parametrize("missing", [1, 10**4])
def test_a_record_can_fail_a_map_that_was_not_checked_itself(missing: int) -> None:
    found = examined(FAILED, missing)
    assert found.supported is False and "from the bundle's record on 5 other cases" in found.reason
    assert "by the bundle's record" in doubt_in_words(found)
    assert examined(replace(FAILED, similarities=(0.9,) * 4), missing).supported is None


@pytest.mark.parametrize("recorded", [PASSED, FAILED])
def test_the_cases_own_check_is_what_judges_where_it_was_run(recorded: RecordedCheck) -> None:
    found = examined(recorded, 0)
    assert found.randomisation is not None and found.supported is True and "record" not in found.reason
    (beside,) = [said for said in evidence_in_words(found) if "by the bundle's record" in said]
    assert f"{recorded.median:.2f} at the median" in beside
    assert replace(found, bundle_record=None, seconds=0) == replace(examined(None, 0), seconds=0)


def test_half_a_verdict_can_fail_a_map_without_any_record() -> None:
    toy = make_toy()
    opposite = as_attribution(toy.case, -gradient_map(toy.case, 0).values)
    found = examined(None, 1, opposite)
    assert found.supported is False and found.randomisation is None and "wrong place" in found.reason


def test_to_json_and_back_with_a_record() -> None:
    found = examined(PASSED, 1)
    stored = json.loads(json.dumps(found.as_dict()))
    assert Evidence.from_dict(stored) == found
    assert stored["bundle_record"]["cases"] == 5 and stored["bundle_record"]["survived"] == 1
    del stored["bundle_record"]  # as earlier versions wrote it
    assert Evidence.from_dict(stored) == replace(found, bundle_record=None)


@pytest.fixture
def explained(tmp_path: Path) -> Callable[..., tuple[camlime.Explanation, Path]]:
    """Explains a case of a small bundle with a record of gradcam, lime and fused, changed as wanted."""
    root = write_blob_bundle(tmp_path / "ball", SHAPE)
    made = blob(SHAPE, center_ras=(4.0, 4.0, 4.0), radius_mm=3.0)
    scan = Scan.from_array(made.image.numpy() / 1000, made.affine)

    def explain(change: Callable[[dict[str, Any]], None] = lambda whole: None, **settings: Any) -> Any:
        bundle = camlime.Bundle.load(root)
        few: dict[str, Any] = {"n_regions": 20, "budget": 128, "device": "cpu", "batch_size": 32}
        first = camlime.explain(scan, bundle, **few, evidence_budget=0)
        baseline = first.provenance["baseline"]
        recipe = {"lime_mode": "default", "window_mm": None}
        checks = [
            replace(PASSED, method=name, settings=settings_of(attribution, recipe, baseline))
            for name, attribution in first.attributions.items()
        ]
        files = {name: digest for name, digest in bundle.fingerprint.items() if name != "configs/metadata.json"}
        whole = BundleRecord(files, tuple(checks), 5, 0, "0.2.0").as_dict()
        change(whole)
        written(root, whole)
        return camlime.explain(scan, bundle, **{**few, **settings}), root

    return explain


def test_an_explanation_says_what_the_record_says(explained: Any, tmp_path: Path) -> None:
    found, _ = explained(evidence_budget=800)
    evidence = found.evidence["fused"]
    assert evidence.supported is None and evidence.bundle_record is not None
    assert {one.method for e in found.evidence.values() if (one := e.bundle_record)} == {"fused", "gradcam", "lime"}
    texts = " ".join(text.get_text() for text in compose(found).figure.findobj(Text))
    assert "bundle's record on 5 other cases" in texts
    found.save(tmp_path / "out")
    assert camlime.Explanation.load(tmp_path / "out").evidence == found.evidence
    assert not any("randomisation.json" in warning for warning in found.warnings)
    other, _ = explained(evidence_budget=800, baseline="mean")
    assert other.evidence["fused"].bundle_record is None  # not what was recorded
    assert other.evidence["gradcam"].bundle_record is not None  # a CAM has no baseline


@pytest.mark.parametrize("evidence_budget", [200, 800])
def test_below_the_passes_of_cams_it_is_said_that_the_record_is_of_maps_with_cams(
    explained: Any, evidence_budget: int
) -> None:
    few, _ = explained(budget=48, evidence_budget=evidence_budget)
    assert few.evidence["fused"].bundle_record is None  # what was recorded is another map's
    assert few.evidence["fused"].reason.endswith(
        "; the bundle's record is of fused with CAMs, from 64 passes on, and says nothing of this map"
    )
    assert few.evidence["lime"].bundle_record is not None and "nothing of this map" not in few.evidence["lime"].reason
    judged, _ = explained(budget=48, evidence_budget=4000)
    assert judged.evidence["fused"].randomisation is not None  # its own check judges it, and no record is missed
    assert "record" not in judged.evidence["fused"].reason


def test_why_a_record_does_not_fit_is_what_differs(explained: Any) -> None:
    other, _ = explained(evidence_budget=800, baseline="mean")
    for name in ("fused", "lime"):
        assert (
            f"the bundle's record is of {name} with another baseline, and says nothing" in other.evidence[name].reason
        )
    assert "nothing of this map" not in other.evidence["gradcam"].reason

    def without_cams(whole: dict[str, Any]) -> None:
        (fused,) = [one for one in whole["methods"] if one["method"] == "fused"]
        fused["settings"]["target_layer"] = None

    changed, _ = explained(without_cams, evidence_budget=800)
    assert "the bundle's record is of fused without CAMs, and says nothing" in changed.evidence["fused"].reason


def test_of_several_records_the_nearest_is_said_and_of_none_nothing() -> None:
    settings = {"target_layer": "a", "baseline": {"name": "blur"}}
    checks = [
        RecordedCheck("fused", {**settings, **other}, (0.1,) * 5)
        for other in ({"target_layer": "b", "baseline": {"name": "mean"}}, {"target_layer": "c"})
    ]
    both = BundleRecord({"models/model.pt": HASH}, tuple(checks), 5, 0, "0.2.0")
    assert "with another target layer, and says nothing" in both.unfit("fused", settings)
    first = replace(both, checks=(checks[0],))
    assert "with another target layer and baseline, and says nothing" in first.unfit("fused", settings)
    assert both.unfit("fused", checks[1].settings) == "" and both.unfit("lime", {"lime_mode": "default"}) == ""


def test_a_record_of_other_weights_is_ignored_with_a_warning(explained: Any) -> None:
    def other_weights(whole: dict[str, Any]) -> None:
        whole["files"]["models/model.pt"] = HASH

    found, _ = explained(other_weights, evidence_budget=800)
    assert all(evidence.bundle_record is None for evidence in found.evidence.values())
    (warning,) = [warning for warning in found.warnings if FILE in warning]
    assert "made with other files" in warning and "models/model.pt" in warning


@pytest.mark.parametrize("name", ["lung_nodule_ct", "brain_tumor_mr", "colorectal_histology"])
def test_every_shipped_bundle_has_a_record_that_fits(name: str) -> None:
    bundle = camlime.Bundle.load(find_bundle(name))
    found, problem = usable_record(bundle.root, bundle.fingerprint)
    assert found is not None, problem
    assert {"gradcam", "lime", "fused"} <= {check.method for check in found.checks}
    assert all(check.cases >= 5 and np.isfinite(check.median) for check in found.checks)
