"""``camlime benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camlime.cli import options
from camlime.cli.places import check_writable
from camlime.cli.reporting import reported

if TYPE_CHECKING:
    from camlime.benchmark.run import Step

RESULTS = ("index.html", "summary.json", "results.csv", "comparisons.csv")

SOME_FAILED = 1
"""Exit code where some cases could not be done; the results of the others are written."""


@reported
def benchmark(
    ctx: typer.Context,
    bundle: options.BundleName,
    cases: Annotated[Path, typer.Option("--cases", metavar="CSV", help="Table with case, patient, image; mask, ...")],
    output: options.OutputFolder,
    methods: Annotated[
        str, typer.Option("--methods", metavar="A,B,...", help="Names or groups: ours, peers, controls, wrong.")
    ] = "ours,peers,controls",
    budgets: Annotated[str, typer.Option("--budgets", metavar="N,N,...", help="Passes for each map.")] = "64,128,1024",
    seeds: Annotated[str, typer.Option("--seeds", metavar="N,N,...", help="Of the methods that have one.")] = "0",
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="Passes of the long run for errors; 0 for none.")
    ] = 0,
    jitter_mm: Annotated[
        float,
        typer.Option("--jitter-mm", min=0, metavar="MM", help="Move each point, so that the centre does not win."),
    ] = 0.0,
    n_regions: options.NRegions = None,
    segmentations: Annotated[
        int, typer.Option("--segmentations", min=1, metavar="N", help="Supervoxel grids to average over.")
    ] = 1,
    baseline: options.Baseline = None,
    target_layer: options.TargetLayer = None,
    reference: Annotated[
        str, typer.Option("--reference", metavar="NAME", help="The method that the others are tested against.")
    ] = "fused",
    margin: Annotated[
        float, typer.Option("--margin", min=0, metavar="X", help="Of non-inferiority: share of the parent's mean.")
    ] = 0.05,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster; this machine if left out.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, metavar="N", help="Processes; one a core, on a GPU one; 0: no cluster."),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, metavar="N", help="Images a pass.")] = 16,
    device: options.Device = "auto",
    trust_code: options.TrustCode = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Compare methods on a cohort: tables, figures and a page. Goes on where an earlier run stopped."""
    check_writable(output)
    from camlime.benchmark import BenchmarkSettings, chosen, read_cohort, run_benchmark
    from camlime.cli.console import stderr, stdout
    from camlime.device import select_device
    from camlime.earlier import check_other_file

    for name in RESULTS:
        check_other_file(output / name, [cases])

    if scheduler is None:
        select_device(device)
    cohort = read_cohort(cases)
    names, left_out = chosen(_listed(methods))
    for name, why in left_out.items():
        stderr().line(("left out: ", "yellow"), (f"{name}: {why}", ""))
    summary = run_benchmark(
        cohort,
        BenchmarkSettings(
            bundle=bundle,
            methods=names,
            budgets=_numbers(budgets, "--budgets"),
            seeds=_numbers(seeds, "--seeds"),
            limit=limit,
            jitter_mm=jitter_mm,
            n_regions=n_regions,
            segmentations=segmentations,
            baseline=baseline,
            target_layer=target_layer,
            batch_size=batch_size,
            device=device,
            trust_code=trust_code,
        ),
        output,
        scheduler=scheduler,
        workers=workers,
        reference=reference,
        margin=margin,
        left_out=left_out,
        on_step=_ignored if quiet else _said,
        on_note=_ignored if quiet else _noted,
    )
    printer = stdout()
    for one in summary["cohort"]["skipped"]:
        budget = f" at {one['budget']} passes" if one["budget"] else ""
        stderr().line(("skipped: ", "yellow"), (f"{one['method']}{budget} in {one['cases']} case(s): {one['why']}", ""))
    printer.exactly(*[output / name for name in RESULTS])
    failed = summary["cohort"]["failed"]
    if failed:
        stderr().line(("error: ", "bold red"), (f"{len(failed)} of {len(cohort)} cases could not be done", "red"))
        raise typer.Exit(SOME_FAILED)


def _said(step: Step) -> None:
    from camlime.cli.console import stderr

    if step.failure:
        stderr().line((f"{step.done} of {step.total}  {step.case}: ", ""), (step.failure, "red"))
    else:
        note = "  (from an earlier run)" if step.kept else ""
        stderr().line((f"{step.done} of {step.total}  {step.case}", ""), (note, "dim"))


def _noted(text: str) -> None:
    from camlime.cli.console import stderr

    stderr().line(("note: ", "yellow"), (text, ""))


def _ignored(said: object) -> None:
    """Say nothing."""


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in _listed(text))
    except ValueError:
        raise typer.BadParameter(f"{option} {text}: give whole numbers, with commas between them") from None
