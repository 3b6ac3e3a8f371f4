"""Removal curves as a Slicer plot: what the model answers when voxels go, or come, in the map's order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from SlicerXAILib.tables import add_table, fill

_LINES = (
    ("Deletion", "most_first", None, (196, 80, 27)),
    ("Insertion", "insertion", None, (36, 112, 173)),
    ("Deletion, random order", "most_first", "random", (196, 80, 27)),
    ("Insertion, random order", "insertion", "random", (36, 112, 173)),
)
"""Title, curve, control, colour: of the map in full lines, of a random order dashed."""

SHARE = "Share of voxels (%)"


def add_curves(scene: Any, name: str, drawn: str, curves: Mapping[str, Any]) -> dict[str, Any]:
    """A table, a series for each curve, and the chart that shows them.

    Args:
        scene: where to.
        name: of the chart.
        drawn: what is drawn, in words: the probability of a class, and perhaps under which condition.
        curves: one entry of ``baselines`` of the evidence: ``fractions``, ``most_first``, ``insertion``, ``controls``.

    Returns:
        Nodes by role: ``table``, ``chart``, ``series.0`` to ``series.3``.
    """
    table = add_table(scene, f"{name} curves")
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    nodes = {"table": table, "chart": chart}
    columns, numbers = [SHARE], [[100 * float(share) for share in curves["fractions"]]]
    for title, curve, control, colour in _LINES:
        source = curves if control is None else curves["controls"].get(control)
        if source is None:
            continue
        columns.append(title)
        numbers.append([float(p) for p in source[curve]["probability"]])
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", title)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(SHARE)
        series.SetYColumnName(title)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        dash = slicer.vtkMRMLPlotSeriesNode.LineStyleDash
        series.SetLineStyle(dash if control else slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
        series.SetLineWidth(2 if control else 3)
        series.SetColor(*(channel / 255 for channel in colour))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        nodes[f"series.{len(columns) - 2}"] = series
    fill(table, columns, zip(*numbers, strict=True))
    chart.SetTitle(name)
    chart.SetXAxisTitle(f"{SHARE}, strongest first")
    chart.SetYAxisTitle(drawn)
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 1.0)
    chart.SetLegendVisibility(True)
    return nodes
