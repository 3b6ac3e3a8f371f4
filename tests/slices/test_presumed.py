"""What a bundle presumes: no slice has a class until somebody says that it shows it, on any surface."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from support.slice_cases import DIRECTIONS, lesion_volume
from typer.testing import CliRunner

import camlime
from camlime import sequence
from camlime.bundle import Bundle
from camlime.bundle.settings import ExplainSettings
from camlime.bundle.slice_settings import SequenceSettings
from camlime.cli.app import app
from camlime.cli.console import Console, Printer
from camlime.errors import BundleError, RequestError
from camlime.report import write_report
from camlime.report.content import classes
from camlime.scan import Scan, save_volume
from camlime.sequence import sequence_doubts
from camlime.slices import classify_slices, cut, explain_slices
from camlime.slices.loading import load_slices
from camlime.slices.page.writing import write_slices_report

POINT = np.array([12.0, -9.0, 31.0])
T1 = SequenceSettings("a T1 series with contrast", "MR", ("t1",), ("flair", "t2", "pre"), contrast=True)
runner = CliRunner()


def with_settings(bundle_path, folder, **settings):
    """A copy of the bundle with more in its explain.json; what is ``None`` is left out of it."""
    path = folder / "bundle"
    shutil.copytree(bundle_path, path)
    file = path / "configs" / "explain.json"
    record = json.loads(file.read_text())
    record["explain"] = {key: value for key, value in {**record["explain"], **settings}.items() if value is not None}
    file.write_text(json.dumps(record))
    return path


@pytest.fixture(scope="module")
def presuming_path(bundle_path, tmp_path_factory):
    return with_settings(bundle_path, tmp_path_factory.mktemp("presuming"), presumes="a lesion")


@pytest.fixture(scope="module")
def presuming(presuming_path):
    return Bundle.load(presuming_path)


@pytest.fixture(scope="module")
def scan():
    """A volume with a slice of noise and a constant one."""
    scan = lesion_volume(DIRECTIONS["LPS"], POINT)
    values = scan.image.numpy().copy()
    values[..., 5] = 0.7
    values[..., 6] = np.random.default_rng(0).random(values.shape[1:3])
    return Scan.from_array(values, scan.affine)


def run(*words):
    return runner.invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_without_a_word_from_anybody_no_slice_has_a_class(bundle, presuming, scan):
    plain = classify_slices(scan, bundle, device="cpu")
    found = classify_slices(scan, presuming, device="cpu")
    assert all(answer.class_name is None for answer in found.answers)
    for before, after in zip(plain.answers, found.answers, strict=True):
        assert after.flag == (before.flag or "unconfirmed")
        assert after.class_if_present == before.class_name
        assert after.probabilities == before.probabilities
        assert after.speaks == (before.flag is None)
    assert [found[n].reason for n in (5, 6, 12)] == [
        "one value everywhere",
        "outside the training domain (unlike the training data)",
        "nobody said that it shows a lesion",
    ]
    assert any("cannot tell where there is none" in text for text in found.warnings)
    assert not any("cannot tell where there is none" in text for text in plain.warnings)
    assert not any("slices are unlike" in text for text in found.warnings)


def test_what_was_seen_has_a_class_and_what_is_outside_has_none_all_the_same(presuming, scan):
    found = classify_slices(scan, presuming, seen=[5, 6, 12, 13], device="cpu")
    assert [answer.index for answer in found.answers if answer.class_name is not None] == [12, 13]
    assert [found[n].flag for n in (5, 6, 12, 14)] == ["constant", "out of domain", None, "unconfirmed"]
    assert set(found.strongest(100)) == {12, 13}
    assert set(found.unconfirmed) == {answer.index for answer in found.in_domain} - {12, 13}
    with pytest.raises(RequestError, match="slices are 0 to 31"):
        classify_slices(scan, presuming, seen=[60], device="cpu")


def test_unconfirmed_slices_are_explained_by_what_they_would_be(bundle, presuming, scan):
    plain = classify_slices(scan, bundle, device="cpu")
    assert classify_slices(scan, presuming, device="cpu").strongest(3) == plain.strongest(3)


@pytest.fixture(scope="module")
def explained(presuming, scan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("presumed") / "out"
    settings = {"methods": ["gradcam"], "evidence_budget": 0, "device": "cpu", "class_name": "bright"}
    result = explain_slices(scan, presuming, seen=[12, 13], explained=[13, 20], **settings)
    result.save(folder)
    return folder


def test_files_say_what_has_a_class_and_what_would_have_one(explained):
    record = json.loads((explained / "explanation.json").read_text())
    rows = {row["index"]: row for row in record["slices"]}
    assert (record["presumes"], record["seen"]) == ("a lesion", [12, 13])
    assert rows[12]["class"] in ("dark", "bright") and rows[12]["class_if_present"] is None
    assert rows[20]["class"] is None and rows[20]["class_if_present"] in ("dark", "bright")
    assert rows[20]["flag"] == "unconfirmed" and sum(rows[20]["probabilities"].values()) == pytest.approx(1)
    assert rows[6]["class"] is rows[6]["class_if_present"] is rows[6]["probabilities"] is None
    states = np.asarray(nib.load(explained / "slices.nii.gz").dataobj)[0, 0]
    assert [int(states[n]) for n in (5, 6, 12, 13, 20, 21)] == [0, 0, 1, 2, 2, 3]
    for n, confirmed in ((13, True), (20, False)):
        own = json.loads((explained / f"slice_{n:03d}" / "explanation.json").read_text())["prediction"]
        assert own["presumes"] == "a lesion"
        assert own["unconfirmed"] is not confirmed
        assert (own["class"] is not None) is confirmed
        assert camlime.Explanation.load(explained / f"slice_{n:03d}").prediction.has_class is confirmed
    found = load_slices(explained)
    assert found.presumes == "a lesion"
    assert [(a.flag, a.reason, a.class_name, a.class_if_present) for a in found.answers] == [
        (row["flag"], row["reason"], row["class"], row["class_if_present"]) for row in record["slices"]
    ]


def test_a_strangers_words_are_only_text(bundle_path, scan, tmp_path):
    words = r"$\frac{$ <b onclick=x>_[bold]a"
    with pytest.raises(BundleError, match="presumes"):
        Bundle.load(with_settings(bundle_path, tmp_path / "refused", presumes=words + "\u202e"))
    bundle = Bundle.load(with_settings(bundle_path, tmp_path, presumes=words))
    result = explain_slices(scan, bundle, methods=["gradcam"], evidence_budget=0, device="cpu", count=1)
    result.save(tmp_path / "out")
    page = write_slices_report(load_slices(tmp_path / "out"), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b onclick" not in page
    assert "&lt;b onclick=x&gt;_[bold]a is there" in page


def test_a_slice_of_its_own_says_that_nobody_confirmed_it(explained, tmp_path):
    own = camlime.Explanation.load(explained / "slice_020")
    printed = io.StringIO()
    Printer(Console(file=printed, width=200)).explanation(own)
    assert "no class unless the image shows a lesion, in which case:" in printed.getvalue()
    page = write_report(own, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No class: nobody said that the image shows a lesion" in page
    assert "<title>Evidence for bright" in page
    confirmed = camlime.Explanation.load(explained / "slice_013")
    assert "<title>Why bright?" in write_report(confirmed, tmp_path / "report.html").read_text(encoding="utf-8")
    assert not any(row.predicted for row in classes(own)[0])
    assert any(row.predicted for row in classes(confirmed)[0])


@pytest.mark.parametrize("part", ["", "slice_013"])
def test_a_folder_that_says_nothing_of_what_is_presumed_is_of_another_version(explained, tmp_path, part):
    """Not damaged: nothing happened to the file. Of all slices, and of one that was explained."""
    shutil.copytree(explained, tmp_path / "out")
    file = tmp_path / "out" / part / "explanation.json"
    record = json.loads(file.read_text())
    del (record["prediction"] if part else record)["presumes"]
    file.write_text(json.dumps(record))
    done = run("report", tmp_path / "out")
    assert done.exit_code == camlime.errors.OutputError.exit_code
    said = " ".join(done.output.split())
    assert "was written by another version of camlime: it lacks 'presumes'" in said
    assert "explain the scan again" in said
    assert "damaged" not in said and "KeyError" not in said


def test_the_page_words_every_slice_by_its_state(explained, tmp_path):
    page = write_slices_report(load_slices(explained), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "have one only if a lesion is there, which nobody said" in page
    unconfirmed = sum(answer.flag == "unconfirmed" for answer in load_slices(explained).answers)
    assert page.count('<span class="hint">if a lesion is there:</span>') == unconfirmed > 20
    assert page.count("A class only if a lesion is there") == 1
    assert 'class="unconfirmed"' in page
    assert "outside the training domain (unlike the training data): no class" in page


@pytest.mark.parametrize(("words", "with_class"), [((), 0), (("--seen", "12:14"), 3), (("--slices", "12:14"), 0)])
def test_the_command_prints_and_tells_it(presuming, presuming_path, tmp_path, scan, words, with_class):
    in_domain = len(classify_slices(scan, presuming, device="cpu").in_domain)
    file = save_volume(tmp_path / "head.nii.gz", scan.image[0].numpy(), scan.affine)
    printed = run("classify", file, "--bundle", presuming_path, *words).stdout
    conditional = printed.count("no class unless a lesion is there: ")
    assert conditional == (3 if "--slices" in words else in_domain) - with_class
    assert ("--seen A:B" in printed) is ("--seen" not in words)
    record = json.loads(run("classify", file, "--bundle", presuming_path, *words, "--json").stdout)
    assert sum(row["class"] is not None for row in record["slices"]) == with_class
    assert record["presumes"] == "a lesion"


def test_who_picks_a_slice_has_seen_it(presuming_path, tmp_path, scan):
    file = save_volume(tmp_path / "head.nii.gz", scan.image[0].numpy(), scan.affine)
    record = json.loads(run("classify", file, "--bundle", presuming_path, "--slice", 12, "--json").stdout)
    assert record["slices"][0]["class"] in ("dark", "bright")
    settings = ("--methods", "gradcam", "--evidence-budget", 0)
    done = run("explain", file, "--bundle", presuming_path, "--slice", 12, *settings, "--output", tmp_path / "out")
    assert done.exit_code == 0
    rows = json.loads((tmp_path / "out" / "explanation.json").read_text())["slices"]
    assert [row["index"] for row in rows if row["class"] is not None] == [12]


def test_who_picks_a_slice_may_have_seen_others_too(presuming_path, tmp_path, scan):
    file = save_volume(tmp_path / "head.nii.gz", scan.image[0].numpy(), scan.affine)
    settings = ("--methods", "gradcam", "--evidence-budget", 0, "--output", tmp_path / "out")
    run("explain", file, "--bundle", presuming_path, "--slice", 12, "--seen", "14:15", *settings)
    record = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert record["seen"] == [12, 14, 15]
    assert [row["index"] for row in record["slices"] if row["class"] is not None] == [12, 14, 15]
    assert [row["index"] for row in record["slices"] if "explanation" in row] == [12]


def test_where_all_that_was_seen_is_outside_nothing_is_explained_and_that_is_said(presuming, scan):
    result = explain_slices(scan, presuming, seen=[5, 6], methods=["gradcam"], evidence_budget=0, device="cpu")
    assert not result.explanations
    assert result.warnings[-1] == "every slice of those that were seen is flagged: none is explained"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--seen", "9:3"), 2, "--seen '9:3' is not A:B"),
        (("--seen", "30:99"), 6, "slices are 0 to 31"),
        (("--seen", "3:4", "--slices", "8:9"), 6, "(3 to 4) is among those asked about (8 to 9)"),
    ],
)
def test_what_cannot_have_been_seen_is_said(presuming_path, volume_file, tmp_path, words, code, said):
    done = run("explain", volume_file, "--bundle", presuming_path, "--output", tmp_path / "out", *words)
    assert done.exit_code == code, done.output
    assert said in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


def test_nothing_is_seen_for_a_bundle_that_presumes_nothing(bundle_path, volume_file):
    done = run("classify", volume_file, "--bundle", bundle_path, "--seen", "3:4")
    assert done.exit_code == 6
    assert "presumes nothing" in " ".join(done.output.split())


@pytest.mark.parametrize("value", ["", "  ", "a\nlesion", "x" * 61, 3, ["a lesion"]])
def test_a_presumption_is_one_short_line(value):
    with pytest.raises(BundleError, match=r"explain::presumes"):
        ExplainSettings.parse({"presumes": value})


# A single picture


@pytest.fixture(scope="module")
def pictures(scan):
    stack = cut(scan)
    return {"outside": stack.slice(6), "inside": stack.slice(12)}


def test_a_picture_on_the_command_line_was_chosen_by_somebody(presuming_path, tmp_path):
    scan = lesion_volume(DIRECTIONS["LPS"], POINT)
    file = save_volume(tmp_path / "picture.nii.gz", scan.image[0, :, :, 12:13].numpy(), scan.affine)
    record = json.loads(run("classify", file, "--bundle", presuming_path, "--json").stdout)
    (row,) = record["slices"]
    assert (row["flag"], row["class_if_present"]) == (None, None)
    assert row["class"] in ("dark", "bright")
    printed = run("classify", file, "--bundle", presuming_path).stdout
    assert "no class unless" not in printed
    assert "a class presumes that the slice shows a lesion" in printed


def test_no_sentence_of_the_evidence_claims_a_probability_that_the_slice_has_not(presuming, scan, tmp_path):
    settings = {"methods": ["lime"], "budget": 64, "evidence_budget": 300, "device": "cpu", "class_name": "bright"}
    result = explain_slices(scan, presuming, seen=[13], explained=[6, 13, 20], **settings)
    result.save(tmp_path / "out")
    said = {n: found.evidence["lime"].sentence for n, found in result.explanations.items()}
    assert said[13].startswith("Removing the strongest 5 % ") and "p(bright)" in said[13]
    assert said[20].startswith("If the image shows a lesion, removing the strongest 5 % ") and "p(bright)" in said[20]
    assert said[6].startswith("Removing the strongest 5 % ") and "the log-odds of bright from " in said[6]
    assert "p(" not in said[6]
    write_slices_report(load_slices(tmp_path / "out"), tmp_path / "page.html")
    page = " ".join((tmp_path / "page.html").read_text().split())
    assert "A class presumes that the slice shows a lesion, as somebody said." in page
    assert "If the image shows a lesion, removing the strongest 5 %" in page
    assert page.count("p(bright)") == 2  # of slices 13 and 20
    for n, sentence in said.items():
        saved = json.loads((tmp_path / f"out/slice_{n:03d}/explanation.json").read_text())
        assert saved["evidence"]["lime"]["sentence"] == sentence


@pytest.mark.parametrize("seen", [np.arange(12, 14), range(12, 14), (12, 13)])
def test_slices_that_were_seen_may_be_any_whole_numbers(presuming, scan, seen):
    assert classify_slices(scan, presuming, seen=seen, device="cpu").seen == (12, 13)


@pytest.mark.parametrize("seen", [12, "12:14", [12.0, 13.5], ["a"]])
def test_what_names_no_slices_is_refused(presuming, scan, seen):
    with pytest.raises(RequestError, match="names no slices"):
        classify_slices(scan, presuming, seen=seen, device="cpu")


def test_who_saw_it_nowhere_confirms_nothing(presuming, scan):
    found = classify_slices(scan, presuming, seen=[], device="cpu")
    assert found.seen == () and all(answer.class_name is None for answer in found.answers)


def test_the_slice_to_explain_has_to_be_among_those_asked_about(presuming_path, tmp_path):
    result = run(
        "explain", tmp_path, "--bundle", presuming_path, "--output", tmp_path, "--slice", 20, "--slices", "0:9"
    )
    assert result.exit_code == 2 and "--slice 20 is not among --slices 0:9" in " ".join(result.stderr.split())


@pytest.mark.parametrize("kind", ["outside", "inside"])
def test_a_picture_has_a_class_with_its_condition_or_none(presuming, presuming_path, pictures, tmp_path, kind):
    outside = kind == "outside"
    settings = {"methods": ["gradcam"], "evidence_budget": 0, "device": "cpu"}
    found = camlime.explain(pictures[kind], presuming, **settings)
    assert bool(found.prediction.no_class) is outside
    printed = io.StringIO()
    Printer(Console(file=printed, width=200)).explanation(replace(found, warnings=()))
    page = write_report(found, tmp_path / "report.html").read_text(encoding="utf-8")
    for text in (printed.getvalue(), page):
        assert ("utside the training domain (unlike the training data): no class" in text) is outside
    percent = f"{100 * max(found.prediction.probabilities.values()):.1f} %"
    assert (percent in printed.getvalue()) is not outside
    assert ('<table class="classes">' in page) is not outside
    assert ("presuming that the image shows a lesion" in printed.getvalue()) is not outside
    assert ("Presuming that the image shows a lesion, the model gives" in page) is not outside
    found.save(tmp_path / "out")
    told = json.loads((tmp_path / "out" / "explanation.json").read_text())["prediction"]
    assert (told["class"] is None) is outside
    assert told["presumes"] == "a lesion"
    assert told["outside_because"] == ("unlike the training data" if outside else None)
    assert camlime.Explanation.load(tmp_path / "out").prediction == found.prediction
    assert camlime.classify(pictures[kind], presuming, device="cpu").no_class == found.prediction.no_class


@pytest.mark.parametrize("kind", ["outside", "inside"])
def test_what_if_speaks_of_no_class_where_there_is_none(presuming, pictures, kind):
    outside = kind == "outside"
    image = pictures[kind]
    mask = np.zeros(image.shape, dtype=bool)
    mask[10:20, 10:20] = True
    answers = camlime.what_if(image, presuming, mask=mask, device="cpu")
    told = answers.as_dict()
    for answer in (told["untouched"], *told["answers"]):
        assert (answer["class"] is None) is outside
        assert answer["presumes"] == "a lesion"
        assert answer["outside_because"] == ("unlike the training data" if outside else None)
    assert any("unlike the training data" in text for text in told["warnings"]) is outside


@pytest.mark.parametrize("kind", ["outside", "inside"])
def test_what_if_prints_no_class_where_there_is_none(presuming_path, pictures, tmp_path, kind):
    image = pictures[kind].image.numpy()[0][..., None]
    file = save_volume(tmp_path / "slice.nii.gz", image, np.diag([1.5, 1.5, 3.0, 1.0]))
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[10:20, 10:20] = 1
    marked = save_volume(tmp_path / "mask.nii.gz", mask, np.diag([1.5, 1.5, 3.0, 1.0]))
    done = run("what-if", file, "--bundle", presuming_path, "--mask", marked)
    assert done.exit_code == 0, done.output
    _head, *rows = done.stdout.splitlines()
    assert rows[0].strip() == (
        "outside the training domain (unlike the training data): no class"
        if kind == "outside"
        else "presuming that the image shows a lesion:"
    )
    assert any("log-odds" in row for row in rows)
    assert any(" % " in row for row in rows) is (kind == "inside")


def test_a_bundle_is_described_with_what_it_presumes(bundle_path, presuming_path):
    assert "presumes:      that an image shows a lesion\n" in run("check-bundle", presuming_path).stdout
    assert "presumes:      nothing\n" in run("check-bundle", bundle_path).stdout
    assert json.loads(run("check-bundle", presuming_path, "--json").stdout)["presumes"] == "a lesion"


# Another sequence


@pytest.mark.parametrize(
    ("described", "more", "contradicts"),
    [
        ("Ax T1 post", {}, None),
        ("Ax T1 SPGR", {"0018|0010": "Gadavist"}, None),
        ("Ax T1", {}, None),  # no contrast agent is named: left unsaid, not contradicted
        ("Localizer", {"0018|0010": "Gadavist"}, None),
        ("T1 PRESAT POST GD", {}, None),
        ("T1 pre", {}, "'T1 pre' speaks of pre"),
        ("FLAIR post", {}, "'FLAIR post' speaks of flair"),
        ("Ax T2 FLAIR pre", {}, "'Ax T2 FLAIR pre' speaks of flair, t2, pre"),
        ("Ax T1 post", {"0008|0060": "CT"}, "the modality is CT, not MR"),
        ("Ax T1 post", {"0008|0060": ""}, None),  # taken away with the patient's name
        ("AX T1 MPRAGE PREOP", {"0018|0010": "Gadavist"}, None),  # words within words
        ("T1 compressed sense", {"0018|0010": "Gadavist"}, None),
        ("t2flair", {"0018|0010": "Gadavist"}, "'t2flair' speaks of flair, t2"),
        ("FLAIRreg", {"0018|0010": "Gadavist"}, "'FLAIRreg' speaks of flair"),
        ("T1 pre and dynamic", {"0018|0010": "Gadavist"}, None),  # an agent was given
        ("T1 post", {"0018|1030": "BRAIN W/WO: T1 T2 FLAIR DWI"}, None),  # the protocol of the whole examination
        ("Ax", {"0018|1030": "T2 FLAIR"}, None),
    ],
)
def test_a_header_contradicts_by_what_it_says_and_not_by_what_it_leaves_out(monkeypatch, described, more, contradicts):
    monkeypatch.setattr(sequence, "_tags", lambda scan: {"0008|103e": described, "0008|0060": "MR", **more})
    found = sequence_doubts(lesion_volume(DIRECTIONS["RAS"]), T1)
    assert found.contradiction == contradicts
    assert contradicts is None or any(contradicts in text for text in found.warnings)
    assert bool(found.warnings) == (described not in ("Ax T1 post", "Ax T1 SPGR") or bool(contradicts))
    assert found.contradiction is not None or not any("the modality" in text for text in found.warnings)


def test_a_header_that_came_with_an_array_speaks_for_its_slices_and_crops_too():
    made = lesion_volume(DIRECTIONS["RAS"])
    header = {
        "modality": "MR",
        "series_description": "Ax FLAIR",
        "protocol_name": "Brain",
        "contrast_agent": "Gadavist",
    }
    scan = Scan.from_array(made.image, made.affine, source="t2", header=header)
    for part in (scan, scan.crop(POINT, 20), cut(scan, "axial").slice(12)):
        assert sequence_doubts(part, T1).contradiction == "'Ax FLAIR' speaks of flair"
    agreed = replace(scan, header={**header, "series_description": "Ax T1"})
    assert sequence_doubts(agreed, T1) == sequence.SequenceDoubts()


def test_a_file_name_never_contradicts(tmp_path):
    scan = lesion_volume(DIRECTIONS["RAS"])
    found = sequence_doubts(Scan.read(save_volume(tmp_path / "t2.nii.gz", scan.image[0].numpy(), scan.affine)), T1)
    assert found.contradiction is None
    assert "'t2.nii.gz' speaks of t2" in found.warnings[0]


def test_a_series_that_contradicts_has_no_class_whoever_saw_what(bundle_path, tmp_path, scan, monkeypatch):
    expected = {"name": T1.name, "unwanted": list(T1.unwanted)}
    bundle = Bundle.load(with_settings(bundle_path, tmp_path, presumes="a lesion", sequence=expected))
    monkeypatch.setattr(sequence, "_tags", lambda scan: {"0008|103e": "Ax FLAIR"})
    found = classify_slices(scan, bundle, seen=[12], device="cpu")
    assert {answer.flag for answer in found.answers} == {"constant", "other sequence"}
    assert found[12].no_class == "outside the training domain ('Ax FLAIR' speaks of flair): no class"
    assert not found.strongest(3)
    result = explain_slices(scan, bundle, explained=[12], methods=["gradcam"], evidence_budget=0, device="cpu")
    assert result.explanations[12].prediction.outside_because == "'Ax FLAIR' speaks of flair"


@pytest.mark.parametrize("kind", ["outside", "inside"])
def test_classify_says_what_speaks_against_an_answer(bundle_path, pictures, tmp_path, kind):
    """Of a bundle that says nothing of slices, whose answer to one image is not told slice by slice."""
    expected = {"name": "a T1 series", "unwanted": ["flair"]}
    path = with_settings(bundle_path, tmp_path, presumes="a lesion", sequence=expected, slices=None)
    image = pictures[kind].image.numpy()[0][..., None]
    file = save_volume(tmp_path / "flair.nii.gz", image, np.diag([1.5, 1.5, 3.0, 1.0]))
    done = run("classify", file, "--bundle", path)
    told = json.loads(run("classify", file, "--bundle", path, "--json").stdout)
    *unlike, series, padding = told["warnings"]
    assert "of what the network sees is padding" in padding
    assert series == "this may not be a T1 series, which the bundle was trained on: 'flair.nii.gz' speaks of flair"
    assert [text.startswith("the image is unlike the training data (score") for text in unlike] == (
        [True] if kind == "outside" else []
    )
    for warning in told["warnings"]:
        assert f"warning: {warning}" in " ".join(done.stderr.split())
        assert warning not in done.stdout
