"""Map a slide, explain the chosen tiles, and save what comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from camlime.bundle import Bundle
from camlime.classifier import Classifier
from camlime.cli import INTERRUPTED
from camlime.cli.console import stderr, stdout
from camlime.cli.interrupts import Interrupts
from camlime.cli.progress import Watch
from camlime.device import select_device
from camlime.errors import ScanError
from camlime.explanation import Explanation
from camlime.overview.words import clean
from camlime.pipeline import checked_methods, classifier_of
from camlime.provenance import made_with
from camlime.slides import Slide, explain_tile, find_tissue, map_slide, open_slide, save_map, tile_grid
from camlime.slides.grid import Tile, check_rgb
from camlime.slides.mapping import SlideMap, flag_notes
from camlime.slides.saving import check_folder, name_explained, tile_folder
from camlime.slides.tissue import everywhere


@dataclass(frozen=True)
class SlideRequest:
    """What the user asked for.

    Args:
        slide: a file.
        bundle: folder, or name of a shipped one.
        output: folder.
        class_name: whose most probable tiles are explained; the commonest class if ``None``.
        count: how many of them.
        points: slide pixels (x, y) whose tiles are explained.
        microns: per pixel of the finest level, over what the file says.
        tissue: least share of a tile.
        trust_code: let the bundle run code.
        quiet: print the files only.
        settings: fields of :class:`camlime.pipeline.Settings`, for the explanations.
    """

    slide: Path
    bundle: str
    output: Path
    class_name: str | None = None
    count: int = 3
    points: tuple[tuple[float, float], ...] = ()
    microns: float | None = None
    tissue: float = 0.25
    trust_code: bool = False
    quiet: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def run_slide(request: SlideRequest) -> None:
    """Map, save the map, then explain and save tile by tile; a first Ctrl-C keeps what there is.

    Raises:
        typer.Exit: interrupted; what was kept is saved and named.
        KeyboardInterrupt: interrupted with nothing saved.
    """
    if request.settings["methods"] is not None:
        checked_methods(request.settings["methods"])
    device, batch_size = request.settings["device"], request.settings["batch_size"]
    select_device(device)
    check_folder(request.output, request.slide)
    with Interrupts() as interrupts, open_slide(request.slide) as slide:
        with stderr().busy("reading bundle and slide", quiet=request.quiet):
            bundle = Bundle.load(request.bundle, trust_code=request.trust_code)
            classifier = classifier_of(bundle, device=device, batch_size=batch_size)
            if request.class_name is not None:
                classifier.class_index(request.class_name)
            check_rgb(bundle)
            tissue = find_tissue(slide) if request.tissue else everywhere(slide)
            grid = tile_grid(slide, tissue, bundle, slide_microns=request.microns, least_tissue=request.tissue)
            asked = [grid.at(x, y) for x, y in request.points]
        interrupts.soften()
        with Watch(interrupts, quiet=request.quiet) as watch:
            heard = watch.listeners()
            made = map_slide(
                slide,
                bundle,
                classifier,
                grid=grid,
                tissue=tissue,
                on_progress=heard.on_progress,
                cancelled=heard.cancelled,
            )
        if not made.classified:
            raise _nothing(made)
        work = _Work(request, slide, bundle, classifier, made, interrupts)
        work.choose(asked)
        work.save()
        work.explain()
    work.report()


def _nothing(made: SlideMap) -> BaseException:
    if not made.complete:
        return KeyboardInterrupt()
    return ScanError(
        f"every tile of {made.source} is of a single value", hint="there is nothing to classify; is it the right file?"
    )


@dataclass
class _Work:
    """What follows once there is a map."""

    request: SlideRequest
    slide: Slide
    bundle: Bundle
    classifier: Classifier
    made: SlideMap
    interrupts: Interrupts
    shown: str = ""
    asked: tuple[Tile, ...] = ()
    tiles: list[Tile] = field(default_factory=list)
    done: list[Tile] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def choose(self, asked: Sequence[Tile]) -> None:
        """The tiles asked for, then the most probable ones, each once; none for a map that was cut short."""
        self.asked = tuple(asked)
        self.shown = self.request.class_name or self.made.commonest()
        if self.made.complete:
            self.tiles = list(dict.fromkeys([*asked, *self.made.strongest(self.shown, self.request.count)]))

    def save(self) -> None:
        """Save the map, and print what it says."""
        warnings = [*self.bundle.assumptions, *self.made.grid.notes, *flag_notes(self.made)]
        self.files = save_map(
            self.made,
            self.request.output,
            shown=self.shown,
            tiles=self.tiles,
            provenance={
                **made_with(self.bundle),
                "device": str(self.classifier.device),
                "least_tissue": self.request.tissue,
            },
            warnings=warnings,
        )
        if not self.request.quiet:
            print_map(self.made, warnings)

    def explain(self) -> None:
        """Explain and save the tiles one after another; what is saved stays, whatever happens to the next."""
        for tile in self.tiles:
            if self.interrupts.asked:
                return
            if not self.request.quiet:
                stdout().head(f"tile {tile.name} of {tile.width:.0f} x {tile.height:.0f} slide pixels")
            with Watch(self.interrupts, quiet=self.request.quiet) as watch:
                explanation = explain_tile(
                    self.slide,
                    self.bundle,
                    self.classifier,
                    grid=self.made.grid,
                    tile=tile,
                    seen=tile in self.asked,
                    listeners=watch.listeners(),
                    class_name=self.request.class_name,
                    **self.request.settings,
                )
            if not explanation.attributions:
                return
            self.files += explanation.save(tile_folder(self.request.output, tile))
            self.done.append(tile)
            name_explained(self.request.output, self.done, self.made.grid, complete=explanation.complete)
            if not self.request.quiet:
                stdout().explanation(
                    dataclasses.replace(explanation, warnings=_own(explanation, self.made, self.bundle))
                )

    def report(self) -> None:
        """Name the files.

        Raises:
            typer.Exit: the user interrupted.
        """
        if self.request.quiet:
            stdout().exactly(*self.files)
        else:
            stdout().head("files")
            stdout().exactly(*[f"  {path}" for path in self.files])
        if self.interrupts.asked:
            kept = f"kept the answers on {self.made.classified} tiles and {len(self.done)} explanation(s)"
            stderr().line(("interrupted: ", "yellow"), (kept, ""))
            raise typer.Exit(INTERRUPTED)


def _own(explanation: Explanation, made: SlideMap, bundle: Bundle) -> tuple[str, ...]:
    """An explanation's warnings without those that were printed with the map."""
    printed = {*bundle.assumptions, *made.grid.notes}
    return tuple(warning for warning in explanation.warnings if warning not in printed)


def print_map(made: SlideMap, warnings: Sequence[str]) -> None:
    """Say which class is the most probable one on how many tiles."""
    printer = stdout()
    grid = made.grid
    microns = "" if grid.tile_microns is None else f" at {grid.tile_microns:.3g} microns a pixel"
    size = f"{grid.size[0]} x {grid.size[1]} pixels{microns}"
    printer.head(f"{made.classified} tiles of {size}, of {grid.wanted.size} in the slide")
    if made.presumes is not None:
        printer.line((f"  no class unless a tile shows {clean(made.presumes)}, in which case:", "yellow"))
    if not made.answered.any():
        printer.line(
            ("  every tile is flagged: none has a class, and none is explained that --tile does not name", "yellow")
        )
        return _print_warnings(warnings)
    for name, count in made.counts().items():
        highest = float(made.probabilities[made.class_index(name)][made.answered].max())
        said = f"  {clean(name)}: most probable on {count}, highest probability {100 * highest:.1f} %"
        printer.line((said, ""))
    _print_warnings(warnings)


def _print_warnings(warnings: Sequence[str]) -> None:
    for warning in warnings:
        stdout().line(("warning: ", "yellow"), (warning, ""))
