"""The pictures: a row for the scan, and one for each map over it, its standard deviation beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from camlime.explanation import Explanation
from camlime.overview.colours import INK, MUTED, RED, grey_window
from camlime.overview.layout import CAPTION, Place, arrange
from camlime.overview.page import LINE, Page, Typesetter
from camlime.overview.planes import Plane, Slicer
from camlime.overview.rows import BAR_WIDTH, LABEL_WIDTH, Layer, Row, draw_colour_bar, draw_words, rows_of
from camlime.overview.units import is_picture, unit_of_length
from camlime.overview.words import clean, method_title

ROW_GAP = 0.12
COLUMN_GAP = 0.3
MOST_ROWS = 7
"""More are put in two columns."""

TICK, INSET = 0.1, 0.09
NARROWEST_WITH_BAR = 0.7
ROOM_FOR_LETTERS = 0.36
ROOM_FOR_LEGEND = 1.6
NARROWEST = 0.9
"""Inches of the column of standard deviations."""

SPREAD_TITLE = "± one standard deviation"
DIMMED = 0.8
"""Brightness of the scan below a map, so that colours show on white anatomy too."""

_HALO = "#000000"
_CROSS = "#ffe14d"
_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class Panels:
    """All pictures of an explanation, laid out for a given width.

    A row has the slices of a map, its colours, and where known the first slice of its standard deviation.

    Args:
        explanation: what to show.
        width: inches that a map's slices may take, without the words to their left and the colours to their right.
    """

    def __init__(self, explanation: Explanation, width: float) -> None:
        given = explanation.input
        self._valid = given.valid.numpy()
        self._in_patient = not is_picture(explanation)
        self._unit, self._units = unit_of_length(explanation)
        self._slicer = Slicer(
            given.affine, given.spatial_shape, list(explanation.strongest_point_ras()), in_patient=self._in_patient
        )
        self._layout = arrange(self._slicer.planes, width)
        channels = given.image.shape[0]
        several = "what the network saw" if channels == 1 else f"channel 1 of {channels}"
        self._rows = rows_of(explanation, "colour" if _is_colour(explanation) else several)
        self._said = _legend_of(explanation, self._rows)
        image = grey_window(given.image.numpy(), self._valid)
        self._image = image if _is_colour(explanation) else image[:1]
        self._columns = 1 if len(self._rows) <= MOST_ROWS else 2
        self._in_column = math.ceil(len(self._rows) / self._columns)
        first = self._layout.places[0]
        self._spread_width = max(first.room, NARROWEST) if any(row.spread is not None for row in self._rows) else 0.0
        self._column_width = LABEL_WIDTH + self._layout.width + BAR_WIDTH
        self._column_width += self._spread_width + BAR_WIDTH if self._spread_width else 0.0
        self.width = self._columns * self._column_width + (self._columns - 1) * COLUMN_GAP
        self.height = CAPTION + self._in_column * (self._layout.height + ROW_GAP)

    def draw(self, page: Page, x: float, y: float, types: Typesetter) -> None:
        """Draw all rows, from the top left corner given; many rows go into two columns."""
        for number, row in enumerate(self._rows):
            column, line = divmod(number, self._in_column)
            left = x + column * (self._column_width + COLUMN_GAP)
            top = y + CAPTION + line * (self._layout.height + ROW_GAP)
            draw_words(page, left, top, row, types)
            start = left + LABEL_WIDTH
            for place in self._layout.places:
                at = (start + place.x, top + place.y)
                self._picture(
                    page.axes(*at, place.width, place.height), place.plane, row.shown, row.supported, row.mark
                )
                if line == 0:
                    caption = types.fit(place.plane.title, place.room, 7.0)
                    page.text(at[0] + place.width / 2, at[1] - 0.09, caption, 7.0, colour=MUTED, ha="center")
                if number == 0:
                    _letters(page, place, *at)
            if number == 0:
                self._scale_bar(page, self._layout.places[0], start, top)
                self._legend(page, start + self._layout.width + 0.2, top, types)
            if row.shown is not None:
                draw_colour_bar(page, start + self._layout.width + 0.12, top, self._layout.height, row.shown, types)
            if row.spread is not None:
                titled = line == 0 or self._rows[number - 1].spread is None
                self._spread(page, start + self._layout.width + BAR_WIDTH, top, row.spread, types, titled=titled)

    def _legend(self, page: Page, x: float, y: float, types: Typesetter) -> None:
        """How to read the rows, where the scan's row leaves room for it."""
        room = self._spread_width + BAR_WIDTH
        for said in self._said if room > ROOM_FOR_LEGEND else ():
            for line in types.wrap(said, room, 7.0):
                page.text(x, y + 0.09, line, 7.0, colour=MUTED)
                y += 7.0 * LINE
            y += 0.04

    def _spread(self, page: Page, x: float, y: float, layer: Layer, types: Typesetter, *, titled: bool) -> None:
        """The first slice of a standard deviation, and its colours; a title where none stands above it."""
        place = self._layout.places[0]
        left = x + (self._spread_width - place.width) / 2
        if titled:
            said = types.fit(SPREAD_TITLE, self._spread_width + BAR_WIDTH - 0.1, 7.0)
            page.text(x, y - 0.07, said, 7.0, colour=MUTED)
        self._picture(page.axes(left, y + place.y, place.width, place.height), place.plane, layer)
        draw_colour_bar(page, x + self._spread_width + 0.12, y, self._layout.height, layer, types)

    def _picture(
        self, axes: Axes, plane: Plane, layer: Layer | None, supported: bool | None = None, mark: str = ""
    ) -> None:
        """One slice; a map that is not supported has a red frame."""
        wide, high = plane.size_mm
        extent = (0, wide, high, 0)
        grey = np.stack([self._slicer.cut(channel, plane) for channel in self._image], axis=-1)
        grey = np.repeat(grey, 3, axis=-1) if grey.shape[-1] == 1 else grey
        grey = grey if layer is None else DIMMED * grey
        axes.imshow(grey, extent=extent, origin="upper", aspect="auto", interpolation="bilinear")
        valid = self._slicer.cut(self._valid, plane)
        if layer is not None:
            colours = layer.scale.rgba(self._slicer.cut(layer.values, plane))
            colours[~valid, 3] = 0.0
            axes.imshow(colours, extent=extent, origin="upper", aspect="auto", interpolation="nearest")
        _hatch(axes, ~valid, plane)
        if layer is not None:
            _ticks(axes, plane, TICK / self._layout.inches_per_mm)
        axes.set(xlim=(0, wide), ylim=(high, 0))
        refuted = bool(mark) and supported is False
        for spine in axes.spines.values():
            spine.set(color=RED if refuted else INK, linewidth=2.0 if refuted else 0.6)

    def _scale_bar(self, page: Page, place: Place, left: float, top: float) -> None:
        length = max((n for n in _LENGTHS if n <= place.plane.size_mm[0] * self._units / 3), default=None)
        if length is None or place.width < NARROWEST_WITH_BAR:
            return
        long = length / self._units * self._layout.inches_per_mm
        x, y = left + place.x + place.width - 0.12, top + place.y + place.height - 0.12
        page.box(x - long - 0.01, y - 0.02, long + 0.02, 0.04, "black")
        page.box(x - long, y - 0.01, long, 0.02, "white")
        page.letter(x, y - 0.09, f"{length} {self._unit}", size=6.5, ha="right")


