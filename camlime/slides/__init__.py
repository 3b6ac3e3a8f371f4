"""Images too large for memory: read by tiles at a bundle's resolution, mapped, and explained tile by tile.

:func:`map_slide` gives a probability a class and tile over the slide's tissue, :func:`explain_tile` one tile's
explanation with its place in the slide, :func:`save_map` the files. How it is used: ``docs/slides.md``.
"""

from camlime.slides.explaining import explain_tile
from camlime.slides.grid import Grid, Tile, tile_grid
from camlime.slides.mapping import SlideMap, map_slide
from camlime.slides.opening import open_slide
from camlime.slides.saving import save_map
from camlime.slides.slide import Slide
from camlime.slides.tissue import Tissue, find_tissue

__all__ = [
    "Grid",
    "Slide",
    "SlideMap",
    "Tile",
    "Tissue",
    "explain_tile",
    "find_tissue",
    "map_slide",
    "open_slide",
    "save_map",
    "tile_grid",
]
