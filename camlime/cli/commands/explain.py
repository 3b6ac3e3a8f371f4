"""``camlime explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camlime.cli import options
from camlime.cli.places import Place, check_scan, check_writable
from camlime.cli.reporting import reported
from camlime.cli.slicing import Slicing


@reported
def explain(
    ctx: typer.Context,
    scan: options.ScanPath,
    bundle: options.BundleName,
    output: options.OutputFolder,
    methods: options.Methods = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="The class to explain; the predicted one if left out.")
    ] = None,
    point: options.Point = None,
    point_lps: options.PointLps = None,
    center_voxel: options.CenterVoxel = None,
    guidance: options.Guidance = None,
    guidance_label: options.GuidanceLabel = None,
    regions: Annotated[
        Path | None,
        typer.Option("--regions", metavar="LABELMAP", help="Anatomy to speak of; supervoxels if left out."),
    ] = None,
    region_names: Annotated[
        Path | None,
        typer.Option("--region-names", metavar="JSON", help="Names by label number, for --regions."),
    ] = None,
    subdivide: Annotated[
        int | None,
        typer.Option("--subdivide", min=2, metavar="N", help="Cut the structures of --regions into N parts in all."),
    ] = None,
    n_regions: options.NRegions = None,
    segmentations: Annotated[
        int | None, typer.Option("--segmentations", min=1, metavar="N", help="Supervoxel grids to average over.")
    ] = None,
    budget: options.Budget = None,
    lime_mode: Annotated[
        options.LimeMode, typer.Option("--lime-mode", help="stock: as the lime package does it.")
    ] = options.LimeMode.default,
    target_layer: options.TargetLayer = None,
    baseline: options.Baseline = None,
    window_mm: Annotated[
        float | None,
        typer.Option("--window-mm", metavar="MM", help="Occlusion: slide a cube of this edge; regions if left out."),
    ] = None,
    evidence_budget: Annotated[
        int | None,
        typer.Option("--evidence-budget", min=0, metavar="N", help="Passes for the evidence on all maps; 0 for none."),
    ] = None,
    plane: options.Plane = None,
    slices: options.SlicePart = None,
    seen: options.Seen = None,
    slice_: Annotated[
        int | None, typer.Option("--slice", min=0, metavar="N", help="The slice to explain; the strongest if left out.")
    ] = None,
    n_explained: Annotated[
        int | None, typer.Option("--n-explained", min=1, metavar="N", help="How many slices to explain (3).")
    ] = None,
    series: options.Series = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    amp: Annotated[bool, typer.Option("--amp", help="Mixed precision.")] = False,
    native_grid: Annotated[
        bool, typer.Option("--native-grid", help="Write the maps on the scan's own grid as well.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Also write report.html, a page to read and hand on.")
    ] = False,
    identified: options.Identified = False,
    trust_code: options.TrustCode = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Explain why the model answers as it does: maps, regions with their weights, and a picture.

    Ctrl-C ends the work and keeps what is there; a second Ctrl-C stops at once.
    """
    place = Place(point, point_lps, center_voxel)
    if regions is not None and n_regions is not None:
        raise typer.BadParameter("--n-regions is for supervoxels; --regions gives regions of your own")
    slicing = Slicing(None if plane is None else plane.value, slices, slice_, n_explained, seen)
    if regions is None and (region_names is not None or subdivide is not None):
        raise typer.BadParameter("--region-names and --subdivide are for the structures of --regions")
    check_scan(scan)
    check_writable(output)
    from camlime.cli.console import stderr

    with stderr().busy("starting", quiet=quiet):
        from camlime.cli.running import Request, explain_and_save

    explain_and_save(
        Request(
            scan=scan,
            bundle=bundle,
            output=output,
            place=place,
            slicing=slicing,
            series=series,
            native_grid=native_grid,
            report=report,
            identified=identified,
            trust_code=trust_code,
            quiet=quiet,
            settings={
                "methods": None if methods is None else [name.strip() for name in methods.split(",")],
                "class_name": class_name,
                "guidance": guidance,
                "guidance_label": guidance_label,
                "regions": regions,
                "region_names": region_names,
                "subdivide": subdivide,
                "n_regions": n_regions,
                "segmentations": segmentations,
                "budget": options.passes(budget),
                "lime_mode": lime_mode.value,
                "seed": seed,
                "device": device,
                "batch_size": batch_size,
                "amp": amp,
                "target_layer": target_layer,
                "baseline": baseline,
                "window_mm": window_mm,
                "evidence_budget": evidence_budget,
            },
        )
    )
