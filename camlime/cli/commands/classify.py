"""``camlime classify``."""

from __future__ import annotations

from typing import Annotated

import typer

from camlime.cli import options
from camlime.cli.places import Place, check_scan
from camlime.cli.reporting import reported
from camlime.cli.slicing import Slicing, classify_and_print


@reported
def classify(
    ctx: typer.Context,
    scan: options.ScanPath,
    bundle: options.BundleName,
    point: options.Point = None,
    point_lps: options.PointLps = None,
    center_voxel: options.CenterVoxel = None,
    guidance: options.Guidance = None,
    guidance_label: options.GuidanceLabel = None,
    plane: options.Plane = None,
    slices: options.SlicePart = None,
    seen: options.Seen = None,
    slice_: Annotated[
        int | None, typer.Option("--slice", min=0, metavar="N", help="The only slice to classify.")
    ] = None,
    series: options.Series = None,
    device: options.Device = "auto",
    trust_code: options.TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: options.Debug = False,
) -> None:
    """Print what the model answers: each class with its probability."""
    place = Place(point, point_lps, center_voxel)
    slicing = Slicing(None if plane is None else plane.value, slices, slice_, seen=seen)
    check_scan(scan)
    from camlime import pipeline
    from camlime.bundle import Bundle
    from camlime.cli.console import stderr, stdout
    from camlime.device import select_device
    from camlime.errors import RequestError
    from camlime.scan import Scan

    select_device(device)
    read = Scan.read(scan, series=series)
    loaded = Bundle.load(bundle, trust_code=trust_code)
    if slicing.needed(loaded, read) or loaded.explain_settings.slices:
        if guidance is not None:
            raise RequestError("guidance marks something in one image, not in slices of a volume")
        classify_and_print(read, loaded, slicing, device, as_json=as_json)
        return
    found = pipeline.answer(
        read, loaded, point=place.in_ras(read), guidance=guidance, guidance_label=guidance_label, device=device
    )
    if as_json:
        answer = {
            **found.prediction.as_dict(),
            "bundle": {"name": loaded.name, "version": loaded.version},
            "assumptions": list(loaded.assumptions),
            "warnings": list(found.warnings),
        }
        stdout().json(answer)
        return
    stdout().prediction(found.prediction)
    for warning in (*found.warnings, *loaded.assumptions):
        stderr().line(("warning: ", "yellow"), (warning, ""))
