"""Where on a row the slices go: beside each other, or two flat ones above each other, all at one scale in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from camlime.overview.planes import Plane

GAP = 0.12
CAPTION = 0.2
TALLEST_ROW = 2.6
TALLEST_STACK = 2.1
SHORTEST_ROW = 0.95
"""Inches; less would not hold a row's words."""

NARROWEST = 1.0
"""Inches of a column, so that captions can be read."""


@dataclass(frozen=True)
class Place:
    """Where a slice is drawn, in inches from the row's top left corner.

    Args:
        plane: the slice.
        x: its left edge.
        y: its top edge.
        width: of the slice.
        height: of the slice.
        room: width that its caption may take.
    """

    plane: Plane
    x: float
    y: float
    width: float
    height: float
    room: float


@dataclass(frozen=True)
class Layout:
    """All slices of a row.

    Args:
        places: one a slice.
        width: inches that the slices take.
        height: inches of a row, captions left out.
        inches_per_mm: the scale.
    """

    places: tuple[Place, ...]
    width: float
    height: float
    inches_per_mm: float


def arrange(planes: Sequence[Plane], width: float) -> Layout:
    """Arrange slices in at most ``width`` inches: flat ones above each other where that shows all of them larger."""
    beside = _columns([[plane] for plane in planes], width, TALLEST_ROW)
    if len(planes) < 3:
        return beside
    stacked = _columns([[planes[0]], list(planes[1:])], width, TALLEST_STACK)
    return stacked if stacked.inches_per_mm > 1.1 * beside.inches_per_mm else beside


def _columns(columns: Sequence[Sequence[Plane]], width: float, tallest: float) -> Layout:
    widths = [max(plane.size_mm[0] for plane in column) for column in columns]
    heights = [sum(plane.size_mm[1] for plane in column) for column in columns]
    room = width - GAP * (len(columns) - 1)
    spare = [CAPTION * (len(column) - 1) for column in columns]
    scale = min(room / sum(widths), *[(tallest - s) / h for s, h in zip(spare, heights, strict=True)])
    height = max(SHORTEST_ROW, *[s + h * scale for s, h in zip(spare, heights, strict=True)])
    places: list[Place] = []
    x = 0.0
    for column, wide, high, s in zip(columns, widths, heights, spare, strict=True):
        y = (height - high * scale - s) / 2
        extra = max(min(NARROWEST - wide * scale, (room - sum(widths) * scale) / len(columns)), 0.0)
        for plane in column:
            size = (plane.size_mm[0] * scale, plane.size_mm[1] * scale)
            left = x + (wide * scale + extra - size[0]) / 2
            places.append(Place(plane, left, y, *size, room=wide * scale + extra))
            y += size[1] + CAPTION
        x += wide * scale + extra + GAP
    return Layout(tuple(places), x - GAP, height, scale)
