"""The section 'Look': which map, how strong, in which colours; segments; the tables that lead to places."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import qt
from slicer.i18n import tr as _

from SlicerXAILib.controls import chosen_value, fill_selector, fill_table, silent
from SlicerXAILib.look import Look
from SlicerXAILib.marks import Marks, unsupported_views
from SlicerXAILib.scene_nodes import SceneExplanation
from SlicerXAILib.tables import REGION_COLUMNS
from SlicerXAILib.words import badge, level_meaning, level_name, map_title, region_name

_ID = REGION_COLUMNS.index("ID")


class LookPanel:
    """Sets the look of one explanation and shows its tables.

    Args:
        ui: the panel's controls.
        marks: marks views whose map is not supported.
    """

    def __init__(self, ui: Any, marks: Marks | None = None) -> None:
        self._ui = ui
        self._marks = marks or Marks()
        self._explanation: SceneExplanation | None = None
        ui.mapSelector.connect("currentIndexChanged(int)", self._put)
        ui.colourSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._put)
        for slider in (ui.thresholdSlider, ui.opacitySlider, ui.fillSlider):
            slider.connect("valueChanged(double)", self._put)
        self._boxes = (
            ui.legendCheckBox,
            ui.sideBySideCheckBox,
            ui.evidenceSegmentsCheckBox,
            ui.agreementSegmentsCheckBox,
            ui.surfacesCheckBox,
        )
        for box in self._boxes:
            box.connect("toggled(bool)", self._put)
        ui.regionsTable.connect("cellClicked(int,int)", self._go)
        self.show(None)

    def show(self, explanation: SceneExplanation | None) -> None:
        """Show the look and the tables of an explanation."""
        self._explanation = explanation
        self.show_look()
        self._fill_segments()
        self._fill_regions()

    def show_look(self) -> None:
        """Set the controls to what is shown, without changing it."""
        ui, explanation = self._ui, self._explanation
        look = Look() if explanation is None else explanation.look
        choices = [] if explanation is None else explanation.choices()
        entries = [(choice.key, map_title(choice.key, choice.kind, choice.title)) for choice in choices]
        if explanation is not None:
            entries.append(("", _("No map")))
        fill_selector(ui.mapSelector, entries, look.maps[0] if look.maps else "")
        with silent(ui.thresholdSlider, ui.opacitySlider, ui.fillSlider, ui.colourSelector, *self._boxes):
            ui.thresholdSlider.value = look.threshold
            ui.opacitySlider.value = look.opacity
            ui.fillSlider.value = look.fill
            ui.colourSelector.setCurrentNodeID(look.colours)
            ui.legendCheckBox.checked = look.legend
            ui.sideBySideCheckBox.checked = look.side_by_side
            ui.evidenceSegmentsCheckBox.checked = "evidence" in look.segments
            ui.agreementSegmentsCheckBox.checked = "agreement" in look.segments
            ui.surfacesCheckBox.checked = look.surfaces
        ui.evidenceSegmentsCheckBox.enabled = self._has("evidence")
        ui.agreementSegmentsCheckBox.enabled = self._has("agreement")
        self._say_support(look)

    def _has(self, which: str) -> bool:
        return self._explanation is not None and self._explanation.segmentation(which) is not None

    def _put(self) -> None:
        """Take the look from the controls."""
        explanation, ui = self._explanation, self._ui
        if explanation is None or not explanation.alive:
            return
        boxes = {"evidence": ui.evidenceSegmentsCheckBox, "agreement": ui.agreementSegmentsCheckBox}
        colours = ui.colourSelector.currentNode()
        look = replace(
            explanation.look,
            maps=self._maps(ui.sideBySideCheckBox.checked),
            threshold=ui.thresholdSlider.value,
            opacity=ui.opacitySlider.value,
            fill=ui.fillSlider.value,
            colours="" if colours is None else colours.GetID(),
            legend=ui.legendCheckBox.checked,
            side_by_side=ui.sideBySideCheckBox.checked,
            segments=tuple(which for which, box in boxes.items() if box.checked),
            surfaces=ui.surfacesCheckBox.checked,
        )
        explanation.look = look
        self._say_support(look)

    def _maps(self, side_by_side: bool) -> tuple[str, ...]:
        """The chosen map; side by side the other signed maps as well."""
        assert self._explanation is not None
        chosen = chosen_value(self._ui.mapSelector)
        if not chosen:
            return ()
        others = [c.key for c in self._explanation.choices() if c.kind == "evidence" and c.key != chosen]
        return (chosen, *others) if side_by_side else (chosen,)

    def _say_support(self, look: Look) -> None:
        words = ""
        if self._explanation is not None and look.maps and self._explanation.supported(look.maps[0]) is False:
            words = _("NOT SUPPORTED: the model does not use what this map shows.")
        self._ui.mapSupportLabel.text = words
        self._ui.mapSupportLabel.visible = bool(words)
        explanation = self._explanation
        views = set() if explanation is None or not explanation.alive else unsupported_views(explanation)
        self._marks.put(views, badge(False))

    def _fill_segments(self) -> None:
        summary = {} if self._explanation is None else self._explanation.summary
        legend = summary.get("legend", ())
        rows = [
            [
                level_name(row["key"], row["name"]),
                f"{row['volume_ml']:.2f}",
                level_meaning(row["key"], row["meaning"]),
            ]
            for row in legend
        ]
        fill_table(self._ui.segmentsTable, [_("Segment"), _("ml"), _("Meaning")] if rows else [], rows, numbers=[1])
        for number, row in enumerate(legend):
            red, green, blue = row["colour"]
            item = self._ui.segmentsTable.item(number, 0)
            pixmap = qt.QPixmap(14, 14)
            pixmap.fill(qt.QColor(red, green, blue))
            item.setIcon(qt.QIcon(pixmap))

    def _fill_regions(self) -> None:
        node = None if self._explanation is None else self._explanation.table("regions")
        rows = [] if node is None else _region_rows(node)
        headers = [_("Region"), _("Weight"), _("95 % interval"), _("ml")]
        cells = [cells for _region, cells in rows]
        fill_table(self._ui.regionsTable, headers if rows else [], cells, numbers=[1, 2, 3])
        for number, (region, _cells) in enumerate(rows):
            self._ui.regionsTable.item(number, 0).setData(qt.Qt.UserRole, region)
        self._ui.regionsHintLabel.visible = bool(rows)

    def _go(self, row: int, column: int) -> None:
        if self._explanation is not None and self._explanation.alive:
            region = self._ui.regionsTable.item(row, 0).data(qt.Qt.UserRole)
            self._explanation.jump_to_region(int(region))


def _region_rows(node: Any) -> list[tuple[int, list[str]]]:
    """Each region's number, and its name, weight, interval and ml, from the table node of the scene."""
    table = node.GetTable()
    rows = []
    for number in range(table.GetNumberOfRows()):
        cells = [table.GetValue(number, column) for column in range(5)]
        region = int(table.GetValue(number, _ID).ToInt())
        name, (weight, low, high, ml) = cells[0].ToString(), [cell.ToDouble() for cell in cells[1:]]
        interval = "" if math.isnan(low) else f"{low:+.2f} ... {high:+.2f}"
        texts = [region_name(region, name), "" if math.isnan(weight) else f"{weight:+.2f}", interval, f"{ml:.2f}"]
        rows.append((region, texts))
    return rows
