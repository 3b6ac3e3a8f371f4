"""What the rows of pictures show, and the words beside them: one row for the scan, one for each map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlime.attribution import Attribution
from camlime.explanation import Explanation
from camlime.overview.colours import (
    AGAINST,
    FOR,
    MUTED,
    RULE,
    VERDICT_COLOURS,
    Scale,
    evidence_scale,
    spread_scale,
)
from camlime.overview.page import LINE, Page, Typesetter
from camlime.overview.words import doubt_in_words, method_title, unit_of, verdict_in_words

LABEL_WIDTH = 1.38
BAR_WIDTH = 0.95

_TITLE, _MARK, _NOTE = 9.0, 7.0, 6.5


@dataclass(frozen=True)
class Layer:
    """Values over the scan, with their colours.

    Args:
        values: ``(*S,)``.
        scale: how they become colours.
        unit: of the values.
        evidence: whether the colours mean for and against.
    """

    values: NDArray[np.float32]
    scale: Scale
    unit: str
    evidence: bool = True


@dataclass(frozen=True)
class Row:
    """One row of pictures.

    Args:
        title: what it shows.
        notes: small print below the title.
        shown: the map; ``None`` for the scan alone.
        spread: its standard deviation, where known.
        mark: the verdict on the map; empty if there is none.
        supported: what the verdict is.
        doubt: why the map is not to be relied on; empty if it is supported or was not judged.
    """

    title: str
    notes: tuple[str, ...] = ()
    shown: Layer | None = None
    spread: Layer | None = None
    mark: str = ""
    supported: bool | None = None
    doubt: str = ""


def rows_of(explanation: Explanation, seen: str) -> tuple[Row, ...]:
    """The scan, the map to show first, then the others in the order that they were asked for.

    Args:
        explanation: whose maps are shown.
        seen: what the scan's row says of it.
    """
    valid = explanation.input.valid.numpy()
    best = explanation.best
    others = [a for a in explanation.attributions.values() if a is not best]
    maps = [] if best is None else [best, *others]
    return (Row("Scan", (seen,)), *[_row(explanation, attribution, valid) for attribution in maps])


def _row(explanation: Explanation, attribution: Attribution, valid: NDArray[np.bool_]) -> Row:
    unit, std = unit_of(attribution), attribution.std
    evidence = explanation.evidence.get(attribution.method)
    return Row(
        method_title(attribution.method),
        _notes(attribution),
        Layer(attribution.values, evidence_scale(attribution.values[valid]), unit),
        None if std is None else Layer(std, spread_scale(std[valid]), unit, evidence=False),
        "" if evidence is None else verdict_in_words(evidence),
        None if evidence is None else evidence.supported,
        "" if evidence is None else doubt_in_words(evidence),
    )


def _notes(attribution: Attribution) -> tuple[str, ...]:
    passes = f"{attribution.forward_passes} forward"
    passes += f" + {attribution.backward_passes} backward" if attribution.backward_passes else ""
    layer = () if attribution.target_layer is None else (f"layer {attribution.target_layer}",)
    return (f"{passes} passes, {attribution.seconds:.1f} s", *layer)


def draw_words(page: Page, x: float, y: float, row: Row, types: Typesetter) -> None:
    """Write a row's title, verdict and small print, from its top left corner."""
    room = LABEL_WIDTH - 0.12
    page.text(x, y + 0.09, types.fit(row.title, room, _TITLE, bold=True), _TITLE, bold=True)
    y += 0.1 + _TITLE * LINE
    if row.mark:
        page.box(
            x, y - 0.08, types.width(row.mark, _MARK, bold=True) + 0.14, 0.16, VERDICT_COLOURS[row.supported],
            rounding=0.04,
        )  # fmt: skip
        page.text(x + 0.07, y, row.mark, _MARK, bold=True, colour="white")
        y += 0.09 + _MARK * LINE
    for note, colour, most in ((row.doubt, VERDICT_COLOURS[False], 3), *[(note, MUTED, 2) for note in row.notes]):
        for line in types.wrap(note, room, _NOTE, most=most) if note else ():
            page.text(x, y, line, _NOTE, colour=colour)
            y += _NOTE * LINE


def draw_colour_bar(page: Page, x: float, y: float, height: float, layer: Layer, types: Typesetter) -> None:
    """The colours as they look over mid-grey, with their limits, zero, the unit, and what the two ends speak for."""
    scale = layer.scale
    margin = 0.16 if layer.evidence else 0.05
    top, length = y + margin, height - 2 * margin
    axes = page.axes(x, top, 0.1, length)
    colours = scale.rgba(np.linspace(scale.high, scale.low, 256)[:, None])
    axes.imshow(0.45 * (1 - colours[..., 3:]) + colours[..., :3] * colours[..., 3:], aspect="auto")
    for spine in axes.spines.values():
        spine.set(color=RULE, linewidth=0.5)
    signed = scale.low < 0
    limits = [(scale.high, 0.0), (0.0, 0.5 if signed else 1.0), *([(scale.low, 1.0)] if signed else [])]
    for value, share in limits:
        sign = "" if not scale.clipped or value == 0 else "≥ " if value > 0 else "≤ "
        page.text(x + 0.15, top + share * length, f"{sign}{value:.2g}".replace("-", "−"), _NOTE, va=_anchor(share))
    page.text(
        x + 0.71, y + height / 2, types.fit(layer.unit, height, _NOTE), _NOTE, colour=MUTED, rotation=90, ha="center"
    )
    if layer.evidence:
        page.text(x, y + 0.06, "for", _MARK, bold=True, colour=FOR)
        if signed:
            page.text(x, y + height - 0.06, "against", _MARK, bold=True, colour=AGAINST)


def _anchor(share: float) -> str:
    return "top" if share == 0 else "bottom" if share == 1 else "center"
