"""A page in inches from its top left corner; its text is never interpreted and never runs out of its box."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke

from camlime.overview.colours import INK
from camlime.overview.words import clean

DPI = 160
FONT = "DejaVu Sans"
"""Comes with matplotlib, so that the page looks the same everywhere."""

LINE = 1.35 / 72
"""Inches from one line to the next, by point of font size."""

LONGEST_LINE = 400
"""Characters; no page is wide enough for more."""


@dataclass
class Typesetter:
    """Measures text as it will be drawn."""

    _renderer: Any = field(default_factory=lambda: FigureCanvasAgg(Figure(dpi=DPI)).get_renderer())

    def width(self, text: str, size: float, *, bold: bool = False) -> float:
        """Width in inches of one line."""
        width, _, _ = self._renderer.get_text_width_height_descent(text, _font(size, bold), False)
        return float(width) / DPI

    def fit(self, text: str, room: float, size: float, *, bold: bool = False) -> str:
        """The text on one line, its end replaced by an ellipsis if it is wider than ``room`` inches."""
        text = clean(text)[:LONGEST_LINE]
        if self.width(text, size, bold=bold) <= room:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.width(text[:middle].rstrip() + "…", size, bold=bold) <= room:
                low = middle
            else:
                high = middle - 1
        return text[:low].rstrip() + "…"

    def wrap(self, text: str, room: float, size: float, *, most: int = 3) -> list[str]:
        """The text on at most ``most`` lines of ``room`` inches, broken at spaces; the last may end in an ellipsis."""
        words = clean(text).split(" ")
        lines: list[str] = []
        while words and len(lines) < most - 1:
            count = 1
            while count < len(words) and self.width(" ".join(words[: count + 1]), size) <= room:
                count += 1
            lines.append(self.fit(" ".join(words[:count]), room, size))
            words = words[count:]
        return [*lines, self.fit(" ".join(words), room, size)] if words else lines


@dataclass
class Page:
    """A figure addressed in inches from the top left.

    Args:
        width: inches.
        height: inches.
    """

    width: float
    height: float
    figure: Figure = field(init=False)

    def __post_init__(self) -> None:
        self.figure = Figure(figsize=(self.width, self.height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)

    def text(
        self, x: float, y: float, text: str, size: float, *, bold: bool = False, colour: str = INK, **how: Any
    ) -> None:
        """Write one line; ``y`` is its middle unless ``va`` says otherwise."""
        how = {"va": "center", "zorder": 5, **how}
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            text,
            color=colour,
            fontproperties=_font(size, bold),
            parse_math=False,
            usetex=False,
            **how,
        )

    def letter(self, x: float, y: float, text: str, *, size: float = 7.5, ha: str = "center") -> None:
        """Write white on a dark rim, readable on any picture."""
        rim = [withStroke(linewidth=1.8, foreground="black")]
        self.text(x, y, text, size, bold=True, colour="white", ha=ha, path_effects=rim)

    def box(self, x: float, y: float, width: float, height: float, colour: str, *, rounding: float = 0.0) -> None:
        """Fill a rectangle whose top left corner is given."""
        place: dict[str, Any] = {
            "transform": self.figure.dpi_scale_trans,
            "facecolor": colour,
            "linewidth": 0,
            "zorder": 4,
        }
        corner = (x, self.height - y - height)
        if rounding:
            style = f"round,pad=0,rounding_size={rounding}"
            self.figure.add_artist(FancyBboxPatch(corner, width, height, boxstyle=style, **place))
        else:
            self.figure.add_artist(Rectangle(corner, width, height, **place))

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes without ticks and labels whose top left corner is given."""
        axes = self.figure.add_axes(
            (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        )
        axes.set_xticks([])
        axes.set_yticks([])
        return axes


def _font(size: float, bold: bool) -> FontProperties:
    return FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")
