"""The section 'Answer': what the model says, and whether the map may be believed, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from SlicerXAILib import slice_words
from SlicerXAILib.controls import embolden, fill_selector, fill_table, set_bar
from SlicerXAILib.engine_words import said
from SlicerXAILib.scene_nodes import SceneExplanation
from SlicerXAILib.verdict_words import agreement_badge, agreement_sentence, evidence_sentences, verdict_word
from SlicerXAILib.words import badge, flag_words, percent

_BADGE_COLOURS = {True: "#1b7f4d", False: "#b3261e", None: "#6b6b6b"}


class AnswerPanel:
    """Prediction, verdict and warnings of one explanation.

    Args:
        ui: the panel's controls.
        show_chart: shows a plot chart node in the layout.
    """

    def __init__(self, ui: Any, show_chart: Callable[[Any], None] | None = None) -> None:
        self._ui = ui
        self._show_chart = show_chart or _show_in_layout
        self._explanation: SceneExplanation | None = None
        self._heard: Mapping[str, Any] | None = None
        ui.chartButton.connect("clicked()", self._chart)
        ui.strongestButton.connect("clicked()", self._strongest)
        ui.predictionTable.connect("cellClicked(int,int)", self._go)
        self.show(None)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Show an event ``prediction``, before there is a map, with what speaks against it."""
        self._heard = event
        if event["prediction"] is not None:
            self.predict(event["prediction"], event["explained_class"])
        else:
            self._list_slices(slice_words.kept(event["slices"], ""))
        self._warn(event)

    def predict(self, prediction: Mapping[str, Any], explained_class: str) -> None:
        """Show a prediction before there is a map.

        An image outside the training domain has neither a class nor probabilities. The probabilities of an unconfirmed
        one are shown with the condition under which they hold, below a row that says that it has no class.
        """
        if prediction.get("outside_because"):
            fill_table(self._ui.predictionTable, [_("Class")], [[flag_words("out of domain")]])
            return
        names = sorted(prediction["probabilities"], key=lambda name: -prediction["probabilities"][name])
        table = self._ui.predictionTable
        presumed = prediction.get("presumes")
        head = _("Class, if the image shows {thing}").format(thing=presumed) if presumed else _("Class")
        heads, rows = [head, _("Probability")], [[name, ""] for name in names]
        if prediction.get("unconfirmed"):
            heads[1] = _("Probability, if {thing} is there").format(thing=presumed)
            rows.insert(0, [flag_words("unconfirmed"), ""])
        fill_table(table, heads, rows)
        for row, name in enumerate(names, start=len(rows) - len(names)):
            probability = float(prediction["probabilities"][name])
            set_bar(table, row, 1, probability, percent(probability))
            if name == explained_class:
                embolden(table.item(row, 0))
        table.resizeColumnToContents(0)

    def show(self, explanation: SceneExplanation | None) -> None:
        """Show what an explanation says; an empty page for none."""
        self._explanation = explanation
        summary = {} if explanation is None else explanation.summary
        if summary.get("slices"):
            self._list_slices(summary["slices"])
        elif summary:
            self.predict(summary["prediction"], summary["explained_class"])
        elif explanation is None:
            self._heard = None
            fill_table(self._ui.predictionTable, [], [])
        self._verdict(summary)
        self._warn(summary)
        if explanation is not None and not summary and self._heard is not None:
            self.hear(self._heard)  # it is under way
        self._ui.chartButton.enabled = explanation is not None and explanation.chart() is not None
        self._ui.strongestButton.enabled = bool(summary)

    def _list_slices(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """One row a slice; a flagged one has no class, and says why."""
        cells = []
        for row in rows:
            probability = "" if row["probability"] is None else percent(row["probability"])
            cells.append([str(row["index"]), _class_words(row), probability, verdict_word(row["verdict"])])
        headers = [_("Slice"), _("Class"), _("Probability"), _("Map")]
        fill_table(self._ui.predictionTable, headers, cells, numbers=[0, 2])

    def _warn(self, told: Mapping[str, Any]) -> None:
        self._ui.warningsLabel.text = _warnings(told)
        self._ui.warningsLabel.visible = bool(self._ui.warningsLabel.text)

    def _go(self, row: int, column: int) -> None:
        """A click on a slice goes there."""
        shown = self._explanation
        slices = shown.summary.get("slices") if shown is not None and shown.alive else None
        if shown is not None and slices and row < len(slices):
            shown.jump_to(slices[row]["centre_ras"])

    def _verdict(self, summary: Mapping[str, Any]) -> None:
        ui = self._ui
        evidence = summary.get("evidence", {}).get(summary.get("lead", ""))
        ui.badgeLabel.visible = bool(summary)
        supported = None if evidence is None else evidence.get("supported")
        ui.badgeLabel.text = badge(supported)
        colour = _BADGE_COLOURS[supported]
        ui.badgeLabel.styleSheet = f"background-color: {colour}; color: white; padding: 3px; font-weight: bold;"
        agreement = summary.get("agreement")
        ui.agreementLabel.text = "" if not agreement else agreement_badge(agreement["badge"])
        words = [] if not summary else [_explained(supported, several=bool(summary.get("slices")))]
        words += evidence_sentences(evidence, summary.get("prediction"))
        words += [] if not agreement else [agreement_sentence(agreement)]
        ui.verdictLabel.text = " ".join(words)

    def _chart(self) -> None:
        if self._explanation is not None and self._explanation.alive:
            chart = self._explanation.chart()
            if chart is not None:
                self._show_chart(chart)

    def _strongest(self) -> None:
        if self._explanation is not None and self._explanation.alive:
            self._explanation.jump_to_strongest()


def _class_words(row: Mapping[str, Any]) -> str:
    """The class of a slice; why it has none; or what it would be if somebody confirmed it."""
    if row["class"] is not None:
        return str(row["class"])
    if row.get("class_if_present") is not None:
        if row.get("presumes"):
            return _("{name}, if {thing} is there").format(name=row["class_if_present"], thing=row["presumes"])
        return _("{name}, if confirmed").format(name=row["class_if_present"])  # in scenes of earlier versions
    return flag_words(row["flag"])


def fill_explanations(selector: Any, explanations: list[SceneExplanation], shown: SceneExplanation | None) -> None:
    """List explanations by their titles, the newest first."""
    entries = [(one.hub.GetID(), one.title) for one in reversed(explanations)]
    fill_selector(selector, entries, "" if shown is None else shown.hub.GetID())


def _explained(supported: bool | None, *, several: bool) -> str:
    if supported is None:
        return _("Whether the model uses what this map shows was not tested.")
    if several and not supported:
        return _("In some slices the model does not use what the map shows: do not rely on it there.")
    if supported:
        return _("The model uses what this map shows.")
    return _("The model does not use what this map shows: do not rely on it, however plausible it looks.")


def _warnings(told: Mapping[str, Any]) -> str:
    warnings = [said(text) for text in told.get("warnings", ())]
    if not told.get("complete", True):
        warnings.insert(0, _("It was cancelled: the maps are those made until then."))
    return "\n".join(warnings)


def _show_in_layout(chart: Any) -> None:
    slicer.modules.plots.logic().ShowChartInLayout(chart)
