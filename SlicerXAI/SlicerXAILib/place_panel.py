"""Where the bundle looks: a point in the volume, or a slice of it; only what the bundle needs is shown."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from SlicerXAILib.bundles import BundleInfo
from SlicerXAILib.controls import fill_selector, keep_choice
from SlicerXAILib.views import ShownSlice, is_inside, markup_point, shown_slice, slice_node, slice_nodes

_OBLIQUE_DEGREES = 1.0
_OWN = "SlicerXAI.place"
"""Attribute of a list of points that the panel made."""


class PlacePanel:
    """The frames for the point and for the slice.

    Args:
        ui: the panel's controls.
        scene: the MRML scene.
    """

    def __init__(self, ui: Any, scene: Any) -> None:
        self._ui = ui
        self._scene = scene
        self._parameters: Any = None
        self._watched: list[tuple[Any, int]] = []
        self._bundle: BundleInfo | None = None
        ui.placePointButton.connect("clicked()", self._place)
        ui.sliceRangeCheckBox.connect("toggled(bool)", self._begin_range)
        keep_choice(ui.sliceViewSelector, lambda: self._parameters, "slice_view")

    def set_parameters(self, parameters: Any) -> None:
        """Show another parameter node's choices."""
        self._parameters = parameters

    def refresh(self, bundle: BundleInfo | None) -> None:
        """Show what this bundle needs, and what is chosen."""
        self._bundle = bundle
        parameters = self._parameters
        if parameters is None:
            self.unwatch()
            return
        volume = parameters.volume
        if volume is not None and volume.GetImageData() is None:
            volume = None  # empty, or still being loaded
        self._ui.pointFrame.visible = bundle is not None and bundle.needs_point
        picture = volume is not None and volume.GetImageData().GetDimensions()[2] == 1
        self._ui.sliceFrame.visible = bundle is not None and bundle.spatial_dims == 2 and not picture
        self._ui.pointLabel.text = self._point_words(volume)
        names = [node.GetLayoutName() for node in slice_nodes(self._scene)]
        fill_selector(self._ui.sliceViewSelector, [(name, name) for name in names], parameters.slice_view)
        node = slice_node(self._scene, parameters.slice_view)
        shown = None if node is None or volume is None else shown_slice(node, volume)
        self._ui.sliceLabel.text = _slice_words(shown)
        for box in (self._ui.firstSliceSpinBox, self._ui.lastSliceSpinBox):
            box.enabled = bool(parameters.use_slice_range)
        self._watch(parameters.point, node)

    def unwatch(self) -> None:
        """Observe no node any more."""
        for node, tag in self._watched:
            node.RemoveObserver(tag)
        self._watched = []

    def _watch(self, point: Any | None, view: Any | None) -> None:
        """Follow the point while it is dragged, and the view while it is scrolled."""
        nodes = [node for node in (point, view) if node is not None]
        if nodes == list(dict.fromkeys(node for node, _tag in self._watched)):
            return
        self.unwatch()
        for node in nodes:
            events = [vtk.vtkCommand.ModifiedEvent]
            if node is point:
                markups = slicer.vtkMRMLMarkupsNode
                events = [markups.PointModifiedEvent, markups.PointPositionDefinedEvent]
            self._watched += [(node, node.AddObserver(event, self._moved)) for event in events]

    def _moved(self, caller: Any, event: str) -> None:
        self.refresh(self._bundle)

    def _point_words(self, volume: Any) -> str:
        if volume is None:
            return ""
        point = markup_point(self._parameters.point, volume)
        if point is None:
            return _("Not placed yet.")
        place = _("R {r:.1f}, A {a:.1f}, S {s:.1f} mm").format(r=point[0], a=point[1], s=point[2])
        return place if is_inside(volume, point) else _("{place}: outside the volume").format(place=place)

    def _begin_range(self, checked: bool) -> None:
        """A range that was not chosen yet begins with the slice that the view shows."""
        parameters = self._parameters
        volume = None if parameters is None else parameters.volume
        if not checked or volume is None or volume.GetImageData() is None or parameters.last_slice:
            return
        node = slice_node(self._scene, parameters.slice_view)
        shown = None if node is None else shown_slice(node, volume)
        if shown is not None:
            parameters.first_slice, parameters.last_slice = shown.index, shown.index

    def _place(self) -> None:
        """Let the next click in a slice view set the point; one that was set so before is moved there.

        A list of points that came from elsewhere is left alone, and a list of the panel's own takes its place.
        """
        parameters = self._parameters
        node = parameters.point
        if node is None or not node.GetAttribute(_OWN):
            node = self._scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", _("Place to explain"))
            node.CreateDefaultDisplayNodes()
            node.SetAttribute(_OWN, "1")
            parameters.point = node
        node.RemoveAllControlPoints()
        logic = slicer.app.applicationLogic()
        selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        selection.SetActivePlaceNodeID(node.GetID())
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)


def _slice_words(shown: ShownSlice | None) -> str:
    if shown is None:
        return _("no slice of the volume")
    words = _("slice {index} of 0 to {last}").format(index=shown.index, last=shown.count - 1)
    if shown.oblique_degrees > _OBLIQUE_DEGREES:
        words = _("{slice}; the view is tilted by {degrees:.0f} degrees, the nearest is taken").format(
            slice=words, degrees=shown.oblique_degrees
        )
    return words
