"""The report page of slices: what it says, what it marks, and that others' names are only text."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from support.browser import needs_browser
from support.report_case import HOSTILE
from typer.testing import CliRunner

from camlime.cli.app import app
from camlime.errors import OutputError, RequestError
from camlime.levels import case_levels
from camlime.scan import Scan
from camlime.slices import explain_slices
from camlime.slices.loading import holds_slices, load_slices
from camlime.slices.page import write_slices_report
from camlime.slices.page.chart import chart_of
from camlime.slices.page.volumes import slices_volumes
from camlime.slices.page.writing import render

runner = CliRunner()
SETTINGS = {"methods": ["gradcam", "lime"], "n_regions": 8, "budget": 32, "evidence_budget": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def scan(volume_file):
    return Scan.read(volume_file)


@pytest.fixture(scope="module")
def result(scan, bundle):
    return explain_slices(scan, bundle, plane="axial", count=2, class_name="bright", **SETTINGS)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    out = tmp_path_factory.mktemp("slices") / "out"
    result.save(out)
    return out


@pytest.fixture(scope="module")
def found(folder):
    return load_slices(folder)


@pytest.fixture(scope="module")
def marked(found):
    """As found, with two neighbours flagged, whatever the bundle said of them."""
    free = [answer.index for answer in found.answers if answer.index not in found.explanations][3:5]
    answers = tuple(
        dataclasses.replace(answer, flag="out of domain", reason="outside (unlike)", probabilities={})
        if answer.index in free
        else answer
        for answer in found.answers
    )
    return free, dataclasses.replace(found, answers=answers)


def test_what_was_saved_comes_back(result, found, folder):
    assert holds_slices(folder) and not holds_slices(folder / "slice_000")
    assert [a.index for a in found.answers] == [a.index for a in result.answers.answers]
    for saved, answer in zip(found.answers, result.answers.answers, strict=True):
        assert (saved.flag, saved.class_name, saved.score) == (answer.flag, answer.class_name, answer.score)
        np.testing.assert_allclose(saved.centre_ras, answer.centre_ras)
    np.testing.assert_allclose(found.affine, result.affine, atol=1e-5)
    np.testing.assert_allclose(found.images, result.images(), atol=1e-6)
    assert list(found.explanations) == list(result.explanations)
    values = found.stack(lambda one: one.attributions["lime"].values)
    np.testing.assert_allclose(values, result.values("lime"), atol=1e-6)
    assert found.point == pytest.approx(tuple(result.strongest_point_ras()))


def test_the_volumes_lie_where_the_slices_are(found, marked, scan):
    free, flagged = marked
    volumes = slices_volumes(flagged, scan)
    keys = [one.key for one in volumes.overlays]
    assert keys == ["lime", "gradcam", "levels", "agreement", "answered", "lime_std"]
    assert volumes.in_patient and volumes.scan.title == "Scan"
    states = values_of(volumes.overlays[keys.index("answered")])
    numbers = values_of(volumes.regions)
    for answer in flagged.answers:
        k = answer.index - flagged.first
        state = 1 if answer.index in free else 3 if answer.index in flagged.explanations else 2
        if answer.flag is None or answer.index in free:
            assert (states[..., k] == state).all()
        assert (numbers[..., k] == answer.index + 1).all()
    levels = values_of(volumes.overlays[keys.index("levels")])
    for n, explanation in found.explanations.items():
        np.testing.assert_array_equal(levels[..., n - found.first], case_levels(explanation).evidence)
    assert not levels[..., [k for k in range(found.shape[2]) if k + found.first not in found.explanations]].any()


def values_of(volume):
    import base64
    import gzip

    import nibabel as nib

    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(volume.data))).dataobj)


def test_the_chart_has_no_line_through_flagged_slices(marked):
    free, flagged = marked
    chart = chart_of(flagged)
    unanswered = [answer.index for answer in flagged.answers if answer.flag is not None]
    assert len(chart.flagged) == len(unanswered) >= len(free)
    for line in chart.lines:
        assert len(line.dots) == len(flagged.answers) - len(unanswered)
        for left, wide in chart.flagged:
            assert not any(left < x < left + wide for x, _ in line.dots)
            for path in line.paths:
                at = [float(point.split(",")[0]) for point in path.split()]
                assert not (at[0] < left < at[-1])


def test_another_scan_is_refused(found, scan):
    other = Scan.from_array(scan.image.numpy(), scan.affine, source=scan.source.with_name("other.nii.gz"))
    with pytest.raises(RequestError, match="not the scan"):
        slices_volumes(found, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["slices"][0].update(index=999),
        lambda record: record["grid"].update(shape=[1, 2, 3]),
        lambda record: record["grid"].update(affine_ras="x"),
        lambda record: record.update(classes=["unheard of"]),
        lambda record: record.update(slices=[]),
        lambda record: record.update(classes=[]),
        lambda record: [row.update(probabilities={}) for row in record["slices"]],
    ],
)
def test_a_damaged_record_is_said(folder, tmp_path, change):
    shutil.copytree(folder, tmp_path / "out")
    record = json.loads((folder / "explanation.json").read_text())
    change(record)
    (tmp_path / "out" / "explanation.json").write_text(json.dumps(record))
    with pytest.raises(OutputError, match="damaged"):
        load_slices(tmp_path / "out")


def test_no_explained_slice_is_a_page_all_the_same(found):
    bare = dataclasses.replace(found, explanations={}, point=None)
    text = render(bare, scan=None, identified=False, viewer=None)
    assert "<strong>0</strong> are explained" in text and "No class" not in text


def test_the_commands(bundle_path, volume_file, tmp_path):
    out, page = tmp_path / "out", tmp_path / "out" / "report.html"
    words = ["explain", volume_file, "--bundle", bundle_path, "--output", out, "--plane", "axial", "--n-explained", 1]
    words += ["--methods", "gradcam", "--class", "bright", "--evidence-budget", 0, "-q"]
    done = runner.invoke(app, [str(word) for word in [*words, "--report"]], catch_exceptions=False)
    assert done.exit_code == 0 and str(page) in done.stdout.splitlines()
    text = page.read_text()
    assert "Evidence slice by slice" in text and volume_file.name not in text
    done = runner.invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0 and not page.exists()  # it spoke of an explanation that is gone
    for extra in ([], ["--scan", str(volume_file)]):
        done = runner.invoke(app, ["report", str(out), "--identified", *extra], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert f"<dd>{volume_file.name}</dd>" in page.read_text()
    done = runner.invoke(app, ["export", str(out), "--slicer", str(tmp_path / "x.mrb")], catch_exceptions=False)
    assert done.exit_code == 8 and "folder of one slice" in " ".join(done.output.split())


@needs_browser
def test_in_a_browser_a_slice_is_found_and_flags_are_marked(open_file, marked, scan, tmp_path):
    free, flagged = marked
    page = open_file(write_slices_report(flagged, tmp_path / "report.html", scan=scan))
    assert page.complaints == [] and page.outward() == []
    n = next(iter(flagged.explanations))
    page.page.click(f"#regions .goto[data-id='{n + 1}']")
    assert page.text("#region") == f"Slice {n}"
    centre = next(answer.centre_ras for answer in flagged.answers if answer.index == n)
    assert page.position() == pytest.approx(list(centre), abs=0.06)
    assert page.page.locator("tr.here").inner_text().startswith(f"Slice {n}")
    assert page.page.locator(f"tr:has([data-id='{free[0] + 1}'])").inner_text().count("outside (unlike): no class") == 1
    page.page.select_option("#map", "answered")
    page.page.locator("#legend", has_text="Flagged, no class").wait_for()  # the volume is read first
    page.page.click(f"#regions .goto[data-id='{free[0] + 1}']")
    assert page.text("#value") == "Flagged, no class"
    for scheme in ("light", "dark"):
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
        page.page.emulate_media(color_scheme=scheme)
        results = axe.Axe().run(page.page)
        assert results.violations_count == 0, results.generate_report()
    page.page.emulate_media(media="print")
    assert page.page.locator(".viewer").is_hidden() and page.page.locator(".along").is_visible()


@needs_browser
def test_hostile_names_are_only_text(open_file, found, tmp_path):
    names = dict(zip(found.class_names, HOSTILE, strict=False))
    answers = tuple(
        dataclasses.replace(a, flag=HOSTILE[1] if a.index % 5 == 0 and a.index not in found.explanations else a.flag)
        for a in found.answers
    )
    answers = tuple(
        dataclasses.replace(a, probabilities={names[k]: v for k, v in a.probabilities.items()}) for a in answers
    )
    hostile = dataclasses.replace(
        found,
        answers=answers,
        class_names=tuple(names.values()),
        plane=HOSTILE[0],
        warnings=HOSTILE,
        provenance={"bundle": {"name": "".join(HOSTILE)}, "scan": {"name": HOSTILE[2]}},
    )
    page = open_file(write_slices_report(hostile, tmp_path / "report.html", identified=True))
    assert page.complaints == [] and page.outward() == []
    assert page.page.evaluate("window.broken === undefined")
    assert page.page.locator("iframe").count() == 0 and page.page.locator("style").count() == 1
    kinds = page.page.eval_on_selector_all("script", "all => all.map(script => script.type)")
    assert kinds.count("module") == 2
    for one in HOSTILE[:-1]:
        assert one in page.text(".warnings")
    assert not {"\u202e", "\x1b", "\x00"} & set(page.page.content())
