"""The mark in the slice view itself that what it shows is not supported: it cannot be overlooked there, nor cropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from SlicerXAILib import layers
from SlicerXAILib.scene_nodes import SceneExplanation

_RED = (0.702, 0.149, 0.118)
_HEIGHT = 0.97
"""Of the mark's upper edge, as a share of the view."""


def unsupported_views(explanation: SceneExplanation) -> set[str]:
    """Layout names of the slice views that show a map of this explanation that is not supported."""
    keys = (choice.key for choice in explanation.choices())
    doubtful = [explanation.volume(key) for key in keys if explanation.supported(key) is False]
    return {
        composite.GetLayoutName()
        for composite in layers.composites(explanation.hub.GetScene())
        if any(composite.GetNthLayerVolume(layer) in doubtful for layer in range(1, layers.count(composite)))
    }


def view_in_layout(name: str) -> Any | None:
    """Slicer's slice view by its layout name; ``None`` where there is none, as without the desktop."""
    manager = slicer.app.layoutManager()
    widget = None if manager is None else manager.sliceWidget(name)
    return None if widget is None else widget.sliceView()


class Marks:
    """Puts the mark into views and takes it out again.

    Args:
        view_of: a slice view by its layout name, which has ``renderWindow()`` and ``scheduleRender()``.
    """

    def __init__(self, view_of: Callable[[str], Any | None] = view_in_layout) -> None:
        self._view_of = view_of
        self._marked: dict[str, tuple[Any, Any]] = {}

    def put(self, names: set[str], words: str) -> None:
        """Mark these views, and no others."""
        for name in [name for name in self._marked if name not in names]:
            renderer, actor = self._marked.pop(name)
            renderer.RemoveViewProp(actor)
            self._draw(name)
        for name in names:
            view = self._view_of(name)
            if view is None:
                continue
            renderer = _front(view.renderWindow())
            if name in self._marked and self._marked[name][0] is not renderer:  # the view was made anew
                self._marked.pop(name)
            if name not in self._marked:
                actor = _actor()
                renderer.AddViewProp(actor)
                self._marked[name] = renderer, actor
            self._marked[name][1].SetInput(words)
            self._draw(name)

    def _draw(self, name: str) -> None:
        view = self._view_of(name)
        if view is not None:
            view.scheduleRender()


def _front(window: Any) -> Any:
    """The renderer that is drawn over all others of a window."""
    renderers = window.GetRenderers()
    found = [renderers.GetItemAsObject(i) for i in range(renderers.GetNumberOfItems())]
    return max(found, key=lambda renderer: renderer.GetLayer())


def _actor() -> Any:
    actor = vtk.vtkTextActor()
    text = actor.GetTextProperty()
    text.SetFontFamilyToArial()
    text.SetFontSize(16)
    text.SetBold(True)
    text.SetColor(1.0, 1.0, 1.0)
    text.SetBackgroundColor(*_RED)
    text.SetBackgroundOpacity(1.0)
    text.SetFrame(True)
    text.SetFrameColor(*_RED)
    text.SetFrameWidth(3)
    text.SetJustificationToCentered()
    text.SetVerticalJustificationToTop()
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.GetPositionCoordinate().SetValue(0.5, _HEIGHT)
    actor.PickableOff()
    return actor
