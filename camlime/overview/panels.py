"""The pictures: a row for the scan, one for each map over it, one for each map's standard deviation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from camlime.attribution import Attribution
from camlime.explanation import Explanation
from camlime.overview.colours import (
    AGAINST,
    FOR,
    INK,
    MUTED,
    RED,
    RULE,
    Scale,
    evidence_scale,
    grey_window,
    spread_scale,
)
from camlime.overview.layout import CAPTION, Place, arrange
from camlime.overview.page import LINE, Page, Typesetter
from camlime.overview.planes import Plane, Slicer
from camlime.overview.words import method_title, unit_of, verdict_in_words

LABEL_WIDTH = 1.3
BAR_WIDTH = 0.95
ROW_GAP = 0.12
COLUMN_GAP = 0.3
MOST_ROWS = 7
"""More are put in two columns."""

TICK, INSET = 0.1, 0.09
NARROWEST_WITH_BAR = 0.7
ROOM_FOR_LETTERS = 0.36
DIMMED = 0.75
"""Brightness of the scan below a map, so that colours show on white anatomy too."""
PICTURE_FILES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

_HALO = "#000000"
_CROSS = "#ffe14d"
_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


@dataclass(frozen=True)
class Row:
    """One row of pictures.

    Args:
        title: what it shows.
        notes: small print below the title.
        values: the map ``(*S,)``; ``None`` for the scan alone.
        scale: how its values become colours.
        unit: of the values.
        evidence: whether the colours mean for and against.
        mark: a warning in white on red below the title; empty for none.
    """

    title: str
    notes: tuple[str, ...] = ()
    values: NDArray[np.float32] | None = None
    scale: Scale | None = None
    unit: str = ""
    evidence: bool = True
    mark: str = ""


class Panels:
    """All pictures of an explanation, laid out for a given width.

    Args:
        explanation: what to show.
        width: inches that a row's pictures may take, without the words to their left and the colour bar to their right.
    """

    def __init__(self, explanation: Explanation, width: float) -> None:
        given = explanation.input
        self._valid = given.valid.numpy()
        self._in_patient = not is_picture(explanation)
        self._slicer = Slicer(
            given.affine, given.spatial_shape, list(explanation.strongest_point_ras()), in_patient=self._in_patient
        )
        self._layout = arrange(self._slicer.planes, width)
        self._rows = _rows(explanation, self._valid)
        image = grey_window(given.image.numpy(), self._valid)
        self._image = image if _is_colour(explanation) else image[:1]
        self._columns = 1 if len(self._rows) <= MOST_ROWS else 2
        self._in_column = math.ceil(len(self._rows) / self._columns)
        self._column_width = LABEL_WIDTH + self._layout.width + BAR_WIDTH
        self.width = self._columns * self._column_width + (self._columns - 1) * COLUMN_GAP
        self.height = CAPTION + self._in_column * (self._layout.height + ROW_GAP)

    def draw(self, page: Page, x: float, y: float, types: Typesetter) -> None:
        """Draw all rows, from the top left corner given; many rows go into two columns."""
        for number, row in enumerate(self._rows):
            column, line = divmod(number, self._in_column)
            left = x + column * (self._column_width + COLUMN_GAP)
            top = y + CAPTION + line * (self._layout.height + ROW_GAP)
            _words(page, left, top, row, types)
            for place in self._layout.places:
                at = (left + LABEL_WIDTH + place.x, top + place.y)
                axes = page.axes(*at, place.width, place.height)
                self._picture(axes, place.plane, row)
                if line == 0:
                    caption = types.fit(place.plane.title, place.room, 7.0)
                    page.text(at[0] + place.width / 2, at[1] - 0.09, caption, 7.0, colour=MUTED, ha="center")
                if number == 0:
                    _letters(page, place, *at)
            if number == 0:
                self._scale_bar(page, self._layout.places[0], left + LABEL_WIDTH, top)
            if row.scale is not None:
                _colour_bar(page, left + LABEL_WIDTH + self._layout.width + 0.14, top, self._layout.height, row, types)

    def _picture(self, axes: Axes, plane: Plane, row: Row) -> None:
        wide, high = plane.size_mm
        extent = (0, wide, high, 0)
        grey = np.stack([self._slicer.cut(channel, plane) for channel in self._image], axis=-1)
        grey = np.repeat(grey, 3, axis=-1) if grey.shape[-1] == 1 else grey
        grey = grey if row.values is None else DIMMED * grey
        axes.imshow(grey, extent=extent, origin="upper", aspect="auto", interpolation="bilinear")
        valid = self._slicer.cut(self._valid, plane)
        if row.values is not None and row.scale is not None:
            colours = row.scale.rgba(self._slicer.cut(row.values, plane))
            colours[~valid, 3] = 0.0
            axes.imshow(colours, extent=extent, origin="upper", aspect="auto", interpolation="nearest")
        _hatch(axes, ~valid, plane)
        if row.values is not None:
            _ticks(axes, plane, TICK / self._layout.inches_per_mm)
        axes.set(xlim=(0, wide), ylim=(high, 0))
        for spine in axes.spines.values():
            spine.set(color=INK, linewidth=0.6)

    def _scale_bar(self, page: Page, place: Place, left: float, top: float) -> None:
        length = max((n for n in _LENGTHS if n <= place.plane.size_mm[0] / 3), default=None)
        if length is None or place.width < NARROWEST_WITH_BAR:
            return
        long = length * self._layout.inches_per_mm
        x, y = left + place.x + place.width - 0.12, top + place.y + place.height - 0.12
        page.box(x - long - 0.01, y - 0.02, long + 0.02, 0.04, "black")
        page.box(x - long, y - 0.01, long, 0.02, "white")
        page.letter(x, y - 0.09, f"{length} {'mm' if self._in_patient else 'px'}", size=6.5, ha="right")


def is_picture(explanation: Explanation) -> bool:
    """Whether the scan was a PNG, JPEG or the like: it lies in no patient, so no letters, and lengths in pixels."""
    name = str(explanation.provenance.get("scan", {}).get("name", "")).lower()
    return len(explanation.input.spatial_shape) == 2 and name.endswith(PICTURE_FILES)


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


def _rows(explanation: Explanation, valid: NDArray[np.bool_]) -> tuple[Row, ...]:
    channels = explanation.input.image.shape[0]
    seen = (
        "colour" if _is_colour(explanation) else f"channel 1 of {channels}" if channels > 1 else "what the network saw"
    )
    rows = [Row("Scan", (seen,))]
    for attribution in explanation.attributions.values():
        title = method_title(attribution.method)
        unit = unit_of(attribution)
        scale = evidence_scale(attribution.values[valid])
        rows.append(
            Row(title, _notes(attribution), attribution.values, scale, unit, mark=_mark(explanation, attribution))
        )
        if attribution.std is not None:
            scale = spread_scale(attribution.std[valid])
            rows.append(Row(f"{title} ±", ("one standard deviation",), attribution.std, scale, unit, evidence=False))
    return tuple(rows)


def _mark(explanation: Explanation, attribution: Attribution) -> str:
    evidence = explanation.evidence.get(attribution.method)
    return verdict_in_words(evidence) if evidence is not None and evidence.supported is False else ""


def _notes(attribution: Attribution) -> tuple[str, ...]:
    passes = f"{attribution.forward_passes} forward"
    passes += f" + {attribution.backward_passes} backward" if attribution.backward_passes else ""
    layer = () if attribution.target_layer is None else (f"layer {attribution.target_layer}",)
    return (f"{passes} passes", f"{attribution.seconds:.1f} s", *layer)


def _words(page: Page, x: float, y: float, row: Row, types: Typesetter) -> None:
    room = LABEL_WIDTH - 0.12
    page.text(x, y + 0.09, types.fit(row.title, room, 9.0, bold=True), 9.0, bold=True)
    y += 0.09 + 9.0 * LINE
    if row.mark:
        page.box(x, y - 0.08, types.width(row.mark, 7.0, bold=True) + 0.12, 0.16, RED, rounding=0.04)
        page.text(x + 0.06, y, row.mark, 7.0, bold=True, colour="white")
        y += 0.09 + 7.0 * LINE
    for note in row.notes:
        for line in types.wrap(note, room, 6.5, most=2):
            page.text(x, y, line, 6.5, colour=MUTED)
            y += 6.5 * LINE


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


def _colour_bar(page: Page, x: float, y: float, height: float, row: Row, types: Typesetter) -> None:
    """The colours as they look over mid-grey, with their limits, zero, the unit, and what the two ends speak for."""
    scale = row.scale
    if scale is None or row.values is None:
        return
    margin = 0.16 if row.evidence else 0.05
    top, length = y + margin, height - 2 * margin
    axes = page.axes(x, top, 0.11, length)
    colours = scale.rgba(np.linspace(scale.high, scale.low, 256)[:, None])
    axes.imshow(0.45 * (1 - colours[..., 3:]) + colours[..., :3] * colours[..., 3:], aspect="auto")
    for spine in axes.spines.values():
        spine.set(color=RULE, linewidth=0.5)
    signed = scale.low < 0
    limits = [(scale.high, 0.0), (0.0, 0.5 if signed else 1.0), *([(scale.low, 1.0)] if signed else [])]
    for value, share in limits:
        sign = "" if not scale.clipped or value == 0 else "≥ " if value > 0 else "≤ "
        page.text(x + 0.16, top + share * length, f"{sign}{value:.2g}".replace("-", "−"), 6.5, va=_anchor(share))
    page.text(x + 0.72, y + height / 2, types.fit(row.unit, height, 6.5), 6.5, colour=MUTED, rotation=90, ha="center")
    if row.evidence:
        page.text(x, y + 0.06, "for", 7.0, bold=True, colour=FOR)
        if signed:
            page.text(x, y + height - 0.06, "against", 7.0, bold=True, colour=AGAINST)


def _anchor(share: float) -> str:
    return "top" if share == 0 else "bottom" if share == 1 else "center"
