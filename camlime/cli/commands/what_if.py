"""``camlime what-if``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camlime.cli import options
from camlime.cli.places import Place
from camlime.cli.reporting import reported

if TYPE_CHECKING:
    from camlime.whatif import WhatIf


@reported
def what_if(
    ctx: typer.Context,
    scan: options.ScanPath,
    bundle: options.BundleName,
    mask: Annotated[Path, typer.Option("--mask", metavar="LABELMAP", help="What to remove, on the scan's voxels.")],
    label: Annotated[
        str | None, typer.Option("--label", metavar="N", help="Which label, by number or name; all if left out.")
    ] = None,
    point: options.Point = None,
    point_lps: options.PointLps = None,
    center_voxel: options.CenterVoxel = None,
    guidance: options.Guidance = None,
    guidance_label: options.GuidanceLabel = None,
    series: options.Series = None,
    device: options.Device = "auto",
    trust_code: options.TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: options.Debug = False,
) -> None:
    """Print what the model answers without a marked part of the image, and to that part alone."""
    place = Place(point, point_lps, center_voxel)
    from camlime.cli.console import stderr, stdout
    from camlime.device import select_device
    from camlime.scan import Scan
    from camlime.whatif import what_if

    select_device(device)
    read = Scan.read(scan, series=series)
    answers = what_if(
        read,
        bundle,
        mask=mask,
        label=int(label) if label is not None and label.isdecimal() else label,
        point=place.in_ras(read),
        guidance=guidance,
        guidance_label=guidance_label,
        device=device,
        trust_code=trust_code,
    )
    if as_json:
        stdout().json(answers.as_dict())
        return
    _print(answers)
    for warning in (*answers.warnings, *answers.assumptions):
        stderr().line(("warning: ", "yellow"), (warning, ""))


def _print(answers: WhatIf) -> None:
    from camlime.cli.console import stdout
    from camlime.overview.words import clean

    printer = stdout()
    rows = [("untouched", answers.untouched, answers.untouched_log_odds)]
    for kept, said in (("rest", "without it, replaced by {}"), ("part", "only it, all else replaced by {}")):
        rows += [(said.format(a.baseline), a.prediction, a.log_odds) for a in answers.answers if a.kept == kept]
    width = max(len(title) for title, _, _ in rows)
    printer.head(f"what if: {clean(answers.name)}, {answers.voxels} voxels, {answers.share:.1%} of the input")
    no_class, presumes = answers.untouched.no_class, answers.untouched.presumes
    if no_class:
        printer.line((f"  {clean(no_class)}", "yellow"))
    elif presumes is not None:
        printer.line((f"  presuming that the image shows {clean(presumes)}:", "dim"))
    for title, prediction, log_odds in rows:
        for i, name in enumerate(prediction.probabilities):
            printer.line(
                (f"  {title if i == 0 else '':<{width}}  ", "bold" if title == "untouched" else ""),
                ("" if no_class else f"{100 * prediction.probabilities[name]:5.1f} %  ", ""),
                (f"log-odds {log_odds[name]:+7.2f}  ", "dim"),
                (f"logit {prediction.logits[name]:+7.2f}  " if name in prediction.logits else " " * 15, "dim"),
                (clean(name), ""),
            )
