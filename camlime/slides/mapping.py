"""The model's answer on every tile with tissue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlime.bundle import Bundle
from camlime.classifier import Classifier
from camlime.domain import Domain, answers_and_features
from camlime.errors import BundleError, RequestError
from camlime.methods.case import Progress
from camlime.scan import Scan
from camlime.slides.grid import Grid, Tile
from camlime.slides.slide import Pixels, Slide
from camlime.slides.tissue import Tissue

READ_AHEAD = 32
"""Tiles in memory at once, at least as many as a batch."""

MANY_FLAGGED = 0.5
"""Share of flagged tiles from which on the slide itself is doubted."""


@dataclass(frozen=True, eq=False)
class SlideMap:
    """A probability a class and tile.

    Args:
        source: the slide's file.
        slide_size: (columns, rows) of its finest level.
        grid: where the tiles lie.
        tissue: what was told from glass.
        class_names: of the bundle.
        probabilities: shape ``(K, rows, columns)``, float32; NaN for tiles that were not classified: too little tissue,
            of a single value, or not reached.
        complete: ``False`` if it was cancelled on the way.
        scores: shape ``(rows, columns)``, how unlike the training data a tile is; NaN where it was not classified,
            ``None`` where the bundle cannot tell. See :mod:`camlime.domain`.
        threshold: the score beyond which a tile is flagged: its answer means nothing.
        presumes: what every training image shows, such as "a tumour". Nobody has looked at every tile, so that none has
            a class: the probabilities are those of the classes if the tile shows it. ``None`` for nothing.
    """

    source: Path
    slide_size: tuple[int, int]
    grid: Grid
    tissue: Tissue
    class_names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    complete: bool = True
    scores: NDArray[np.float32] | None = None
    threshold: float | None = None
    presumes: str | None = None
    _known: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", np.isfinite(self.probabilities[0]))

    @property
    def classified(self) -> int:
        """How many tiles have an answer."""
        return int(self._known.sum())

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Shape ``(rows, columns)``: tiles unlike the training data."""
        if self.scores is None or self.threshold is None:
            return np.zeros_like(self._known)
        return self._known & (self.scores > self.threshold)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Shape ``(rows, columns)``: classified and not flagged."""
        answered: NDArray[np.bool_] = self._known & ~self.flagged
        return answered

    def counts(self) -> dict[str, int]:
        """By class, the answered tiles for which it is the most probable one."""
        winners = np.argmax(self.probabilities[:, self.answered], axis=0)
        return {name: int((winners == i).sum()) for i, name in enumerate(self.class_names)}

    def commonest(self) -> str:
        """The class that is the most probable one on most answered tiles, the first one where none is answered.

        This is no diagnosis of the slide.
        """
        counts = self.counts()
        return max(counts, key=lambda name: counts[name])

    def class_index(self, name: str) -> int:
        """The index of a class.

        Raises:
            RequestError: there is no such class.
        """
        if name not in self.class_names:
            raise RequestError(f"there is no class '{name}'", hint="classes: " + ", ".join(self.class_names))
        return self.class_names.index(name)

    def strongest(self, class_name: str, count: int) -> list[Tile]:
        """The answered tiles where a class is most probable, the best first; of equal ones the upper left first.

        Raises:
            RequestError: there is no such class.
        """
        values = self.probabilities[self.class_index(class_name)]
        order = np.argsort(np.where(self.answered, -values, np.inf), axis=None, kind="stable")
        places = zip(*np.unravel_index(order[: min(count, self.answered.sum())], values.shape), strict=True)
        return [self.grid.tile(int(row), int(column)) for row, column in places]


def map_slide(
    slide: Slide,
    bundle: Bundle,
    classifier: Classifier,
    *,
    grid: Grid,
    tissue: Tissue,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> SlideMap:
    """Classify the wanted tiles, batch by batch, so that memory does not grow with the slide but for the map itself.

    Args:
        slide: opened.
        bundle: for RGB pictures.
        classifier: its model on a device.
        grid: of this slide and bundle.
        tissue: of this slide.
        on_progress: after each batch, of method ``map``.
        cancelled: asked between batches; ``True`` ends the work with what is there.

    Raises:
        ScanError: the file is damaged.
        BundleError: the bundle fails on a tile.
    """
    probabilities = np.full((len(bundle.class_names), *grid.wanted.shape), np.nan, dtype=np.float32)
    scores = np.full(grid.wanted.shape, np.nan, dtype=np.float32)
    domain = Domain.of(bundle)
    total, done = int(grid.wanted.sum()), 0
    tiles = grid.tiles()
    while done < total and not cancelled():
        group = list(islice(tiles, max(READ_AHEAD, classifier.given_batch_size or 0)))
        inputs = {tile: image for tile in group if (image := _input(slide, bundle, grid, tile)) is not None}
        if inputs:
            images = _stacked(inputs.values(), bundle)
            where = [tile.row for tile in inputs], [tile.column for tile in inputs]
            if domain is None:
                logits = classifier.logits(images)
            else:
                logits, features = answers_and_features(classifier, images, domain.layers)
                scores[where] = domain.scores(features)
            probabilities[:, where[0], where[1]] = classifier.probabilities(logits).numpy().T
        done += len(group)
        on_progress(Progress("map", done, total))
    size = slide.width, slide.height
    return SlideMap(
        slide.path,
        size,
        grid,
        tissue,
        bundle.class_names,
        probabilities,
        complete=done == total,
        scores=None if domain is None else scores,
        threshold=None if domain is None else domain.threshold,
        presumes=bundle.explain_settings.presumes,
    )


def flag_notes(made: SlideMap) -> tuple[str, ...]:
    """Say that tiles have no class, and how many are unlike the training data; empty where nothing is to be said."""
    notes = []
    if made.presumes is not None:
        notes.append(
            f"every image that the bundle was trained on shows {made.presumes}, so that it cannot tell where there is "
            f"none: a tile has a class once somebody who sees {made.presumes} there points at it"
        )
    flagged = int(made.flagged.sum())
    if not flagged:
        return tuple(notes)
    said = f"{flagged} of {made.classified} tiles are unlike the training data: their answers mean nothing"
    if flagged > MANY_FLAGGED * made.classified:
        said += "; is this the right stain, and is the resolution right (--mpp)?"
    return (*notes, said)


def tile_scan(slide: Slide, grid: Grid, tile: Tile) -> Scan:
    """A tile as a scan, the same as if it had been cut out and saved as a picture, only with its place.

    As for every picture one pixel is one mm by convention, here a pixel at the resolution of the grid, and the frame is
    that of the whole slide: maps of several tiles lie where the tiles do. The point (x, y) of the slide lies at RAS
    ``(x / downsample - 0.5, y / downsample - 0.5, 0)``.
    """
    return _scan(slide, grid, tile, slide.read_scaled(tile.x, tile.y, grid.downsample, grid.size))


def _input(slide: Slide, bundle: Bundle, grid: Grid, tile: Tile) -> Tensor | None:
    """What the network sees of a tile; ``None`` for one of a single value, such as empty glass."""
    pixels = slide.read_scaled(tile.x, tile.y, grid.downsample, grid.size)
    if pixels.min() == pixels.max():
        return None
    return bundle.prepare(_scan(slide, grid, tile, pixels)).image


def _scan(slide: Slide, grid: Grid, tile: Tile, pixels: Pixels) -> Scan:
    affine = np.eye(4)
    affine[:2, 3] = tile.column * grid.size[0], tile.row * grid.size[1]
    name = slide.path.with_name(f"{slide.path.name}#{tile.name}")
    return Scan.from_array(pixels.transpose(2, 1, 0), affine, source=name)


def _stacked(images: Iterable[Tensor], bundle: Bundle) -> Tensor:
    together = list(images)
    if len({image.shape for image in together}) > 1:
        raise BundleError(
            f"the preprocessing of bundle '{bundle.name}' makes images of different sizes of tiles of one size",
            hint="slides need a preprocessing whose output has a fixed size",
        )
    return torch.stack(together)
