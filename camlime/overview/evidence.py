"""The evidence on the page: a verdict, a sentence, the removal curves beside those of random orders, their areas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from camlime.evidence.curves import Curve, MapCurves
from camlime.evidence.records import Evidence
from camlime.overview.areas import Areas, AreaTable, areas_of, table_height
from camlime.overview.colours import AGAINST, FOR, INK, MUTED, RULE, VERDICT_COLOURS
from camlime.overview.header import SMALL, Block, note
from camlime.overview.page import Page, Typesetter
from camlime.overview.words import clean, method_title, verdict_in_words
from camlime.overview.words import evidence_in_words as in_words

CHART_HEIGHT = 0.95
LIMITS = 0.34
"""Inches left of a chart, for its limits."""

BELOW = 0.16 + CHART_HEIGHT + 0.2
"""Inches from the top of a pair of charts to its table."""

GAP = 0.3
IN_A_ROW = 2
ROOM_FOR_UNIT = 1.6

_KEY = (("most relevant first", FOR), ("least relevant first", AGAINST), ("random order", MUTED))


def evidence_blocks(evidence: Mapping[str, Evidence], width: float, types: Typesetter) -> list[Block]:
    """A verdict and the curves for the map that was examined first; the verdicts on the others stand beside them."""
    for method, found in evidence.items():
        badge = f"{method_title(method)}: {verdict_in_words(found)}"
        blocks = [note(badge, VERDICT_COLOURS[found.supported], in_words(found), width, types)]
        return [*blocks, _curves(found, width, types)] if found.baselines else blocks
    return []


def _curves(evidence: Evidence, width: float, types: Typesetter) -> Block:
    names = list(evidence.baselines)
    wide = (width - GAP * (IN_A_ROW - 1)) / IN_A_ROW
    lines = {name: tuple(areas_of(test)) for name, test in evidence.baselines.items()}
    row = BELOW + max(table_height(len(found)) for found in lines.values()) + 0.16
    charts = [
        _Charts(
            evidence.baselines[name].curves,
            evidence.baselines[name].controls["random"],
            name,
            lines[name],
            types,
        ).at((i % IN_A_ROW) * (wide + GAP), 0.18 + (i // IN_A_ROW) * row, wide)
        for i, name in enumerate(names)
    ]
    rows = -(-len(names) // IN_A_ROW)
    return Block(0.18 + rows * row + 0.02, (_Key(evidence.class_name, width, types), *charts))


@dataclass(frozen=True)
class _Key:
    """What the lines mean."""

    class_name: str
    width: float
    types: Typesetter

    def draw(self, page: Page, x: float, y: float) -> None:
        """Write it on one line."""
        end = x + self.width
        for said, colour in _KEY:
            page.box(x, y + 0.045, 0.16, 0.03, colour)
            page.text(x + 0.2, y + 0.06, said, SMALL, colour=MUTED)
            x += 0.32 + self.types.width(said, SMALL)
        title = self.types.fit(f"log-odds of {self.class_name}; dotted: p = 0.5", end - x, SMALL)
        page.text(end, y + 0.06, title, SMALL, colour=MUTED, ha="right")


@dataclass(frozen=True)
class _Charts:
    """Deletion and insertion with one baseline, and a table of the areas below."""

    curves: MapCurves
    random: MapCurves
    baseline: str
    lines: tuple[Areas, ...]
    types: Typesetter
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0

    def at(self, x: float, y: float, width: float) -> _Charts:
        """The same, in that place of its block."""
        return _Charts(self.curves, self.random, self.baseline, self.lines, self.types, x, y, width)

    def draw(self, page: Page, x: float, y: float) -> None:
        """Draw both charts on one scale."""
        x, y = x + self.x, y + self.y
        deletion = [(self.curves.most_first, FOR), (self.curves.least_first, AGAINST), (self.random.most_first, MUTED)]
        insertion = [
            (self.curves.insertion, FOR),
            (self.curves.most_first.backwards(), AGAINST),
            (self.random.insertion, MUTED),
        ]
        values = np.concatenate([curve.log_odds for curve, _ in [*deletion, *insertion]])
        low, high = float(values.min()), float(values.max())
        wide = (self.width - LIMITS - GAP / 2) / 2
        top = y + 0.16
        for limit, place in ((high, "top"), (low, "bottom")):
            at = top if place == "top" else top + CHART_HEIGHT
            page.text(x + LIMITS - 0.05, at, f"{limit:.1f}".replace("-", "−"), 6.5, ha="right", va=place)
        for i, (said, curves) in enumerate((("removed", deletion), ("put back", insertion))):
            left = x + LIMITS + i * (wide + GAP / 2)
            self._chart(page, left, top, wide, curves, (low, high))
            under = top + CHART_HEIGHT + 0.08
            for at, share, place in ((left, "0", "left"), (left + wide, "100 %", "right")):
                page.text(at, under, share, 6.5, ha=place)
            if wide > ROOM_FOR_UNIT:
                page.text(left + wide / 2, under, f"of the voxels {said}", 6.5, colour=MUTED, ha="center")
            title = f"replaced by: {clean(self.baseline)}"
            page.text(left + wide / 2, y + 0.07, self.types.fit(title, wide, 6.5), 6.5, colour=MUTED, ha="center")
        AreaTable(self.lines, self.width, self.types).draw(page, x, y + BELOW)

    def _chart(
        self,
        page: Page,
        x: float,
        y: float,
        width: float,
        curves: list[tuple[Curve, str]],
        limits: tuple[float, float],
    ) -> None:
        axes = page.axes(x, y, width, CHART_HEIGHT)
        margin = 0.04 * (limits[1] - limits[0]) or 1.0
        axes.set(xlim=(0, 1), ylim=(limits[0] - margin, limits[1] + margin))
        axes.axhline(0.0, color=INK, linewidth=0.5, linestyle=":")
        first, second = curves[0][0], curves[1][0]
        axes.fill_between(self.curves.fractions, first.log_odds, second.log_odds, color=RULE, alpha=0.45, linewidth=0)
        for curve, colour in reversed(curves):
            axes.plot(self.curves.fractions, curve.log_odds, color=colour, linewidth=1.2)
        for spine in axes.spines.values():
            spine.set(color=INK, linewidth=0.6)
