"""Weights of named structures with their intervals, the strongest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from camlime.explanation import Explanation
from camlime.overview.colours import AGAINST, FOR, INK, MUTED, RULE
from camlime.overview.header import BODY, SMALL, Block
from camlime.overview.page import LINE, Page, Typesetter
from camlime.overview.words import clean

MOST = 10
ROW = 0.19


def structure_blocks(explanation: Explanation, width: float, types: Typesetter) -> list[Block]:
    """A chart of the structures' weights, or of the named regions'; none where regions have no names or weights."""
    rows = explanation.structure_table()
    if not rows and explanation.regions.names is not None:
        rows = explanation.region_table()
    rows = sorted((row for row in rows if row.get("weight") is not None), key=lambda row: -abs(row["weight"]))
    if not rows:
        return []
    said = f"and {len(rows) - MOST} more: see explanation.json" if len(rows) > MOST else ""
    height = ROW * min(len(rows), MOST) + SMALL * LINE * (2 if said else 1) + 0.2
    return [Block(height, (_Chart(tuple(rows[:MOST]), said, width, types),))]


@dataclass(frozen=True)
class _Chart:
    """A dot for each weight, a line for its interval."""

    rows: tuple[dict[str, Any], ...]
    rest: str
    width: float
    types: Typesetter

    def draw(self, page: Page, x: float, y: float) -> None:
        """Draw names, dots, lines and numbers."""
        room = 0.3 * self.width
        numbers = 1.75
        start, length = x + room + 0.1, self.width - room - 0.1 - numbers
        ends = [end for row in self.rows for end in (row["interval_95"] or [row["weight"]])]
        low, high = min(0.0, *ends), max(0.0, *ends)
        span = (high - low) or 1.0

        def place(value: float) -> float:
            return start + (value - low) / span * length

        bottom = y + ROW * len(self.rows)
        page.box(place(0.0) - 0.004, y, 0.008, bottom - y, RULE)
        for i, row in enumerate(self.rows):
            middle = y + ROW * (i + 0.5)
            weight, interval = row["weight"], row["interval_95"]
            colour = FOR if weight > 0 else AGAINST
            page.text(x, middle, self.types.fit(row["name"], room, BODY), BODY)
            if interval is not None:
                page.box(
                    place(interval[0]),
                    middle - 0.008,
                    max(place(interval[1]) - place(interval[0]), 0.01),
                    0.016,
                    colour,
                )
            page.box(place(weight) - 0.04, middle - 0.04, 0.08, 0.08, colour, rounding=0.039)
            said = f"{weight:+.2f}" + ("" if interval is None else f" ({interval[0]:+.2f} to {interval[1]:+.2f})")
            page.text(x + self.width, middle, said.replace("-", "−"), SMALL, colour=INK, ha="right")
        legend = "log-odds added by being there, with 95 % interval where known"
        page.text(start, bottom + 0.09, self.types.fit(legend, length + numbers, SMALL), SMALL, colour=MUTED)
        if self.rest:
            page.text(x, bottom + 0.09 + SMALL * LINE, clean(self.rest), SMALL, colour=MUTED)
