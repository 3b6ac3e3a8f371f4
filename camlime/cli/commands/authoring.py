"""``camlime check-bundle``, ``add-explain``, ``card`` and ``randomisation``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camlime.cli import options
from camlime.cli.reporting import reported

BundleFolder = Annotated[str, typer.Argument(metavar="DIR", help="A MONAI bundle's folder.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")]


@reported
def check_bundle(
    ctx: typer.Context,
    bundle: Annotated[
        str, typer.Argument(metavar="DIR", help="A MONAI bundle's folder or zip, or the name of a shipped one.")
    ],
    trust_code: options.TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: options.Debug = False,
) -> None:
    """Say what the engine understood of a bundle, what it had to assume, and what it left behind."""
    from camlime.authoring import understand
    from camlime.bundle import Bundle
    from camlime.bundle.screening import screen
    from camlime.cli.console import stderr, stdout

    refusals = screen(bundle).refusals
    if not trust_code:
        for refusal in refusals:
            stderr().line(("refused: ", "bold red"), (str(refusal), ""))
    found = understand(Bundle.load(bundle, trust_code=trust_code))
    if as_json:
        stdout().json(found.as_dict())
        return
    printer = stdout()
    for what, how in found.in_words():
        printer.line((f"{what + ':':<15}", "bold"), (how, ""))
    for what, items in (("assumed", found.assumptions), ("left behind", found.left_behind)):
        printer.head(f"{what}: {len(items)}" if items else f"{what}: nothing")
        for item in items:
            printer.line(("  ", ""), (item, ""))


@reported
def add_explain(
    ctx: typer.Context,
    bundle: BundleFolder,
    methods: Annotated[
        str | None, typer.Option("--methods", metavar="A,B,...", help="To run when none are named.")
    ] = None,
    field_of_view: Annotated[
        str | None,
        typer.Option("--field-of-view", metavar="MM,MM,MM", help="The network looks at a box of this size at a point."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="NAME[=VALUE]", help="What removed regions are replaced by.")
    ] = None,
    target_layer: Annotated[str | None, typer.Option("--target-layer", metavar="NAME", help="Of the CAMs.")] = None,
    n_regions: Annotated[int | None, typer.Option("--n-regions", min=2, metavar="N", help="Supervoxels.")] = None,
    budget: Annotated[int | None, typer.Option("--budget", min=16, metavar="N", help="Network passes.")] = None,
    force: Force = False,
    trust_code: options.TrustCode = False,
    debug: options.Debug = False,
) -> None:
    """Write a configs/explain.json into a bundle, and check that the bundle can be explained by it."""
    from camlime.authoring import add_explain as add
    from camlime.cli.console import stdout

    file, loaded = add(
        bundle,
        {
            "methods": None if methods is None else [name.strip() for name in methods.split(",")],
            "field_of_view_mm": None if field_of_view is None else _lengths(field_of_view),
            "baseline": None if baseline is None else _baseline(baseline),
            "target_layer": target_layer,
            "n_regions": n_regions,
            "budget": budget,
        },
        trust_code=trust_code,
        force=force,
    )
    stdout().exactly(file)
    for note in loaded.assumptions:
        stdout().line(("assumed: ", "yellow"), (note, ""))


@reported
def card(
    ctx: typer.Context,
    bundle: BundleFolder,
    summary: Annotated[
        Path,
        typer.Option("--summary", metavar="FILE", help="summary.json of camlime benchmark, or its folder."),
    ],
    force: Force = False,
    debug: options.Debug = False,
) -> None:
    """Write the evidence card of a benchmark into the bundle's docs/."""
    from camlime.authoring import write_card
    from camlime.cli.console import stdout

    stdout().exactly(write_card(bundle, summary, force=force))


@reported
def randomisation(
    ctx: typer.Context,
    bundle: BundleFolder,
    cases: Annotated[
        Path,
        typer.Option("--cases", metavar="CSV", help="Table with case, patient, image, as camlime benchmark has it."),
    ],
    methods: options.Methods = None,
    patients: Annotated[
        int, typer.Option("--patients", min=5, metavar="N", help="So many are drawn, one case each.")
    ] = 12,
    budget: Annotated[int, typer.Option("--budget", min=16, metavar="N", help="Passes for each map.")] = 256,
    jitter_mm: Annotated[
        float, typer.Option("--jitter-mm", min=0, metavar="MM", help="Move each point, as camlime benchmark does.")
    ] = 0.0,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    force: Force = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Check once, on a handful of cases, what is left of each map on random networks, and keep it in the bundle."""
    from camlime.authoring import write_record
    from camlime.benchmark import read_cohort
    from camlime.cli.console import stderr, stdout
    from camlime.device import select_device

    select_device(device)

    def said(case: str, done: int, total: int) -> None:
        if not quiet:
            stderr().line((f"{done} of {total}  {case}", ""))

    written = write_record(
        bundle,
        read_cohort(cases),
        methods=None if methods is None else [name.strip() for name in methods.split(",")],
        patients=patients,
        budget=budget,
        jitter_mm=jitter_mm,
        seed=seed,
        device=device,
        force=force,
        on_case=said,
    )
    for name, why in written.left_out.items():
        stderr().line(("left out: ", "yellow"), (f"{name}: {why}", ""))
    if not quiet:
        for check in written.record.checks:
            lowest, highest = min(check.similarities), max(check.similarities)
            numbers = f"{check.median:.2f} ({lowest:.2f} to {highest:.2f}), survived in {check.survived}"
            stderr().line((f"{check.method}: ", "bold"), (f"{numbers} of {check.cases}", ""))
    stdout().exactly(written.path)


def _lengths(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--field-of-view takes mm by commas, not '{text}'") from None


def _baseline(text: str) -> dict[str, object]:
    name, _, value = text.partition("=")
    if not value:
        return {"name": name}
    try:
        return {"name": name, "sigma_mm" if name == "blur" else "value": float(value)}
    except ValueError:
        raise typer.BadParameter(f"--baseline takes NAME or NAME=NUMBER, not '{text}'") from None
