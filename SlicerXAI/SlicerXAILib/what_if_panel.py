"""The section 'What if?': a segment is chosen or painted, and the model is asked without it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import slicer
import slicer.util
from slicer.i18n import tr as _

from SlicerXAILib.controls import fill_selector, fill_table, keep_choice
from SlicerXAILib.engine_words import said
from SlicerXAILib.label_maps import segment_ids
from SlicerXAILib.session import Event
from SlicerXAILib.words import baseline_title, difference, flag_words, percent


class WhatIfPanel:
    """Chooses the part and shows the answer.

    Args:
        ui: the panel's controls.
        scene: the MRML scene.
    """

    def __init__(self, ui: Any, scene: Any) -> None:
        self._ui = ui
        self._scene = scene
        self._parameters: Any = None
        keep_choice(ui.whatIfSegmentSelector, lambda: self._parameters, "what_if_segment")
        ui.paintButton.connect("clicked()", self._paint)
        self.clear()

    def set_parameters(self, parameters: Any) -> None:
        """Show another parameter node's choices."""
        self._parameters = parameters
        self.refresh()

    def refresh(self) -> None:
        """List the segments there are."""
        parameters = self._parameters
        if parameters is None:
            return
        node = parameters.what_if_segmentation
        entries = []
        if node is not None:
            segmentation = node.GetSegmentation()
            entries = [(one, segmentation.GetSegment(one).GetName()) for one in segment_ids(node)]
        if parameters.what_if_segment not in dict(entries):
            parameters.what_if_segment = entries[0][0] if entries else ""
        fill_selector(self._ui.whatIfSegmentSelector, entries, parameters.what_if_segment)

    def show(self, answer: Event) -> None:
        """Show an event ``result`` of a what-if: each class as it is, and its change with each baseline.

        An image outside the training domain has no class that could change. What the bundle presumes stands above, what
        speaks against the answers below.
        """
        self._warn(answer.get("warnings", ()))
        presumed = answer["untouched"].get("presumes")
        if answer["untouched"].get("outside_because"):
            fill_table(self._ui.whatIfTable, [""], [[flag_words("out of domain")]])
            return
        head = _("If the image shows {thing}").format(thing=presumed) if presumed else ""
        before = answer["untouched"]["probabilities"]
        names = list(before)
        rows = [[_("as it is"), *(percent(before[name]) for name in names)]]
        for one in answer["answers"]:
            after = one["probabilities"]
            cells = [f"{percent(after[name])} ({difference(before[name], after[name])})" for name in names]
            rows.append([baseline_title(one["baseline"], one["kept"]), *cells])
        fill_table(self._ui.whatIfTable, [head, *names], rows, numbers=range(1, 1 + len(names)))

    def clear(self) -> None:
        """Show no answer."""
        self._warn(())
        fill_table(self._ui.whatIfTable, [], [])

    def _warn(self, warnings: Iterable[str]) -> None:
        self._ui.whatIfWarningsLabel.text = "\n".join(map(said, warnings))
        self._ui.whatIfWarningsLabel.visible = bool(self._ui.whatIfWarningsLabel.text)

    def _paint(self) -> None:
        """Make an empty segment on the volume and go to the Segment Editor."""
        parameters = self._parameters
        if parameters is None or parameters.volume is None:
            return
        node = parameters.what_if_segmentation
        if node is None:
            node = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _("What if"))
            node.CreateDefaultDisplayNodes()
            node.SetAndObserveTransformNodeID(parameters.volume.GetTransformNodeID())
            parameters.what_if_segmentation = node
        node.SetReferenceImageGeometryParameterFromVolumeNode(parameters.volume)
        parameters.what_if_segment = node.GetSegmentation().AddEmptySegment("", _("Not there"))
        self.refresh()
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule("SegmentEditor")
            editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
            editor.setSegmentationNode(node)
            editor.setSourceVolumeNode(parameters.volume)
            editor.setCurrentSegmentID(parameters.what_if_segment)
            editor.setActiveEffectByName("Paint")
