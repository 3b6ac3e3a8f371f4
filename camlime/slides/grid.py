"""The tiles of a slide at a bundle's resolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlime.bundle import Bundle
from camlime.errors import BundleError, RequestError, ScanError
from camlime.slides.slide import Slide
from camlime.slides.tissue import Tissue

LEAST_TISSUE = 0.25
"""Share of a tile that has to be tissue."""

MUCH_COARSER = 1.1
"""A slide that is coarser than the bundle's tiles by more than this factor is warned of."""


@dataclass(frozen=True)
class Tile:
    """One cell of the grid.

    Args:
        row: of the grid, from above.
        column: of the grid, from the left.
        x: left edge, slide coordinates (pixels of the finest level).
        y: upper edge.
        width: in slide pixels.
        height: in slide pixels.
    """

    row: int
    column: int
    x: float
    y: float
    width: float
    height: float

    @property
    def name(self) -> str:
        """Tells tiles of a slide apart, in file names too: the slide pixel of the upper left corner."""
        return f"x{round(self.x)}_y{round(self.y)}"


@dataclass(frozen=True, eq=False)
class Grid:
    """Tiles side by side from the slide's upper left corner; the last ones end before the slide does.

    Args:
        size: (columns, rows) of pixels of a tile, as the bundle's preprocessing takes it.
        downsample: slide pixels along one pixel of a tile.
        slide_microns: microns along a slide pixel; ``None`` where nobody knows.
        share: shape ``(rows, columns)``, the share of each tile that is tissue.
        wanted: shape ``(rows, columns)``, bool: tiles with tissue enough.
        notes: what had to be assumed, in sentences.
    """

    size: tuple[int, int]
    downsample: float
    slide_microns: float | None
    share: NDArray[np.float64]
    wanted: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @property
    def tile_microns(self) -> float | None:
        """Microns along a pixel of a tile."""
        return None if self.slide_microns is None else self.slide_microns * self.downsample

    def tile(self, row: int, column: int) -> Tile:
        """The tile of a cell."""
        width, height = (n * self.downsample for n in self.size)
        return Tile(row, column, column * width, row * height, width, height)

    def tiles(self) -> Iterator[Tile]:
        """The wanted tiles, row by row."""
        for row, column in zip(*np.nonzero(self.wanted), strict=True):
            yield self.tile(int(row), int(column))

    def at(self, x: float, y: float) -> Tile:
        """The tile that holds a point of the slide, tissue or not.

        Raises:
            RequestError: no tile does.
        """
        width, height = (n * self.downsample for n in self.size)
        rows, columns = self.wanted.shape
        if not (0 <= x < columns * width and 0 <= y < rows * height):
            raise RequestError(
                f"the slide has no tile at pixel ({x:g}, {y:g})",
                hint=f"tiles reach from (0, 0) to ({columns * width:.0f}, {rows * height:.0f}), in pixels of the "
                "slide's finest level",
            )
        return self.tile(int(y // height), int(x // width))


def tile_grid(
    slide: Slide,
    tissue: Tissue,
    bundle: Bundle,
    *,
    slide_microns: float | None = None,
    least_tissue: float = LEAST_TISSUE,
) -> Grid:
    """Lay the bundle's tiles over a slide.

    The bundle's ``explain.json`` says their resolution (``microns_per_pixel``) and size (``tile_size``, else the
    network's input size in its metadata). Where the bundle or the slide does not say its resolution, the tiles are
    taken from the slide's finest level as it is, and a note says so.

    Args:
        slide: to be covered.
        tissue: of this slide.
        bundle: for RGB pictures.
        slide_microns: microns per pixel of the finest level, over what the file says.
        least_tissue: share of a tile, 0 to 1.

    Raises:
        BundleError: the bundle does not take RGB pictures, or does not say how large.
        ScanError: the slide is smaller than a tile, or no tile has tissue enough.
    """
    check_rgb(bundle)
    size = _tile_size(bundle)
    given = slide_microns or slide.microns_per_pixel
    wanted_microns = bundle.explain_settings.microns_per_pixel
    downsample, notes = _downsample(slide, bundle, given, wanted_microns)
    width, height = (n * downsample for n in size)
    columns, rows = int(slide.width / width + 1e-6), int(slide.height / height + 1e-6)
    if not columns or not rows:
        raise ScanError(
            f"{slide.path} has {slide.width} x {slide.height} pixels, less than one tile of {width:.0f} x {height:.0f}",
            hint="explain it as a picture: camlime explain",
        )
    share = tissue.shares(np.arange(columns + 1) * width, np.arange(rows + 1) * height)
    wanted = share >= least_tissue
    if not wanted.any():
        raise ScanError(
            f"no tile of {slide.path} has {least_tissue:.0%} of tissue: the most is {share.max():.0%}",
            hint="give a lower --tissue",
        )
    if _beyond(tissue, columns * width, rows * height):
        notes.append("some tissue lies beyond the last whole tile at the slide's right or lower edge: not looked at")
    return Grid(size, downsample, given, share, wanted, tuple(notes))


def check_rgb(bundle: Bundle) -> None:
    """Find out before a slide is read whether a bundle takes RGB pictures.

    Raises:
        BundleError: it does not.
    """
    if bundle.spatial_dims != 2 or bundle.input_channels != 3:
        raise BundleError(
            f"bundle '{bundle.name}' takes {bundle.input_channels} channel(s) in {bundle.spatial_dims}D, and a slide "
            "is a 2D picture with 3",
            hint="slides need a bundle for RGB pictures",
        )


def _tile_size(bundle: Bundle) -> tuple[int, int]:
    own = bundle.explain_settings.tile_size
    if own is not None:
        return own
    shape = [n for n in bundle.input_shape if n is not None]
    if len(shape) != 2:
        raise BundleError(
            f"bundle '{bundle.name}' does not say how large its tiles are",
            hint='add "tile_size" in pixels to the block "explain" of its configs/explain.json',
        )
    return shape[0], shape[1]


def _downsample(slide: Slide, bundle: Bundle, given: float | None, wanted: float | None) -> tuple[float, list[str]]:
    notes = []
    if wanted is None:
        notes.append(
            f"bundle '{bundle.name}' does not say the resolution of its tiles (microns_per_pixel in explain.json): the "
            "slide's finest level was taken as it is"
        )
    if given is None:
        notes.append(
            "the slide does not say its resolution (give --mpp): "
            + ("tiles have no size in microns" if wanted is None else f"{wanted:g} microns a pixel are assumed")
        )
    if wanted is None or given is None:
        return 1.0, notes
    if given > MUCH_COARSER * wanted:
        notes.append(
            f"the slide has {given:.3g} microns a pixel, coarser than the {wanted:.3g} of the bundle's tiles: they are "
            "enlarged, and the answers are to be doubted"
        )
    return wanted / given, notes


def _beyond(tissue: Tissue, width: float, height: float) -> bool:
    columns = int(np.ceil(width / tissue.downsample[0]))
    rows = int(np.ceil(height / tissue.downsample[1]))
    return bool(tissue.mask[:, columns:].any() or tissue.mask[rows:].any())
