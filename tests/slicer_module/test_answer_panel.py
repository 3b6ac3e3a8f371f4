"""The verdict in words and colours that cannot be misread."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.slicer_panel import bootstrapped

bootstrapped()

from SlicerXAILib.answer_panel import AnswerPanel  # noqa: E402
from SlicerXAILib.words import (  # noqa: E402
    duration,
    level_meaning,
    level_name,
    percent,
    progress_text,
    quality_entry,
)

from camlime.levels import LEVELS  # noqa: E402


def explanation(supported: bool | None, *, chart: Any = None, **more: Any) -> Any:
    """What the panel asks of an explanation of the scene."""
    summary = {
        "prediction": {"class": "malignant", "probabilities": {"benign": 0.0004, "malignant": 0.9996}},
        "explained_class": "malignant",
        "lead": "fused",
        "complete": True,
        "agreement": {"badge": "conflict", "in_words": "They conflict.", "in_numbers": ""},
        "evidence": {"fused": {"supported": supported, "verdict": "", "in_words": ["Removing takes p down."]}},
        "warnings": ["padding in view"],
        **more,
    }
    return SimpleNamespace(summary=summary, chart=lambda: chart, alive=True, jump_to_strongest=lambda: None)


@pytest.fixture
def shown(desk: Any) -> Any:
    charts: list[Any] = []
    panel = AnswerPanel(desk.ui, charts.append)
    yield SimpleNamespace(panel=panel, ui=desk.ui, charts=charts)
    desk.ui.chartButton.disconnect("clicked()", panel._chart)
    desk.ui.strongestButton.disconnect("clicked()", panel._strongest)
    desk.panel.answer.show(None)


@pytest.mark.parametrize(
    ("supported", "badge", "words"),
    [
        (True, "SUPPORTED", "The model uses what this map shows."),
        (False, "NOT SUPPORTED", "does not use what this map shows: do not rely on it"),
        (None, "NOT JUDGED", "was not tested"),
    ],
)
def test_each_verdict_has_its_badge_and_its_words(shown, supported, badge, words):
    shown.panel.show(explanation(supported))
    assert shown.ui.badgeLabel.text == badge
    assert words in shown.ui.verdictLabel.text
    assert "Removing takes p down." in shown.ui.verdictLabel.text
    assert shown.ui.agreementLabel.text == "conflict"
    assert "CAM and LIME contradict each other" in shown.ui.verdictLabel.text
    assert shown.ui.warningsLabel.text == "padding in view"


def test_the_explained_class_is_bold_and_no_bar_says_all_or_nothing_for_what_is_not(shown):
    shown.panel.show(explanation(True))
    table = shown.ui.predictionTable
    assert [table.item(row, 0).text() for row in range(2)] == ["malignant", "benign"]
    assert [table.item(row, 0).font().bold() for row in range(2)] == [True, False]
    assert [table.cellWidget(row, 1).format for row in range(2)] == ["> 99.9 %", "< 0.1 %"]


def test_what_a_class_presumes_stands_above_the_classes(shown):
    told = {"class": "benign", "probabilities": {"benign": 0.7, "malignant": 0.3}, "presumes": "a nodule"}
    shown.panel.predict({**told, "outside_because": None}, "benign")
    table = shown.ui.predictionTable
    assert table.horizontalHeaderItem(0).text() == "Class, if the image shows a nodule"
    shown.panel.predict({**told, "presumes": None, "outside_because": None}, "benign")
    assert table.horizontalHeaderItem(0).text() == "Class"


def test_what_nobody_confirmed_has_no_class_and_conditional_probabilities(shown):
    told = {"class": "benign", "probabilities": {"benign": 0.7, "malignant": 0.3}, "presumes": "a nodule"}
    table = shown.ui.predictionTable
    shown.panel.predict({**told, "outside_because": None, "unconfirmed": False}, "malignant")
    assert table.horizontalHeaderItem(1).text() == "Probability"
    shown.panel.predict({**told, "class": None, "outside_because": None, "unconfirmed": True}, "malignant")
    assert table.horizontalHeaderItem(1).text() == "Probability, if a nodule is there"
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == [
        "no class unless somebody confirms it",
        "benign",
        "malignant",
    ]
    assert table.cellWidget(0, 1) is None
    assert [table.cellWidget(row, 1).format for row in (1, 2)] == ["70.0 %", "30.0 %"]
    assert [table.item(row, 0).font().bold() for row in range(3)] == [False, False, True]


REMOVAL = {"baseline": "mean", "probabilities": [0.99, 0.4, 0.9], "log_odds": [4.6, -0.4, 2.2]}


@pytest.mark.parametrize(
    ("said", "begins"),
    [
        ({}, "Removing the strongest 5 % of the input by this map takes p(malignant) from 0.99 to 0.40"),
        (
            {"presumes": "a tumour", "unconfirmed": True},
            "If the image shows a tumour, removing the strongest 5 % of the input by this map takes p(malignant) from "
            "0.99 to 0.40",
        ),
        ({"presumes": "a tumour", "outside_because": "unlike the training data"}, None),
    ],
)
def test_the_verdict_speaks_of_a_probability_only_as_far_as_it_holds(shown, said, begins):
    numbers = {"class_name": "malignant", "removal": REMOVAL, "failed": [["mean", 0.1, 0.2]]}
    found = {"supported": False, "verdict": "", "in_words": [], "numbers": numbers}
    told = {"class": None if said else "malignant", "probabilities": {"benign": 0.01, "malignant": 0.99}, **said}
    shown.panel.show(explanation(False, evidence={"fused": found}, prediction=told))
    words = shown.ui.verdictLabel.text
    assert "no better than copies of it in the wrong place (the mean: 0.10 against 0.20)" in words
    assert (begins in words) if begins is not None else ("p(" not in words and "0.99" not in words)


def test_an_image_outside_the_training_domain_has_no_class(shown):
    told = {"class": None, "probabilities": {"benign": 0.01, "malignant": 0.99}, "presumes": None}
    shown.panel.predict({**told, "outside_because": "unlike the training data"}, "malignant")
    table = shown.ui.predictionTable
    assert table.rowCount == 1
    assert table.item(0, 0).text() == "outside the training domain: no class"


@pytest.mark.parametrize("outside", [None, "unlike the training data"])
def test_what_if_compares_no_classes_outside_the_training_domain(desk, outside):
    told = {"probabilities": {"benign": 0.4, "malignant": 0.6}, "outside_because": outside}
    desk.panel.what_if.show({"untouched": told, "answers": [{**told, "baseline": "mean", "kept": "rest"}]})
    table = desk.ui.whatIfTable
    cells = [table.item(row, column).text() for row in range(table.rowCount) for column in range(table.columnCount)]
    assert ("60.0 %" in cells) is (outside is None)
    assert (cells == ["outside the training domain: no class"]) is (outside is not None)
    desk.panel.what_if.clear()


def test_what_speaks_against_the_answers_of_what_if_stands_below_them(desk):
    told = {"probabilities": {"benign": 0.4, "malignant": 0.6}, "outside_because": None}
    answer = {"untouched": told, "answers": [{**told, "baseline": "mean", "kept": "rest"}]}
    label = desk.ui.whatIfWarningsLabel
    assert label.isHidden()
    said = ["this may not be a T1 series, which the bundle was trained on: 'ct' speaks of ct", "<b>no markup</b>"]
    desk.panel.what_if.show({**answer, "warnings": said})
    assert label.text.split("\n") == said and not label.isHidden()
    desk.panel.what_if.show({**answer, "warnings": []})
    assert label.isHidden()
    desk.panel.what_if.show({**answer, "warnings": said})
    desk.panel.what_if.clear()
    assert label.text == "" and label.isHidden()


@pytest.mark.parametrize("presumed", [None, "a nodule"])
def test_what_if_says_what_its_probabilities_presume(desk, presumed):
    told = {"probabilities": {"benign": 0.4, "malignant": 0.6}, "outside_because": None, "presumes": presumed}
    desk.panel.what_if.show({"untouched": told, "answers": [{**told, "baseline": "mean", "kept": "rest"}]})
    heads = [desk.ui.whatIfTable.horizontalHeaderItem(column).text() for column in range(3)]
    assert heads == ["If the image shows a nodule" if presumed else "", "benign", "malignant"]
    desk.panel.what_if.clear()


@pytest.mark.parametrize(
    ("flag", "would_be", "name", "probability"),
    [
        (None, None, "malignant", "70.0 %"),
        ("unconfirmed", "malignant", "malignant, if a nodule is there", "70.0 %"),
        ("out of domain", None, "outside the training domain: no class", ""),
        ("other sequence", None, "another sequence than the training data: no class", ""),
        ("constant", None, "empty", ""),
    ],
)
def test_each_slice_is_worded_by_its_state(shown, flag, would_be, name, probability):
    answer = {
        "index": 4,
        "class": None if flag else "malignant",
        "class_if_present": would_be,
        "probabilities": {"benign": 0.3, "malignant": 0.7} if flag in (None, "unconfirmed") else None,
        "flag": flag,
        "centre_ras_mm": [0.0, 0.0, 4.0],
    }
    shown.panel.hear({"prediction": None, "slices": {"presumes": "a nodule", "answers": [answer]}})
    table = shown.ui.predictionTable
    assert [table.item(0, column).text() for column in range(3)] == ["4", name, probability]


def test_a_class_that_is_shown_before_the_maps_comes_with_its_warnings(shown):
    told = {"class": "benign", "probabilities": {"benign": 0.7, "malignant": 0.3}}
    unlike = (
        "the image is unlike the training data (score 9.1, beyond 4.0, which 5% of their kind exceed): "
        "the answer means nothing"
    )
    under_way = SimpleNamespace(summary={}, chart=lambda: None, alive=True)
    shown.panel.hear({"prediction": told, "explained_class": "benign", "warnings": [unlike, "padding in view"]})
    shown.panel.show(under_way)
    assert shown.ui.warningsLabel.text.split("\n") == [unlike, "padding in view"]
    assert not shown.ui.warningsLabel.isHidden()
    shown.panel.show(explanation(True, warnings=[]))  # the user looks at another one meanwhile
    assert shown.ui.warningsLabel.text == "" and shown.ui.warningsLabel.isHidden()
    shown.panel.show(under_way)
    assert shown.ui.warningsLabel.text.split("\n") == [unlike, "padding in view"]
    assert shown.ui.predictionTable.item(0, 0).text() == "benign"
    shown.panel.hear({"prediction": told, "explained_class": "benign", "warnings": []})
    assert shown.ui.warningsLabel.isHidden()


def test_what_was_cancelled_says_so(shown):
    shown.panel.show(explanation(None, complete=False))
    assert "cancelled" in shown.ui.warningsLabel.text


def test_the_test_is_shown_only_where_there_is_one(shown):
    shown.panel.show(explanation(True))
    assert not shown.ui.chartButton.enabled
    shown.panel.show(explanation(True, chart="the chart"))
    assert shown.ui.chartButton.enabled
    shown.ui.chartButton.click()
    assert shown.charts == ["the chart"]


def test_nothing_to_show_is_an_empty_page(shown):
    shown.panel.show(explanation(True))
    shown.panel.show(None)
    assert shown.ui.predictionTable.rowCount == 0
    assert shown.ui.verdictLabel.text == ""
    assert shown.ui.badgeLabel.isHidden()
    assert not shown.ui.strongestButton.enabled


def test_times_and_probabilities_are_for_people():
    assert [duration(seconds) for seconds in (0.2, 12.4, 89, 600, 7200)] == ["1 s", "12 s", "89 s", "10 min", "2.0 h"]
    assert [percent(p) for p in (0.0, 0.0001, 0.5, 0.9999, 1.0)] == [
        "0.0 %",
        "< 0.1 %",
        "50.0 %",
        "> 99.9 %",
        "100.0 %",
    ]
    assert quality_entry("quick", {"seconds": 3.2, "at_most": False}) == "Quick (about 3 s)"
    assert quality_entry("until_certain", {"seconds": 100, "at_most": True}) == "Until certain (at most 2 min)"
    assert quality_entry("standard", None) == "Standard"
    assert quality_entry("quick", {"seconds": 3.2, "at_most": False}, slices=20) == "Quick (about 64 s)"
    assert progress_text({"stage": "lime", "seconds_left": 12.5, "slice": 7}) == "Slice 7: LIME: 12 s left"
    assert progress_text({"stage": "lime", "seconds_left": 12.5}) == "LIME: 12 s left"
    assert progress_text({"stage": "dreaming", "seconds_left": None}) == "dreaming ..."


def test_levels_that_can_be_translated_are_those_of_the_engine() -> None:
    """Words of the panel's own for each level, the same in English."""
    for level in LEVELS:
        assert (level_name(level.key, "?"), level_meaning(level.key, "?")) == (level.name, level.meaning)
    assert (level_name("new", "New"), level_meaning("new", "It is new.")) == ("New", "It is new.")
