"""The areas under the removal curves as a small table: of the map, of the controls, and what its copies reach."""

from __future__ import annotations

from dataclasses import dataclass

from camlime.evidence.records import BaselineEvidence
from camlime.overview.colours import INK, MUTED, RULE
from camlime.overview.page import LINE, Page, Typesetter
from camlime.overview.words import clean

SIZE = 6.5
ROW = SIZE * LINE * 1.08
COLUMNS = ("deletion ↓", "insertion ↑", "ABPC ↑")
"""Areas in log-odds, and which way is better; the last is that between the lines, insertion less deletion."""

CONTROLS = {"random": "random order", "centre": "blob in the centre", "intensity": "plain intensity"}
_GAP, _NARROW_GAP = 0.22, 0.1
_WIDE = 3.2
_RULE = 0.07


@dataclass(frozen=True)
class Areas:
    """One line: the areas in log-odds, those that are not known ``None``."""

    name: str
    deletion: float | None
    insertion: float | None
    between: float


def areas_of(test: BaselineEvidence) -> list[Areas]:
    """The map, the 95th percentile of its shifted copies where it was judged, and the controls that were measured."""
    lines = [("this map", test.curves), *[(name, curves) for name, curves in test.controls.items()]]
    found = [
        Areas(
            name,
            curves.most_first.area(curves.fractions)["log_odds"],
            curves.insertion.area(curves.fractions)["log_odds"],
            curves.abpc["log_odds"],
        )
        for name, curves in lines
    ]
    if test.threshold is not None:
        found.insert(1, Areas("copies", None, None, test.threshold))
    return found


def table_height(lines: int) -> float:
    """Inches of a table with so many lines below its head."""
    return ROW * (lines + 1) + _RULE


@dataclass(frozen=True)
class AreaTable:
    """The table of one baseline.

    Args:
        lines: from top to bottom.
        width: inches.
        types: measures text.
    """

    lines: tuple[Areas, ...]
    width: float
    types: Typesetter

    def draw(self, page: Page, x: float, y: float) -> None:
        """Draw it from its top left corner."""
        ends = self._ends(x)
        page.text(x, y + ROW / 2, self.types.fit("area, log-odds", self._room(x, ends), SIZE), SIZE, colour=MUTED)
        for end, title in zip(ends, COLUMNS, strict=True):
            page.text(end, y + ROW / 2, title, SIZE, colour=MUTED, ha="right")
        y += ROW + _RULE / 2
        page.box(x, y - 0.003, self.width, 0.006, RULE)
        y += _RULE / 2 + ROW / 2
        for i, line in enumerate(self.lines):
            own = i == 0
            colour = INK if own else MUTED
            page.text(x, y, self._name(line.name, self._room(x, ends)), SIZE, bold=own, colour=colour)
            for end, value in zip(ends, (line.deletion, line.insertion, line.between), strict=True):
                if value is not None:
                    page.text(end, y, written(value), SIZE, bold=own, colour=colour, ha="right")
            y += ROW

    def _ends(self, x: float) -> list[float]:
        """Right ends of the columns, the last at the table's own."""
        column = self._column()
        return [x + self.width - column * (len(COLUMNS) - 1 - i) for i in range(len(COLUMNS))]

    def _column(self) -> float:
        gap = _GAP if self.width > _WIDE else _NARROW_GAP
        return max(self.types.width(title, SIZE) for title in COLUMNS) + gap

    def _room(self, x: float, ends: list[float]) -> float:
        return ends[0] - self._column() - x

    def _name(self, name: str, room: float) -> str:
        """In full where there is room, else short."""
        full = "95 % of its shifted copies below" if name == "copies" else CONTROLS.get(name, clean(name))
        short = "95 % of copies" if name == "copies" else name if name in CONTROLS else full
        return full if self.types.width(full, SIZE) <= room else self.types.fit(short, room, SIZE)


def written(value: float) -> str:
    """Two decimals, with a true minus, and zero without a sign."""
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")
