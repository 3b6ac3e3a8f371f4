"""The page in a real browser: from disk, under its own policy, whatever names say, by keyboard as well."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.browser import Opened, needs_browser
from support.report_case import HOSTILE, picture_explanation, volume_explanation

from camlime.explanation import Explanation
from camlime.report import write_report

pytestmark = needs_browser


@pytest.fixture(scope="module")
def opened(open_file: Callable[..., Opened], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Opened]:
    def open_page(explanation: Explanation, *, script: bool = True, **options: Any) -> Opened:
        file = write_report(explanation, tmp_path_factory.mktemp("page") / "report.html", **options)
        return open_file(file, script=script)

    return open_page


@pytest.fixture(scope="module")
def shared(opened: Any) -> Opened:
    """A page that many tests look at; each sets what it relies on."""
    return opened(volume_explanation(scan="Doe_Jane_1950.nii.gz"))


def test_it_opens_from_disk_asks_nothing_and_breaks_no_rule(shared: Opened) -> None:
    found = shared
    assert [url for url in found.requests if url.startswith("file:")] == [found.page.url]
    assert found.outward() == []
    assert found.complaints == []
    policy = found.page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    assert "malignant" in found.text("h1")
    assert found.page.locator("#no-viewer").is_hidden()


def test_the_viewer_shows_what_is_at_the_crosshair(shared: Opened) -> None:
    explanation, found = volume_explanation(), shared
    found.page.select_option("#map", "fused")
    row = max(explanation.region_table(), key=lambda r: abs(r["weight"]))
    found.page.click(f"#regions .goto[data-id='{row['id']}']")
    assert found.position() == pytest.approx(row["centre_ras_mm"], abs=1.0)
    assert found.text("#region") == "Region 3"
    value = float(re.search(r"[+−]?[\d.]+", found.text("#value"))[0].replace("−", "-"))  # type: ignore[index]
    index = np.linalg.inv(explanation.input.affine) @ [*row["centre_ras_mm"], 1.0]
    assert value == pytest.approx(
        explanation.attributions["fused"].values[tuple(np.rint(index[:3]).astype(int))], abs=0.01
    )
    assert found.page.locator("tr.here").inner_text().startswith("Region 3")


def test_in_an_oblique_scan_positions_are_the_patients(opened: Any) -> None:
    explanation = volume_explanation(turned=(25.0, -14.0, 9.0))
    found = opened(explanation)
    row = max(explanation.region_table(), key=lambda r: abs(r["weight"]))
    found.page.click(f"#regions .goto[data-id='{row['id']}']")
    assert found.position() == pytest.approx(row["centre_ras_mm"], abs=0.06)
    assert found.text("#region") == "Region 3"
    found.page.focus("#canvas")
    for key, column in (("ArrowRight", 0), ("ArrowDown", 1), ("PageUp", 2)):
        found.page.click("#home")
        found.page.focus("#canvas")
        before = found.position()
        found.page.keyboard.press(key)
        moved = np.subtract(found.position(), before)
        np.testing.assert_allclose(np.abs(moved), np.abs(explanation.input.affine[:3, column]), atol=0.11)


def test_the_maps_colours_opacity_and_threshold_change_the_picture(shared: Opened) -> None:
    found = shared
    found.page.select_option("#map", "fused")
    found.page.select_option("#view", "axial")
    found.page.click("#home")
    colourful = lambda pixels: int((np.ptp(pixels.astype(int), axis=-1) > 40).sum())  # noqa: E731
    before = colourful(found.canvas_colours())
    found.page.evaluate("document.getElementById('threshold').value = 95")
    found.page.dispatch_event("#threshold", "input")
    narrowed = colourful(found.canvas_colours())
    found.page.select_option("#map", "")
    plain = colourful(found.canvas_colours())
    assert before > 2 * narrowed > 0 or narrowed > plain
    assert plain < narrowed < before
    found.page.select_option("#map", "levels")
    found.page.locator("#legend", has_text="Strong evidence for").wait_for()  # the volume is read first
    levels = colourful(found.canvas_colours())
    assert levels > 2 * plain
    found.page.evaluate("document.getElementById('opacity').value = 0")
    found.page.dispatch_event("#opacity", "input")
    assert colourful(found.canvas_colours()) < plain + 0.2 * (levels - plain)  # what is left is the crosshair


def test_the_keyboard_moves_the_crosshair_and_reaches_every_control(shared: Opened) -> None:
    found = shared
    found.page.click("#home")
    found.page.select_option("#map", "fused")  # a threshold can be set
    found.page.focus("#canvas")
    before = found.position()
    found.page.keyboard.press("PageUp")
    found.page.keyboard.press("Shift+ArrowLeft")
    after = found.position()
    assert after[2] > before[2] and after[0] > before[0]
    reached = set()
    for _ in range(14):
        found.page.keyboard.press("Tab")
        reached.add(found.page.evaluate("document.activeElement.id"))
    assert {"map", "view", "opacity", "threshold", "level", "width", "voxels", "home"} <= reached


def test_every_view_draws(shared: Opened) -> None:
    found = shared
    for view in found.page.eval_on_selector_all("#view option", "all => all.map(o => o.value)"):
        found.page.select_option("#view", view)
        assert found.canvas_colours().max() > 100, view
    assert found.complaints == []


@pytest.mark.parametrize("name", [HOSTILE[1], HOSTILE[-1]])
def test_hostile_names_are_only_text(opened: Any, name: str) -> None:
    explanation = volume_explanation(class_name=name, region_names=HOSTILE, bundle="".join(HOSTILE), scan=name)
    named = dict.fromkeys(HOSTILE, 0.01)
    prediction = dataclasses.replace(explanation.prediction, probabilities={**named, name: 0.9})
    warnings = HOSTILE
    found = opened(dataclasses.replace(explanation, prediction=prediction, warnings=warnings), identified=True)
    assert found.complaints == [] and found.outward() == []
    assert found.page.evaluate("window.broken === undefined")
    assert [found.page.locator(kind).count() for kind in ("img", "style", "iframe", "object")] == [1, 1, 0, 0]
    kinds = found.page.eval_on_selector_all("script", "all => all.map(script => script.type)")
    assert kinds.count("module") == 2 and set(kinds) == {"module", "application/json", "application/octet-stream"}
    shown = "".join(c if c.isprintable() else " " for c in name)
    assert found.text("h1 em").split() == shown.split()
    for one in HOSTILE[:-1]:
        assert one in found.text(".classes") and one in found.text("#regions") and one in found.text(".warnings")
    assert not {"\u202e", "\x1b", "\x00"} & set(found.page.content())


def test_no_name_of_a_file_unless_asked_for(shared: Opened, tmp_path: Path) -> None:
    assert "Doe_Jane" not in shared.page.content() and "1.2.840.99" not in shared.page.content()
    told = write_report(volume_explanation(scan="Doe_Jane_1950.nii.gz"), tmp_path / "report.html", identified=True)
    assert {"Doe_Jane_1950.nii.gz", "1.2.840.99"} <= set(re.findall(r"<dd>(.*?)</dd>", told.read_text()))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(shared: Opened, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    shared.page.emulate_media(color_scheme=scheme)
    results = axe.Axe().run(shared.page)
    assert results.violations_count == 0, results.generate_report()


def test_pictures_lie_as_they_were_stored(opened: Any) -> None:
    found = opened(picture_explanation())
    assert found.page.locator("#view").count() == 0
    assert found.text("#at") == "x 24, y 4"
    found.page.select_option("#map", "")
    pixels = found.canvas_colours().astype(int)
    red = (
        np.argwhere((pixels[..., 0] > 150) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90)).mean(axis=0)
        / pixels.shape[:2]
    )
    assert red[0] < 0.4 and red[1] > 0.6  # the red spot is at the upper right, as in the file


def test_without_javascript_the_picture_is_there(opened: Any) -> None:
    found = opened(volume_explanation(), script=False)
    assert found.page.locator("#no-viewer").is_visible() and found.page.locator("#stage").is_hidden()
    assert found.page.locator(".picture img").is_visible()
    assert "Supported" in found.page.content()


def test_it_prints(shared: Opened, tmp_path: Path) -> None:
    found = shared
    found.page.emulate_media(media="print")
    assert found.page.locator(".viewer").is_hidden()
    assert found.page.locator(".picture img").is_visible()
    assert found.page.pdf(path=tmp_path / "page.pdf")[:5] == b"%PDF-"
