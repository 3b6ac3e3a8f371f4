"""The benchmark as one page: a single HTML file with its figures inside, to be opened anywhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camlime.benchmark.quantities import BY_NAME
from camlime.benchmark.store import write_whole
from camlime.extras import needed

TEMPLATE = Path(__file__).with_name("page.html")

CAPTIONS = {
    "abpc.png": "Does the model use what the map shows? Area between removing the least and the most relevant voxels "
    "first, mean over patients with 95 % intervals.",
    "curves.png": "The class's log-odds while voxels are removed, mean over patients, at each method's largest budget.",
    "localisation.png": "Where the map lies against the experts' outlines. A map must show what the model uses, not "
    "what resembles an outline.",
    "convergence.png": "How much a map depends on chance: error to the limit of very many passes (dotted: 0.3 and "
    "0.15), agreement of seeds, coverage (grey: 92 to 98 %). Agreement is worth nothing without the error beside it.",
}

MAIN = (
    "abpc",
    "pointing",
    "mass",
    "rank",
    "auprc",
    "jaccard",
    "jaccard_ties_aside",
    "spearman",
    "nrmse",
    "nrmse_common",
    "limit_apart",
    "coverage",
    "passes",
    "seconds",
)
"""Quantities in the page's table; all are in ``results.csv``."""


def write_page(summary: Mapping[str, Any], figures: Mapping[str, bytes], path: Path) -> None:
    """Write the page.

    Args:
        summary: as in ``summary.json``.
        figures: PNGs by name.
        path: the file.
    """
    jinja2 = needed("jinja2", extra="benchmark", purpose="the benchmark's page")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"number": number, "p": p_value}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        s=summary,
        tables=tables(summary),
        figures=[
            {"data": base64.b64encode(png).decode(), "caption": CAPTIONS.get(name, name)}
            for name, png in figures.items()
        ],
        comparisons=[
            row for row in summary["comparisons"] if row["quantity"] in ("abpc", "rank", "auprc", "nrmse_common")
        ],
        titles={name: quantity.title for name, quantity in BY_NAME.items()},
    )
    write_whole(path, page)


def tables(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One table a budget: a row a method, a column a quantity (and baseline)."""
    rows = [row for row in summary["results"] if row["quantity"] in MAIN]
    rows.sort(key=lambda row: MAIN.index(row["quantity"]))
    columns = list(dict.fromkeys((row["quantity"], row["baseline"]) for row in rows))
    budgets = sorted({row["budget"] for row in rows if row["budget"]}) or [None]
    found = []
    for budget in [*budgets, *([None] if budgets != [None] else [])]:
        here = [row for row in rows if row["budget"] == budget]
        methods = {row["method"]: row["group"] for row in here}
        cells = {(row["method"], row["quantity"], row["baseline"]): row for row in here}
        used = [column for column in columns if any((method, *column) in cells for method in methods)]
        lines = [
            {"method": method, "group": group, "cells": [cells.get((method, *column)) for column in used]}
            for method, group in methods.items()
        ]
        if lines:
            found.append({"budget": budget, "columns": used, "lines": lines})
    return found


def number(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def p_value(value: float | None) -> str:
    """With two digits, and never zero."""
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.2g}"
