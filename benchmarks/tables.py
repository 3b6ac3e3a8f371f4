"""Markdown tables from outputs of ``camlime benchmark``: every figure with its 95 % interval over patients.

    python benchmarks/tables.py bench/cohort bench/limits --output tables.md
    python benchmarks/tables.py bench/cohort --methods fused,lime,gradcam,peers,controls --tables localisation,parents

One group of tables for each folder, from its ``summary.json``; nothing is computed here that the benchmark has not.
Means over patients, but medians for errors, agreement of seeds and seconds. What a run did not measure has no table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camlime.authoring.card import read_summary
from camlime.benchmark.quantities import BY_NAME
from camlime.overview.words import clean

Row = dict[str, Any]
ARROWS = {"larger": " ↑", "smaller": " ↓", "": ""}


@dataclass(frozen=True)
class Table:
    """What one table holds.

    Args:
        title: above it.
        columns: quantity and heading.
        statistic: ``mean`` or ``median``, over patients.
        by_baseline: one table for each removal baseline.
    """

    title: str
    columns: tuple[tuple[str, str], ...]
    statistic: str = "mean"
    by_baseline: bool = False


TABLES = {
    "removal": Table(
        "Areas under the removal curves, log-odds",
        (("abpc", "ABPC"), ("deletion", "deletion"), ("insertion", "insertion")),
        by_baseline=True,
    ),
    "localisation": Table(
        "Against the outlines",
        (
            ("pointing", "pointing game"),
            ("mass", "relevance mass"),
            ("rank", "relevance rank accuracy"),
            ("auprc", "AUPRC"),
        ),
    ),
    "seeds": Table(
        "From seed to seed",
        (
            ("spearman", "weighted Spearman"),
            ("jaccard", "top-10 Jaccard"),
            ("jaccard_ties_aside", "near-ties aside"),
        ),
        "median",
    ),
    "errors": Table(
        "To the long run",
        (("nrmse", "nRMSE, own limit"), ("nrmse_common", "nRMSE, one limit for all")),
        "median",
    ),
    "intervals": Table("95 % intervals that hold the long run", (("coverage", "share of regions"),)),
    "cost": Table("What a map costs", (("passes", "pass-equivalents"), ("seconds", "seconds")), "median"),
}
PARENTS = "parents"
GROUPS = ("ours", "peers", "controls", "wrong")


def tables(summary: Row, wanted: Sequence[str] = (*TABLES, PARENTS), methods: Sequence[str] = ()) -> Iterator[str]:
    """Lines of Markdown.

    Args:
        summary: as in ``summary.json``.
        wanted: names of tables, in order.
        methods: names or groups; all if empty.
    """
    rows = [row for row in summary["results"] if not methods or {row["method"], row["group"]} & set(methods)]
    for name in wanted:
        if name == PARENTS:
            yield from parents(summary)
            continue
        table = TABLES[name]
        own = [row for row in rows if row["quantity"] in dict(table.columns)]
        for baseline in dict.fromkeys(row["baseline"] for row in own):
            yield from _table(table, [row for row in own if row["baseline"] == baseline], summary)


def _table(table: Table, rows: Sequence[Row], summary: Row) -> Iterator[str]:
    found = {(row["method"], row["budget"], row["quantity"]): row for row in rows}
    columns = [(name, title) for name, title in table.columns if any(key[2] == name for key in found)]
    lines = list(dict.fromkeys((row["method"], row["budget"]) for row in rows))
    title = f"**{table.title}**"
    if table.by_baseline:
        title += f", removed regions take: {_text(rows[0]['baseline'])}"
    yield f"{title} ({table.statistic} over {_patients(rows)} patients, 95 % interval)"
    yield ""
    yield _line("method", "passes", *[f"{heading}{ARROWS[BY_NAME[name].better]}" for name, heading in columns])
    yield _line(*["---"] * (2 + len(columns)))
    for method, budget in sorted(lines, key=lambda key: _place(key, found, columns[0][0], table.statistic)):
        cells = [_cell(found.get((method, budget, name)), table.statistic) for name, _ in columns]
        yield _line(f"`{_text(method)}`", str(budget or "any"), *cells)
    prevalence = summary["cohort"]["mean_prevalence"]
    if prevalence is not None and "auprc" in dict(columns):
        chance = [number(prevalence) if name in ("auprc", "mass", "rank", "pointing") else "" for name, _ in columns]
        yield _line("prevalence: what chance has", "", *chance)
    yield ""


def parents(summary: Row) -> Iterator[str]:
    """Fused against the better of its parents, with the margin that was stated."""
    rows = summary["non_inferiority"]
    if not rows:
        return
    yield f"**Fused less the better of its parents** (margin {100 * summary['margin']:g} % of the parent's mean)"
    yield ""
    yield _line(
        "quantity", "removal baseline", "passes", "patients", "better parent", "its mean", "difference (95 % interval)",
        "allowed", "not inferior",
    )  # fmt: skip
    yield _line(*["---"] * 9)
    for row in rows:
        yield _line(
            row["quantity"],
            _text(row["baseline"]) or "-",
            str(row["budget"]),
            str(row["patients"]),
            f"`{_text(row['better_parent'])}`",
            number(row["parent_mean"]),
            _interval(row["mean_difference"], row["low"], row["high"]),
            number(-row["margin"]),
            "yes" if row["not_inferior"] else "**no**",
        )
    yield ""


def _place(key: tuple[str, int | None], found: dict[Any, Row], quantity: str, statistic: str) -> tuple[int, float]:
    """By budget, those without one last; the best first."""
    method, budget = key
    row = found.get((method, budget, quantity))
    sign = 1 if BY_NAME[quantity].better == "smaller" else -1
    return budget or 10**9, 0.0 if row is None else sign * row[statistic]


def _patients(rows: Sequence[Row]) -> str:
    numbers = sorted({row["patients"] for row in rows})
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _cell(row: Row | None, statistic: str) -> str:
    if row is None:
        return ""
    return _interval(row[statistic], row[f"{statistic}_low"], row[f"{statistic}_high"])


def _interval(value: float, low: float | None, high: float | None) -> str:
    return number(value) if low is None else f"{number(value)} ({number(low)}, {number(high)})"


def number(value: float) -> str:
    """Two decimals, of small numbers two significant digits."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _text(value: object) -> str:
    return clean(value).replace("|", "\\|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="outputs of camlime benchmark")
    parser.add_argument("--methods", default="", help="names or groups, by commas; all if left out")
    parser.add_argument("--tables", default=",".join((*TABLES, PARENTS)), help="which, by commas")
    parser.add_argument("--output", type=Path, help="write here instead of to the screen")
    options = parser.parse_args()
    wanted, methods = (
        [name.strip() for name in given.split(",") if name.strip()] for given in (options.tables, options.methods)
    )
    unknown = [name for name in wanted if name not in (*TABLES, PARENTS)]
    if unknown:
        parser.error(f"there is no table {', '.join(unknown)}; tables: {', '.join((*TABLES, PARENTS))}")
    text = ""
    for folder in options.folders:
        summary = read_summary(folder)
        known = {name for row in summary["results"] for name in (row["method"], row["group"])} | set(GROUPS)
        missing = [name for name in methods if name not in known]
        if missing:
            parser.error(f"{folder} has no method {', '.join(missing)}")
        text += "\n".join([f"### {folder.name}", "", *tables(summary, wanted, methods), ""])
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