def _legend_of(explanation: Explanation, rows: Sequence[Row]) -> list[str]:
    """How to read the rows, a sentence each."""
    said = [f"Warm colours speak for {clean(explanation.explained_class)}, blue ones against it."]
    if explanation.best is not None:
        said.append(f"Yellow marks point at the strongest point of {method_title(explanation.best.method)}.")
    if any(row.supported is False for row in rows if row.mark):
        said.append("Red frame: it is not shown that the model used this; do not rely on it.")
    return said


def _is_colour(explanation: Explanation) -> bool:
    return len(explanation.input.spatial_shape) == 2 and explanation.input.image.shape[0] == 3


def _letters(page: Page, place: Place, left: float, top: float) -> None:
    """Which way the slice lies in the patient, at the middle of its edges."""
    across, down = left + place.width / 2, top + place.height / 2
    right, bottom = left + place.width - INSET, top + place.height - INSET
    spots = ((left + INSET, down), (right, down), (across, top + INSET), (across, bottom))
    room = (place.width, place.width, place.height, place.height)
    for letter, spot, length in zip(place.plane.letters or (), spots, room, strict=False):
        if length >= ROOM_FOR_LETTERS:
            page.letter(*spot, letter)


def _hatch(axes: Axes, padding: NDArray[np.bool_], plane: Plane) -> None:
    """Grey with diagonal lines over what lies outside the scan: one outline of all runs of such voxels."""
    if not padding.any():
        return
    step = (plane.size_mm[0] / padding.shape[1], plane.size_mm[1] / padding.shape[0])
    boxes = []
    for i, line in enumerate(padding):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2):
            (left, right), (top, bottom) = (start * step[0], stop * step[0]), (i * step[1], (i + 1) * step[1])
            boxes.append([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    outline = Outline.make_compound_path(*[Outline(box, closed=True) for box in boxes])
    axes.add_patch(PathPatch(outline, facecolor="#c3cad1", edgecolor="#8c96a1", linewidth=0, hatch="/////"))


def _ticks(axes: Axes, plane: Plane, reach: float) -> None:
    (wide, high), (x, y) = plane.size_mm, plane.cross_mm
    reach = min(reach, wide / 6, high / 6)
    lines = [((x, x), (0, reach)), ((x, x), (high - reach, high)), ((0, reach), (y, y)), ((wide - reach, wide), (y, y))]
    for colour, thickness in ((_HALO, 2.4), (_CROSS, 1.1)):
        for across, down in lines:
            axes.plot(across, down, color=colour, linewidth=thickness, solid_capstyle="butt")
