"""The numbers: prediction, regions and segments as tables, removal curves as a chart, and jumps to regions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs the slicer extra: slicer-core")

import slicer
import slicer.util
from SlicerXAILib import tables
from SlicerXAILib.scene_nodes import SceneExplanation

from slicer_display.grids import GRIDS, grid


@pytest.fixture
def explanation(desk: Any, make_result: Callable[..., Any]) -> SceneExplanation:
    ct = desk.add_volume(np.zeros((30, 30, 30), np.int16), grid((2, 2, 2), origin=(-30, -30, -30)))
    made = SceneExplanation.begin(ct, "Why?")
    made.complete(make_result(GRIDS["oblique, anisotropic"]))
    return made


def column(node: Any, name: str) -> list[Any]:
    values = node.GetTable().GetColumnByName(name)
    return [values.GetValue(i) for i in range(values.GetNumberOfValues())]


def test_prediction_has_the_most_probable_class_first(explanation: SceneExplanation) -> None:
    node = explanation.table("prediction")
    assert column(node, "Class") == ["malignant", "benign"]
    assert column(node, "Probability") == pytest.approx([0.9, 0.1])


def test_regions_have_intervals_millilitres_and_centres_the_strongest_first(
    explanation: SceneExplanation, make_result: Callable[..., Any]
) -> None:
    node = explanation.table("regions")
    assert column(node, "Region") == ["Region 2", "Vessel", "Lung"]
    assert column(node, "ID") == [2, 3, 1]
    assert column(node, "Weight") == pytest.approx([1.5, -0.8, 0.01])
    assert column(node, "Low") == pytest.approx([1.5 - 0.196, -0.8 - 0.392, 0.01 - 0.0392], abs=1e-4)
    assert column(node, "High") == pytest.approx([1.5 + 0.196, -0.8 + 0.392, 0.01 + 0.0392], abs=1e-4)
    assert column(node, "Volume (ml)") == pytest.approx([0.2, 0.3, 0.1])
    centre = make_result(GRIDS["oblique, anisotropic"]).strongest_point_ras
    assert [column(node, axis)[0] for axis in "RAS"] == pytest.approx(list(centre))
    assert node.GetUseColumnTitleAsColumnHeader() and node.GetLocked()


def test_a_weight_whose_error_is_not_known_has_no_interval() -> None:
    row = {"id": 7, "name": None, "volume_ml": 1.0, "centre_ras_mm": [1, 2, 3]}
    assert tables.region_rows([row]) == [("Region 7", None, None, None, 1.0, 1.0, 2.0, 3.0, 7)]
    (told,) = tables.region_rows([{**row, "weight": 0.5, "standard_error": None}])
    assert told[1:4] == (0.5, None, None)


def test_numbers_that_are_not_known_are_nan(desk: Any) -> None:
    node = tables.add_table(desk.scene, "t")
    tables.fill(node, ("a", "b"), [("x", None), ("y", 2.0)])
    assert column(node, "a") == ["x", "y"]
    assert np.isnan(column(node, "b")[0]) and column(node, "b")[1] == 2.0
    tables.fill(node, ("c",), [])
    assert node.GetNumberOfColumns() == 1 and node.GetNumberOfRows() == 0


def test_segments_have_millilitres_and_meanings(explanation: SceneExplanation) -> None:
    node = explanation.table("segments")
    listed = {row["name"]: row for row in explanation.summary["legend"]}
    assert column(node, "Segment") == list(listed)
    assert column(node, "Volume (ml)") == pytest.approx([row["volume_ml"] for row in listed.values()])
    assert column(node, "Meaning") == [row["meaning"] for row in listed.values()]


def test_a_jump_goes_to_the_regions_centre_through_the_inputs_transform(
    desk: Any, explanation: SceneExplanation
) -> None:
    matrix = grid((1.1, 1, 0.9), (10, -20, 30), origin=(7, 8, 9))
    transform = desk.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    explanation.input_node.SetAndObserveTransformNodeID(transform.GetID())
    for row, number in enumerate(column(explanation.table("regions"), "ID")):
        explanation.jump_to_region(number)
        centre = [column(explanation.table("regions"), axis)[row] for axis in "RAS"]
        expected = (matrix @ np.array([*centre, 1.0]))[:3]
        for logic in desk.slices.values():
            shown = slicer.util.arrayFromVTKMatrix(logic.GetSliceNode().GetSliceToRAS())[:3, 3]
            np.testing.assert_allclose(shown, expected, atol=1e-6)
    with pytest.raises(KeyError, match="no region 99"):
        explanation.jump_to_region(99)


def test_the_chart_has_deletion_and_insertion_against_random(explanation: SceneExplanation) -> None:
    chart = explanation.chart()
    series = [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())]
    titles = ["Deletion", "Insertion", "Deletion, random order", "Insertion, random order"]
    assert [each.GetName() for each in series] == titles
    assert chart.GetTitle() == "LIME: removal, baseline mean"
    assert chart.GetYAxisTitle() == "Probability of malignant"
    for each in series:
        table = each.GetTableNode()
        assert column(table, each.GetXColumnName()) == pytest.approx([0, 50, 100])
        assert column(table, each.GetYColumnName()) == pytest.approx([0.9, 0.5, 0.1])
        dashed = each.GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash
        assert dashed == ("random" in each.GetName())


def test_the_words_say_when_a_map_is_not_supported(explanation: SceneExplanation) -> None:
    assert explanation.supported("lime") is False and explanation.supported("lime.std") is False
    assert explanation.supported("gradcam") is None
    found = explanation.summary["evidence"]["lime"]
    assert {name: found[name] for name in ("supported", "verdict", "in_words")} == {
        "supported": False,
        "verdict": "NOT SUPPORTED",
        "in_words": ["A sentence."],
    }
    assert "curves" not in str(found), "what the chart shows is in its tables, not in the words"


@pytest.mark.parametrize(
    ("said", "column_title", "axis"),
    [
        ({}, "Probability", "Probability of malignant"),
        ({"presumes": "a tumour", "unconfirmed": False}, "Probability", "Probability of malignant"),
        (
            {"presumes": "a tumour", "unconfirmed": True},
            "Probability, if a tumour is there",
            "Probability of malignant, if a tumour is there",
        ),
        ({"presumes": "a tumour", "outside_because": "unlike the training data"}, "Probability", None),
    ],
)
def test_probabilities_stand_under_the_condition_that_they_hold_under(
    explanation: SceneExplanation, make_result: Callable[..., Any], said: Any, column_title: str, axis: str | None
) -> None:
    result = make_result(np.eye(4))
    explanation.complete(replace(result, prediction={**result.prediction, **said}))
    assert explanation.table("prediction").GetTable().GetColumnName(1) == column_title
    chart = explanation.chart()
    assert (None if chart is None else chart.GetYAxisTitle()) == axis


def test_without_evidence_there_is_no_chart(
    desk: Any, explanation: SceneExplanation, make_result: Callable[..., Any]
) -> None:
    explanation.complete(replace(make_result(np.eye(4)), evidence={}))
    assert explanation.chart() is None
    assert not [node for node in desk.nodes() if "Plot" in node]


def test_the_table_lists_no_class_of_an_image_outside_the_training_domain(
    explanation: SceneExplanation, make_result: Callable[..., Any]
) -> None:
    result = make_result(np.eye(4))
    for outside, rows in ((None, len(result.prediction["probabilities"])), ("unlike the training data", 0)):
        told = {**result.prediction, "outside_because": outside}
        explanation.complete(replace(result, prediction=told))
        assert explanation.table("prediction").GetTable().GetNumberOfRows() == rows


def slices_of(result: Any) -> dict[str, Any]:
    """What a worker says of four slices: two tested, one flagged, one not explained."""
    evidence = result.evidence["lime"]

    def answer(index: int, probability: float | None, supported: bool | None) -> dict[str, Any]:
        told = {"explained_class": "malignant", "evidence": {"lime": {**evidence, "supported": supported}}}
        told["evidence"]["lime"]["verdict"] = "supported" if supported else "NOT SUPPORTED"
        return {
            "index": index,
            "centre_ras_mm": [1.0, 2.0, float(index)],
            "class": None if probability is None else "malignant",
            "class_if_present": None,
            "probabilities": None if probability is None else {"malignant": probability, "benign": 1 - probability},
            "flag": "out of domain" if probability is None else None,
            "explanation": None if supported is None else told,
        }

    return {"answers": [answer(3, 0.7, True), answer(4, 0.9, False), answer(5, None, None), answer(6, 0.6, None)]}


def test_each_slice_of_a_range_has_its_row_and_its_verdict(desk: Any, make_result: Callable[..., Any]) -> None:
    one = make_result(np.eye(4))
    rows = tuple({**row, "slice": 4} for row in one.region_table)
    slices = slices_of(one)
    result = replace(one, slices=slices, prediction={}, explained_class="", evidence={}, agreement=None)
    result = replace(result, region_table=rows)
    ct = desk.add_volume(np.zeros((24, 20, 16), np.int16), np.eye(4))
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(result)
    summary = explanation.summary
    assert [row["index"] for row in summary["slices"]] == [3, 4, 5, 6]
    assert [row["class"] for row in summary["slices"]] == ["malignant", "malignant", None, "malignant"]
    assert [row["verdict"] for row in summary["slices"]] == ["supported", "NOT SUPPORTED", "", ""]
    assert explanation.supported("lime") is False
    assert summary["evidence"]["lime"]["in_words"] == ["Slice 3: supported.", "Slice 4: NOT SUPPORTED."]
    table = explanation.table("prediction").GetTable()
    assert table.GetColumnName(0) == "Slice" and table.GetNumberOfRows() == 4
    assert table.GetColumnByName("Probability").GetValue(1) == pytest.approx(0.9)
    assert np.isnan(table.GetColumnByName("Probability").GetValue(2))
    assert table.GetColumnByName("Remark").GetValue(2) == "out of domain"
    assert "slice 4" in explanation.chart().GetTitle()
    regions = explanation.table("regions").GetTable()
    assert regions.GetValue(0, 0).ToString() == "Slice 4: Region 2"
    explanation.jump_to(summary["slices"][0]["centre_ras"])
    assert desk.slices["Red"].GetSliceNode().GetSliceToRAS().GetElement(2, 3) == pytest.approx(3.0)


def test_a_range_of_which_nothing_was_tested_is_not_judged(desk: Any, make_result: Callable[..., Any]) -> None:
    one = make_result(np.eye(4))
    slices = slices_of(one)
    for answer in slices["answers"]:
        if answer["explanation"]:
            answer["explanation"]["evidence"] = {}
    ct = desk.add_volume(np.zeros((24, 20, 16), np.int16), np.eye(4))
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(replace(one, slices=slices, prediction={}, evidence={}, agreement=None))
    assert explanation.supported("lime") is None
    assert explanation.chart() is None


def test_the_chart_of_a_range_that_nobody_confirmed_says_what_it_presumes(
    desk: Any, make_result: Callable[..., Any]
) -> None:
    one = make_result(np.eye(4))
    slices = slices_of(one) | {"presumes": "a tumour"}
    for answer in slices["answers"]:
        if answer["class"] is not None:
            answer |= {"class": None, "class_if_present": answer["class"], "flag": "unconfirmed"}
    ct = desk.add_volume(np.zeros((24, 20, 16), np.int16), np.eye(4))
    explanation = SceneExplanation.begin(ct, "Evidence")
    explanation.complete(replace(one, slices=slices, prediction={}, evidence={}, agreement=None))
    assert explanation.chart().GetYAxisTitle() == "Probability of malignant, if a tumour is there"
    assert [row["presumes"] for row in explanation.summary["slices"]] == ["a tumour"] * 4
