"""The slide in small, and a class's probability over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from camlime.overview.page import Typesetter
from camlime.overview.words import clean
from camlime.slides.grid import Tile
from camlime.slides.mapping import SlideMap
from camlime.slides.slide import Pixels

_DPI = 130
_EDGE = 7.0
"""Inches of the longer edge of a panel."""

_COLOURS = "viridis"
"""Its lightness grows evenly, so that it reads in grey and with colour blindness."""

_OPACITY = 0.8
_FLAGGED = 0.55
"""Grey, which no probability has: tiles unlike the training data."""
_RIM = 2.2
"""Points of the line around a number: readable on any picture."""

_SCALE_BARS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
"""Microns."""


def draw_map(made: SlideMap, path: Path, *, shown: str, tiles: Sequence[Tile] = ()) -> None:
    """Draw the slide, and beside it the probability of a class on each classified tile.

    Args:
        made: the map.
        path: a PNG.
        shown: the class.
        tiles: to be outlined and numbered from 1 in both.
    """
    width, height = made.slide_size
    scale = _EDGE / max(width, height)
    panel_w, panel_h = max(width * scale, 1.6), max(height * scale, 1.6)
    page_w, page_h = 2 * panel_w + 1.5, panel_h + 0.95
    figure = Figure(figsize=(page_w, page_h), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    left, right = (
        figure.add_axes((x / page_w, 0.2 / page_h, panel_w / page_w, panel_h / page_h)) for x in (0.2, panel_w + 0.4)
    )
    thumbnail = made.tissue.thumbnail
    for axes, image in ((left, thumbnail), (right, _pale(thumbnail))):
        _draw_slide(axes, made, image)
        _outline(axes, tiles)
    _draw_probability(right, made, shown)
    bar = figure.add_axes(((2 * panel_w + 0.55) / page_w, 0.2 / page_h, 0.14 / page_w, panel_h / page_h))
    figure.colorbar(ScalarMappable(cmap=_COLOURS), cax=bar).ax.tick_params(labelsize=7)
    _scale_bar(left, made)
    fitted = Typesetter().fit
    note = "" if made.complete else "   INTERRUPTED: not all tiles were reached"
    looked = f"{made.classified} tiles with tissue of {made.grid.wanted.size}{note}"
    flagged = int(made.flagged.sum())
    grey = f"; grey: {flagged} tiles unlike the training data" if flagged else ""
    condition = f", if {clean(made.presumes)} is there" if made.presumes else ""
    for x, y, text, size in (
        (0.2, 0.28, made.source.name, 11),
        (0.2, 0.55, looked, 8),
        (panel_w + 0.4, 0.28, f"p({shown}){condition}", 11),
        (panel_w + 0.4, 0.55, f"one value a tile; not a diagnosis of the slide{grey}", 8),
    ):
        said = fitted(text, panel_w, size)
        figure.text(x / page_w, 1 - y / page_h, said, fontsize=size, va="center", parse_math=False)
    figure.savefig(path, dpi=_DPI)


def _pale(thumbnail: Pixels) -> Pixels:
    """Light grey, so that the colours over it keep the meaning that the bar gives them."""
    grey = thumbnail.mean(axis=2, keepdims=True)
    return np.repeat(255 - 0.6 * (255 - grey), 3, axis=2).astype(np.uint8)


def _draw_slide(axes: Axes, made: SlideMap, image: Pixels) -> None:
    width, height = made.slide_size
    down_x, down_y = made.tissue.downsample
    rows, columns = made.tissue.mask.shape
    axes.imshow(image, extent=(0, columns * down_x, rows * down_y, 0), interpolation="antialiased")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_probability(axes: Axes, made: SlideMap, shown: str) -> None:
    values = made.probabilities[made.class_index(shown)]
    tile = made.grid.tile(0, 0)
    colours = colormaps[_COLOURS](np.nan_to_num(values))
    colours[made.flagged, :3] = _FLAGGED
    colours[..., 3] = np.where(np.isfinite(values), _OPACITY, 0)
    rows, columns = values.shape
    extent = (0, columns * tile.width, rows * tile.height, 0)
    axes.imshow(colours, extent=extent, interpolation="nearest")
    width, height = made.slide_size
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _outline(axes: Axes, tiles: Sequence[Tile]) -> None:
    axes.apply_aspect()  # so that places on the page are final
    for number, tile in enumerate(tiles, start=1):
        for colour, line in (("black", 2.6), ("white", 1.2)):
            box = Rectangle((tile.x, tile.y), tile.width, tile.height, fill=False, edgecolor=colour, linewidth=line)
            axes.add_patch(box)
        _number(axes, tile, str(number))


def _number(axes: Axes, tile: Tile, said: str) -> None:
    """Write beyond the tile's upper right corner, or within it where the picture ends there."""
    rim = [withStroke(linewidth=_RIM, foreground="black")]
    corner = (tile.x + tile.width, tile.y)
    how: dict[str, Any] = {"color": "white", "fontsize": 8, "fontweight": "bold", "path_effects": rim}
    text = axes.annotate(said, corner, (3, 0), textcoords="offset points", **how)
    drawn, panel = text.get_window_extent().padded(_RIM / 2 * axes.figure.dpi / 72), axes.get_window_extent()
    if drawn.x1 > panel.x1 or drawn.y1 > panel.y1:
        text.set(position=(-4, -4), ha="right", va="top")


def _scale_bar(axes: Axes, made: SlideMap) -> None:
    microns = made.grid.slide_microns
    if microns is None:
        return
    width, height = made.slide_size
    fitting = [bar for bar in _SCALE_BARS if bar <= 0.3 * width * microns]
    if not fitting:
        return
    length = fitting[-1]
    x, y = 0.03 * width, 0.97 * height
    axes.plot([x, x + length / microns], [y, y], color="black", linewidth=2.5, solid_capstyle="butt")
    said = f"{length} µm" if length < 1000 else f"{length // 1000} mm"
    rim = [withStroke(linewidth=2.2, foreground="white")]
    axes.text(x, y - 0.012 * height, said, fontsize=7, va="bottom", path_effects=rim)
