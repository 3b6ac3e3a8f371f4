"""``camlime slide``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from camlime.cli import options
from camlime.cli.places import check_scan, check_writable
from camlime.cli.reporting import reported

DEFAULT_TILES = 3


def _pixel(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not X,Y", param_hint="--tile") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise typer.BadParameter(f"'{text}' is no place", param_hint="--tile")
    return x, y


@reported
def slide(
    ctx: typer.Context,
    slide: Annotated[Path, typer.Argument(metavar="SLIDE", help="A TIFF, an OME-TIFF or a whole slide.")],
    bundle: options.BundleName,
    output: options.OutputFolder,
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="The class to show and to explain; else the commonest one."),
    ] = None,
    tiles: Annotated[
        int | None,
        typer.Option(
            "--tiles",
            min=0,
            metavar="N",
            help=f"Explain the N tiles where the class is most probable; {DEFAULT_TILES}, or none beside --tile.",
        ),
    ] = None,
    tile: Annotated[
        list[str] | None,
        typer.Option("--tile", metavar="X,Y", help="Explain the tile at this pixel of the slide; may be repeated."),
    ] = None,
    microns: Annotated[
        float | None,
        typer.Option("--mpp", min=0.01, max=1000, metavar="UM", help="Microns a pixel of the slide's finest level."),
    ] = None,
    tissue: Annotated[
        float, typer.Option("--tissue", min=0, max=1, metavar="SHARE", help="Least share of a tile that is tissue.")
    ] = 0.25,
    methods: options.Methods = None,
    n_regions: options.NRegions = None,
    budget: options.Budget = None,
    evidence_budget: Annotated[
        int | None,
        typer.Option("--evidence-budget", min=0, metavar="N", help="Passes for the evidence on a tile; 0 for none."),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    trust_code: options.TrustCode = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Map a model's answers over a whole slide, tile by tile, and explain the tiles that matter.

    Ctrl-C ends the work and keeps what is there; a second Ctrl-C stops at once.
    """
    points = tuple(_pixel(text) for text in tile or ())
    check_scan(slide)
    check_writable(output)
    from camlime.cli.console import stderr

    with stderr().busy("starting", quiet=quiet):
        from camlime.cli.slide_running import SlideRequest, run_slide

    run_slide(
        SlideRequest(
            slide=slide,
            bundle=bundle,
            output=output,
            class_name=class_name,
            count=(0 if points else DEFAULT_TILES) if tiles is None else tiles,
            points=points,
            microns=microns,
            tissue=tissue,
            trust_code=trust_code,
            quiet=quiet,
            settings={
                "methods": None if methods is None else [name.strip() for name in methods.split(",")],
                "n_regions": n_regions,
                "budget": options.passes(budget),
                "evidence_budget": evidence_budget,
                "seed": seed,
                "device": device,
                "batch_size": batch_size,
            },
        )
    )
