"""Brings a look to the views: colours, threshold, legends, layers, segments, layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer

from SlicerXAILib import colours, heat_map, layers, segments, side_by_side
from SlicerXAILib.look import Look
from SlicerXAILib.views import slice_node

if TYPE_CHECKING:
    from SlicerXAILib.scene_nodes import SceneExplanation

_NEAR_NOTHING = 1e-6
"""Threshold for deviations: only where there is none at all, as in padding, nothing is shown."""

_DOUBT = "NOT SUPPORTED"
"""In the legend of such a map, so that it stands in a scene that is opened without this module, too."""


def present(explanation: SceneExplanation, look: Look) -> None:
    """Make views, display nodes and colour nodes what a look says; what it does not name is hidden."""
    choices = {choice.key: choice for choice in explanation.choices()}
    shown = [choices[key] for key in look.maps if key in choices]
    _dress(explanation, look)
    volumes = [explanation.volume(choice.key) for choice in shown if choice.kind != "agreement"]
    labels = explanation.volume("agreement") if any(choice.kind == "agreement" for choice in shown) else None
    scene = explanation.hub.GetScene()
    background = explanation.input_node
    beside = _beside(explanation, look, [*volumes, *([labels] if labels else [])])
    for composite in layers.composites(scene):
        if composite.GetLayoutName() in beside:
            over = beside[composite.GetLayoutName()]
            pictures = [node for node in over if node is not labels]
            layers.show(composite, background, pictures, labels if labels in over else None, opacity=look.opacity)
        elif shown and not look.side_by_side:
            layers.show(composite, background, volumes, labels, opacity=look.opacity)
        elif not look.side_by_side:
            _clear_own(explanation, composite)
    _legends(explanation, look, volumes, beside)
    for which in ("evidence", "agreement"):
        node = explanation.segmentation(which)
        if node is not None:
            segments.show(node, visible=which in look.segments, surfaces=look.surfaces, fill=look.fill)


def _dress(explanation: SceneExplanation, look: Look) -> None:
    """Colours and thresholds, which maps of the same kind share."""
    chosen = explanation.hub.GetScene().GetNodeByID(look.colours) if look.colours else None
    other = colours.table_of(chosen) if chosen is not None and colours.has_colours(chosen) else None
    for choice in explanation.choices():
        node = explanation.volume(choice.key)
        if choice.kind == "agreement":
            continue
        signed = node.GetDisplayNode().GetWindowLevelMin() < 0
        kind = "spread" if choice.kind == "spread" else "signed" if signed else "for"
        own = colours.TABLES[kind]()
        table = own if other is None or kind == "spread" else other
        threshold = _NEAR_NOTHING if kind == "spread" else look.threshold
        colour_node = explanation.hub.GetNodeReference(f"colours.{kind}")
        heat_map.dress(node, colour_node, table, threshold, signed=signed)


def _beside(explanation: SceneExplanation, look: Look, volumes: list[Any]) -> dict[str, list[Any]]:
    """The volumes over the scan in each view of the side-by-side layout, by the view's name; empty without it."""
    scene = explanation.hub.GetScene()
    if not look.side_by_side or not volumes:
        side_by_side.leave(scene)
        return {}
    fresh = not side_by_side.entered(scene)
    composites = side_by_side.enter(scene, len(volumes) + 1)
    if fresh:
        side_by_side.frame(scene, composites)
    over: list[list[Any]] = [[], *[[volume] for volume in volumes]]
    return {composite.GetLayoutName(): each for composite, each in zip(composites, over, strict=False)}


def _clear_own(explanation: SceneExplanation, composite: Any) -> None:
    own = {explanation.volume(choice.key) for choice in explanation.choices()}
    if own & {composite.GetNthLayerVolume(i) for i in range(1, layers.count(composite))}:
        layers.clear(composite)


def _legends(explanation: SceneExplanation, look: Look, shown: list[Any], beside: dict[str, list[Any]]) -> None:
    """One legend for the first map in all views, or each map's in its own view when they stand side by side.

    A view takes up a legend when the legend is added to the scene, so one that is to be in new views is added anew.
    """
    scene, logic = explanation.hub.GetScene(), slicer.vtkSlicerColorLogic
    wanted = (shown if beside else shown[:1]) if look.legend else []
    for choice in explanation.choices():
        node = explanation.volume(choice.key)
        legend = logic.GetColorLegendDisplayNode(node)
        views = [slice_node(scene, name).GetID() for name, over in beside.items() if node in over]
        if legend is not None and (node not in wanted or set(legend.GetViewNodeIDs()) != set(views)):
            scene.RemoveNode(legend)
            legend = None
        if node in wanted:
            if legend is None:
                legend = logic.AddDefaultColorLegendDisplayNode(node)
                legend.SetViewNodeIDs(views)
                _style(legend)
            doubt = [_DOUBT] if explanation.supported(choice.key) is False else []
            legend.SetTitleText("\n".join([choice.title, *doubt, choice.unit]))


def _style(legend: Any) -> None:
    legend.SetLabelFormat("%.2g")
    legend.SetNumberOfLabels(5)
    legend.SetSize(0.1, 0.4)  # Slicer fits the letters to it
    legend.SetPosition(0.97, 0.5)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetBold(False)
        text.SetItalic(False)
        text.SetFontFamilyToArial()
    legend.Modified()
