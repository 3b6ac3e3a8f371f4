"""``camlime demo``."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from camlime.cli import options
from camlime.cli.places import Place, check_writable
from camlime.cli.reporting import reported

PHANTOM = "chest_ct_nodule"
"""The phantom that is made here; a bundle says in its ``explain.json`` that it is demonstrated by it."""

SCAN = "scan.nii.gz"


@reported
def demo(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for scan and results.")] = Path(
        "camlime-demo"
    ),
    bundle: Annotated[
        str | None,
        typer.Option("--bundle", metavar="DIR", help="Another bundle than the shipped one that suits the demo."),
    ] = None,
    seed: options.Seed = 0,
    budget: options.Budget = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Make a chest-CT-like phantom with a nodule, explain it, and say how to look at the result."""
    check_writable(output)
    chosen = bundle or _suitable_bundle()
    from camlime.cli.console import stderr, stdout
    from camlime.cli.running import Request, explain_and_save
    from camlime.phantom import chest_ct_nodule
    from camlime.saving import REPORT_NAME
    from camlime.scan import save_volume

    with stderr().busy("making the phantom", quiet=quiet):
        scan, center, _ = chest_ct_nodule(seed)
    r, a, s = (round(float(x), 1) for x in center)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / SCAN
        save_volume(made, scan.image[0].numpy().astype("int16"), scan.affine)
        files = explain_and_save(
            Request(
                scan=made,
                bundle=chosen,
                output=output,
                place=Place(ras=(r, a, s)),
                quiet=quiet,
                settings={"seed": seed, "budget": options.passes(budget), "device": device},
                also=(made,),
                report=True,
            )
        )
    printer = stdout()
    if quiet:
        printer.exactly(output / SCAN)
        return
    again = ["camlime", "explain", str(output / SCAN), "--bundle", chosen, "--output", str(output)]
    again += ["--point", *[f"{x:g}" for x in (r, a, s)], "--seed", str(seed)]
    again += [] if budget is None else ["--budget", budget]
    again += [] if device == "auto" else ["--device", device]
    maps = [str(path) for path in files if path.name == "fused.nii.gz"]
    printer.exactly(f"  {output / SCAN}")
    printer.head("to look at it")
    printer.exactly(f"  the picture: {shlex.quote(str(output / 'overview.png'))}")
    printer.exactly(f"  the page:    {shlex.quote(str(output / REPORT_NAME))}")
    printer.exactly(f"  3D Slicer:   {shlex.join(['Slicer', str(output / SCAN), *maps])}")
    printer.head("the same again")
    printer.exactly(f"  {shlex.join(again)}")


def _suitable_bundle() -> str:
    """The first shipped bundle that is demonstrated by the phantom.

    Raises:
        RequestError: there is none.
    """
    from camlime.bundle import shipped_bundles
    from camlime.bundle.config import BundleFolder
    from camlime.bundle.screening import read_settings
    from camlime.errors import RequestError

    for name, folder in shipped_bundles().items():
        phantom = read_settings(BundleFolder(folder)).demo_phantom
        if phantom is not None and phantom.name == PHANTOM:
            return name
    raise RequestError(
        f"no shipped bundle is demonstrated by the phantom '{PHANTOM}'",
        hint='give --bundle, or write "demo_phantom" into a bundle\'s configs/explain.json',
    )
