"""Sample data by Slicer's own module, and the chart in Slicer's own layout logic."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.slicer_panel import bootstrapped, sources, until

bootstrapped()

import slicer  # noqa: E402
from SlicerXAILib import sample_data  # noqa: E402
from SlicerXAILib.answer_panel import _show_in_layout  # noqa: E402


def test_the_sample_is_made_in_another_process_and_loaded(desk):
    made = []
    sample_data.SampleMaker(lambda *nodes: made.append(nodes)).start()
    until(lambda: made)
    volume, point = made[0]
    assert volume.GetImageData().GetDimensions() == (320, 248, 64)
    assert point.GetNumberOfControlPoints() == 1


def test_a_sample_that_cannot_be_made_is_a_message(desk, monkeypatch):
    said = []
    monkeypatch.setattr(sample_data, "python_program", lambda: "/bin/false")
    monkeypatch.setattr(slicer.util, "errorDisplay", said.append)
    sample_data.SampleMaker().start()
    until(lambda: said)
    assert "cannot be made" in said[0]


def test_the_sample_is_offered_by_slicers_sample_data(desk, monkeypatch):
    checkout = sources()
    if checkout is None:
        pytest.skip("SLICER_PYTHON names no checkout of Slicer's Base/Python/slicer")
    folder = Path(checkout).parents[2] / "Modules" / "Scripted" / "SampleData"
    if not (folder / "SampleData.py").is_file():
        pytest.skip(f"the checkout of Slicer has no {folder.name}.py")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    sample_data.register(desk.widget.resourcePath("Icons/SlicerXAI.png"))
    offered = slicer.modules.sampleDataSources[sample_data.CATEGORY]
    assert [source.sampleName for source in offered] == [sample_data.SAMPLE]
    assert Path(offered[0].thumbnailFileName).is_file()
    assert callable(offered[0].customDownloader)


def test_the_chart_is_shown_in_a_layout_with_a_plot(desk):
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLayoutNode")
    _show_in_layout(chart)
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActivePlotChartID() == chart.GetID()
