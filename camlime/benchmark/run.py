"""A benchmark from the cohort to the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camlime.benchmark.cohort import CohortCase
from camlime.benchmark.comparing import ORDER
from camlime.benchmark.figures import draw_figures
from camlime.benchmark.methods import METHODS
from camlime.benchmark.page import write_page
from camlime.benchmark.schedule import outcomes
from camlime.benchmark.settings import BenchmarkSettings
from camlime.benchmark.store import Store, write_whole
from camlime.benchmark.summary import summarise
from camlime.benchmark.tables import maps_table, stability_table, values_table
from camlime.benchmark.work import Job, Record
from camlime.bundle import Bundle
from camlime.device import select_device
from camlime.errors import RequestError
from camlime.extras import needed

MARGIN = 0.05
"""Of non-inferiority, as a share of the better parent's mean."""

SUMMARY = "summary.json"

NEEDED = ("pandas", "seaborn", "jinja2", "sklearn", "statsmodels", "threadpoolctl")


@dataclass(frozen=True)
class Step:
    """How far a benchmark is: ``done`` of ``total`` cases, and what became of the last one."""

    case: str
    done: int
    total: int
    failure: str = ""
    kept: bool = False


def _quiet(said: object) -> None:
    """Take a report and do nothing."""


def run_benchmark(
    cohort: Sequence[CohortCase],
    settings: BenchmarkSettings,
    output: str | Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    reference: str = "fused",
    margin: float = MARGIN,
    left_out: Mapping[str, str] | None = None,
    on_step: Callable[[Step], None] = _quiet,
    on_note: Callable[[str], None] = _quiet,
) -> dict[str, Any]:
    """Do what is not done yet, then write tables, figures and the page of all that is.

    Args:
        cohort: the cases.
        settings: what each of them is put through.
        output: a folder; see ``docs/benchmark.md`` for what it then holds.
        scheduler: address of a Dask scheduler; a cluster on this machine if ``None``.
        workers: processes on this machine; one a core (a single one on a GPU) if ``None``, this very process if 0.
        reference: the method that the others are compared with; the first one if it was not run.
        margin: of non-inferiority.
        left_out: methods that were asked for in a group and cannot run, for the record.
        on_step: hears of each case.
        on_note: hears, in words, of earlier results in the folder that are not used, and why.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        RequestError: a package is missing, there is no such reference, or not a single case could be done.
        OutputError: the output cannot be written.

    Example:
        >>> cohort = read_cohort("cases.csv")  # doctest: +SKIP
        >>> settings = BenchmarkSettings("lung_nodule_ct", ("fused", "lime", "random"))  # doctest: +SKIP
        >>> run_benchmark(cohort, settings, "benchmark")["cohort"]["patients"]  # doctest: +SKIP
        45
    """
    for module in NEEDED:
        needed(module, extra="benchmark", purpose="the benchmark")
    if reference not in METHODS:
        raise RequestError(
            f"there is no method '{reference}' to compare the others with", hint="methods: " + ", ".join(METHODS)
        )
    output = Path(output)
    bundle = Bundle.load(settings.bundle, trust_code=settings.trust_code)
    settings = settings.on_device()
    store = Store(output, settings.measured_with(bundle.fingerprint))
    for said in store.set_aside():
        on_note(said)
    done, failed = _do(cohort, settings, dict(bundle.fingerprint), store, scheduler, workers, on_step)
    records = [done[line.case] for line in cohort if line.case in done]
    if not records:
        case, why = next(iter(failed.items()))
        raise RequestError(f"not a single case could be done; {case}: {why}", hint="see to that, then run it again")
    values = values_table(records)
    found = summarise(
        records,
        values,
        bundle=bundle,
        settings=settings,
        failed=failed,
        left_out=left_out or {},
        reference=reference if reference in settings.methods else settings.methods[0],
        margin=margin,
    )
    summary: dict[str, Any] = json.loads(json.dumps(found))
    _write(records, values, summary, output)
    return summary


def _do(
    cohort: Sequence[CohortCase],
    settings: BenchmarkSettings,
    fingerprint: dict[str, str],
    store: Store,
    scheduler: str | None,
    workers: int | None,
    on_step: Callable[[Step], None],
) -> tuple[dict[str, Record], dict[str, str]]:
    digests = {line.case: line.digest() for line in cohort}
    done: dict[str, Record] = {}
    failed: dict[str, str] = {}
    for line in cohort:
        known = store.load(line.case, digests[line.case])
        if known is not None:
            done[line.case] = known
            on_step(Step(line.case, len(done), len(cohort), kept=True))
    jobs = [Job(line, settings, fingerprint) for line in cohort if line.case not in done]
    if jobs:
        if workers is None and select_device(settings.device).type == "cuda":
            workers = 1  # else one a core would share the GPU's memory
        for outcome in outcomes(jobs, scheduler=scheduler, workers=workers):
            case = outcome.job.line.case
            if outcome.record is None:
                failed[case] = outcome.failure
            else:
                store.save(case, digests[case], outcome.record)
                done[case] = outcome.record
            on_step(Step(case, len(done) + len(failed), len(cohort), outcome.failure))
    return done, failed


def _write(records: Sequence[Record], values: Any, summary: dict[str, Any], output: Path) -> None:
    pandas = needed("pandas", extra="benchmark", purpose="the benchmark")
    tables = {
        "maps.csv": maps_table(records),
        "stability.csv": stability_table(records),
        "results.csv": pandas.DataFrame(summary["results"]).sort_values(
            ["quantity", "baseline", "budget"], key=lambda c: c.map(ORDER) if c.name == "quantity" else c, kind="stable"
        ),
        "comparisons.csv": pandas.DataFrame(summary["comparisons"]),
    }
    for name, table in tables.items():
        write_whole(output / name, table.to_csv(index=False))
    figures = draw_figures(records, values, summary)
    for name, figure in figures.items():
        write_whole(output / "figures" / name, figure)
    write_page(summary, figures, output / "index.html")
    write_whole(output / SUMMARY, json.dumps(summary, indent=1, allow_nan=False) + "\n")
