"""Why the model answers as it does on one tile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from camlime.bundle import Bundle
from camlime.classifier import Classifier
from camlime.explanation import Explanation
from camlime.pipeline import Listeners, Prepared, explain
from camlime.slides.grid import Grid, Tile
from camlime.slides.mapping import tile_scan
from camlime.slides.slide import Slide


def explain_tile(
    slide: Slide,
    bundle: Bundle,
    classifier: Classifier,
    *,
    grid: Grid,
    tile: Tile,
    seen: bool = False,
    listeners: Listeners | None = None,
    **settings: Any,
) -> Explanation:
    """Explain a tile as :func:`camlime.explain` explains a picture; the provenance says where it lies in the slide.

    Args:
        slide: opened.
        bundle: for RGB pictures.
        classifier: its model on a device.
        grid: of this slide and bundle.
        tile: of this grid.
        seen: a person pointed at it. Any other has no class, if the bundle presumes anything.
        listeners: for progress and to cancel.
        **settings: the fields of :class:`camlime.pipeline.Settings`.

    Raises:
        CamlimeError: anything the user can put right.
    """
    scan = tile_scan(slide, grid, tile)
    ready = Prepared(bundle.prepare(scan), classifier)
    explanation = explain(scan, bundle, prepared=ready, listeners=listeners, **settings)
    place = {"slide": slide.path.name, **place_of(tile, grid)}
    prediction = explanation.prediction
    return replace(
        explanation.answered(replace(prediction, unconfirmed=prediction.presumes is not None and not seen)),
        provenance={**explanation.provenance, "slide": place},
        warnings=(*explanation.warnings, *grid.notes),
    )


def place_of(tile: Tile, grid: Grid) -> dict[str, Any]:
    """Where a tile lies, in pixels of the slide's finest level, and at which resolution it was looked at."""
    return {
        "x": tile.x,
        "y": tile.y,
        "width": tile.width,
        "height": tile.height,
        "row": tile.row,
        "column": tile.column,
        "downsample": grid.downsample,
        "slide_microns_per_pixel": grid.slide_microns,
        "tile_microns_per_pixel": grid.tile_microns,
    }
