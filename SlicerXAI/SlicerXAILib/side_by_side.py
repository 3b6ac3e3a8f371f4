"""Maps side by side: a layout with one slice view for the scan alone and one for each map, that scroll together."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

from SlicerXAILib.layers import composites
from SlicerXAILib.views import slice_node

LAYOUT = 5733
"""Number of the layout in Slicer's list; any that no other module uses."""

VIEWS = "SlicerXAI"
"""What the names of its views begin with; they are numbered from 0, the scan alone."""

_VIEW_GROUP = 57
_AXIAL = "Red"
_MOST_IN_A_ROW = 3
_COLOURS = ("#66717d", "#c4501b", "#2470ad", "#2b7a4b", "#a86200", "#7a4b9a")
_BEFORE = "SlicerXAI.layoutBefore"


def describe(count: int, orientation: str) -> str:
    """The layout's description for Slicer, with so many slice views in rows of at most three."""
    views = [
        f"<item><view class={quoteattr('vtkMRMLSliceNode')} singletontag={quoteattr(f'{VIEWS}{i}')}>"
        f'<property name="orientation" action="default">{orientation}</property>'
        f'<property name="viewlabel" action="default">{i or "S"}</property>'
        f'<property name="viewcolor" action="default">{_COLOURS[i % len(_COLOURS)]}</property>'
        f'<property name="viewgroup" action="default">{_VIEW_GROUP}</property></view></item>'
        for i in range(count)
    ]
    rows = [views[i : i + _MOST_IN_A_ROW] for i in range(0, count, _MOST_IN_A_ROW)]
    items = "".join(f'<item><layout type="horizontal">{"".join(row)}</layout></item>' for row in rows)
    return f'<layout type="vertical">{items}</layout>'


def enter(scene: Any, count: int, orientation: str = "Axial") -> list[Any]:
    """Switch to the layout with so many views.

    Returns:
        The views' composite nodes, the scan's first; fewer where the application has not made them yet.
    """
    layout = _layout(scene)
    if layout is None:
        return []
    if layout.GetViewArrangement() != LAYOUT:
        layout.SetAttribute(_BEFORE, str(layout.GetViewArrangement()))
    description = describe(count, orientation)
    if layout.IsLayoutDescription(LAYOUT):
        layout.SetLayoutDescription(LAYOUT, description)
    else:
        layout.AddLayoutDescription(LAYOUT, description)
    layout.SetViewArrangement(LAYOUT)
    found = {node.GetLayoutName(): node for node in composites(scene)}
    views = [found[f"{VIEWS}{i}"] for i in range(count) if f"{VIEWS}{i}" in found]
    for composite in views:
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)
    return views


def frame(scene: Any, views: list[Any]) -> None:
    """Let new views show what the user looks at in the axial view, as much of it and as large: Slicer shows the origin.

    Args:
        scene: of the views.
        views: their composite nodes.
    """
    looked_at = slice_node(scene, _AXIAL)
    if looked_at is None:
        return
    width, height, depth = looked_at.GetFieldOfView()
    for composite in views:
        node = slice_node(scene, composite.GetLayoutName())
        across, down, _ = (max(size, 1) for size in node.GetDimensions())
        mm_a_pixel = max(width / across, height / down)
        node.SetFieldOfView(mm_a_pixel * across, mm_a_pixel * down, depth)
        node.GetSliceToRAS().DeepCopy(looked_at.GetSliceToRAS())
        node.UpdateMatrices()


def leave(scene: Any) -> None:
    """Switch back to the layout that was there before, if this one is shown."""
    layout = _layout(scene)
    if layout is not None and layout.GetViewArrangement() == LAYOUT:
        layout.SetViewArrangement(int(layout.GetAttribute(_BEFORE) or layout.SlicerLayoutFourUpView))


def entered(scene: Any) -> bool:
    """Whether the layout is shown."""
    layout = _layout(scene)
    return layout is not None and layout.GetViewArrangement() == LAYOUT


def _layout(scene: Any) -> Any | None:
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
