"""Tables of an explanation: the prediction, the regions and the segments, as table nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import vtk

from camlime.levels import LEVELS

PREDICTION_COLUMNS = ("Class", "Probability")
SLICE_COLUMNS = ("Slice", "Class", "Probability", "Map", "Remark", "R", "A", "S")
REGION_COLUMNS = ("Region", "Weight", "Low", "High", "Volume (ml)", "R", "A", "S", "ID")
SEGMENT_COLUMNS = ("Segment", "Volume (ml)", "Meaning")


def add_table(scene: Any, name: str) -> Any:
    """An empty table node that cannot be edited by mistake."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.SetLocked(True)
    return node


def fill(node: Any, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Replace a table's content; the first row decides whether a column holds text, whole numbers or other numbers.

    A number that is not known (``None``) is NaN.
    """
    rows = [list(row) for row in rows]
    modifying = node.StartModify()
    node.RemoveAllColumns()
    for i, name in enumerate(columns):
        cells = [row[i] for row in rows]
        column = _column(cells[0] if cells else "")
        column.SetName(name)
        for cell in cells:
            column.InsertNextValue(float("nan") if cell is None else cell)
        node.AddColumn(column)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.EndModify(modifying)


def _column(first: Any) -> Any:
    if isinstance(first, str):
        return vtk.vtkStringArray()
    return vtk.vtkIntArray() if isinstance(first, int) else vtk.vtkDoubleArray()  # None too is a number


def prediction_columns(prediction: Mapping[str, Any]) -> tuple[str, str]:
    """:data:`PREDICTION_COLUMNS`, with the condition under which the probabilities of an unconfirmed image hold."""
    name, probability = PREDICTION_COLUMNS
    return name, f"{probability}{condition(prediction)}"


def condition(prediction: Mapping[str, Any]) -> str:
    """Under which a probability holds, to follow its name: empty unless nobody confirmed what it presumes."""
    return f", if {prediction['presumes']} is there" if prediction.get("unconfirmed") else ""


def prediction_rows(prediction: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Class and probability, the most probable first; none of an image outside the training domain."""
    if prediction.get("outside_because"):
        return []
    return sorted(prediction["probabilities"].items(), key=lambda row: -row[1])


def slice_rows(slices: Mapping[str, Any], lead: str) -> list[tuple[Any, ...]]:
    """Rows for :data:`SLICE_COLUMNS`, in the scan's order: what the model says of each slice, and of its map.

    Args:
        slices: of a result (docs/worker.md).
        lead: key of the map that is spoken of.
    """
    rows = []
    for answer in slices["answers"]:
        explained = answer.get("explanation") or {}
        verdict = explained.get("evidence", {}).get(lead, {}).get("verdict", "") if explained else ""
        name = answer["class"]  # none for a slice that nobody confirmed, whatever it would be: the flag says so
        probability = None if name is None else float(answer["probabilities"][name])
        centre = [float(x) for x in answer["centre_ras_mm"]]
        rows.append((int(answer["index"]), name or "", probability, verdict, answer["flag"] or "", *centre))
    return rows


def region_rows(table: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows for :data:`REGION_COLUMNS`: the strongest first, with the weight's 95 % interval where its error is known.

    The centre is in RAS mm of the input's own frame; ID is the label in the region map.
    """
    rows = []
    for region in table:
        weight = region.get("weight")
        low, high = region.get("interval_95") or (None, None)
        name = str(region["name"] or f"Region {region['id']}")
        if "slice" in region:
            name = f"Slice {region['slice']}: {name}"
        centre = [float(x) for x in region["centre_ras_mm"]]
        rows.append((name, weight, low, high, float(region["volume_ml"]), *centre, int(region["id"])))
    return sorted(rows, key=lambda row: -abs(row[1] or 0.0))


def segment_rows(volumes_ml: Mapping[str, float]) -> list[tuple[str, float, str]]:
    """Name, ml and meaning of each level that occurs."""
    return [(level.name, volumes_ml[level.key], level.meaning) for level in LEVELS if level.key in volumes_ml]
