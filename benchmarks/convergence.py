"""The figure of errors and agreement against passes, from several outputs of ``camlime benchmark``.

    python benchmarks/convergence.py bench/limits bench/few bench/stock --output docs/images/benchmark_convergence.png

Takes the cases that every folder holds, so that all curves are of the same patients. Where two folders have the same
method at the same budget on a case, the first one's number counts. Medians over patients, shaded: their 95 % bootstrap
intervals. Each method is held against its own limit.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import pandas as pd
from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, NullLocator

from camlime.benchmark.statistics import by_patient, estimate

METHODS = {
    "fused": ("fused", "#0072B2", "-", 2.6),
    "lime": ("LIME (ours)", "#56B4E9", "-", 1.6),
    "lime-package-log-odds": ("stock LIME, on log-odds", "#D55E00", "-", 1.6),
    "lime-package": ("stock LIME as it is", "#E69F00", "--", 1.6),
}
"""Title, colour, line and width, in the order of the legend."""

PANELS = (("nrmse", "error to the method's own long run (nRMSE)"), ("jaccard", "top-10 Jaccard from seed to seed"))
LEVELS = (0.3, 0.15)
"""Dotted: of the goals."""


def read(folders: Sequence[Path]) -> pd.DataFrame:
    """One line a case, method and budget, of the cases that all folders hold.

    Raises:
        SystemExit: a folder has no results, or they share no case.
    """
    parts = []
    for folder in folders:
        path = folder / "stability.csv"
        if not path.is_file():
            raise SystemExit(f"{folder} has no stability.csv: give outputs of camlime benchmark with --limit")
        parts.append(pd.read_csv(path))
    shared = set.intersection(*(set(part["case"]) for part in parts))
    if not shared:
        raise SystemExit("the folders have no case in common")
    whole = pd.concat(parts)
    return whole[whole["case"].isin(shared)].drop_duplicates(["case", "method", "budget"])


def curve(table: pd.DataFrame, method: str, quantity: str) -> pd.DataFrame:
    """Median over patients and its interval by budget: columns ``budget, patients, median, low, high``."""
    rows = []
    if quantity in table:
        for budget, part in table[table["method"] == method].dropna(subset=[quantity]).groupby("budget"):
            means, _ = by_patient(part[quantity].tolist(), part["patient"].astype(str).tolist())
            found = estimate(means, "median")
            low, high = (found.value if end is None else end for end in (found.low, found.high))
            rows.append((int(budget), len(means), found.value, low, high))
    return pd.DataFrame(rows, columns=["budget", "patients", "median", "low", "high"])


def draw(table: pd.DataFrame) -> Any:
    """The figure: errors on two logarithmic axes, agreement beside them."""
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(10.5, 4.4), layout="constrained")
    budgets = sorted({int(b) for m in METHODS for b in table.loc[table["method"] == m, "budget"]})
    for axis, (quantity, title) in zip(axes, PANELS, strict=True):
        for method, (name, colour, line, width) in METHODS.items():
            found = curve(table, method, quantity)
            if found.empty:
                continue
            axis.fill_between(found["budget"], found["low"], found["high"], color=colour, alpha=0.13, linewidth=0)
            axis.plot(
                found["budget"], found["median"], line, marker="o", ms=3.5, color=colour, linewidth=width, label=name
            )
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_locator(FixedLocator(budgets))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xticklabels([str(budget) for budget in budgets], rotation=45)
        axis.set_xlabel("pass-equivalents")
        axis.set_title(title, fontsize=10.5)
        axis.grid(color="#e3e6ea", linewidth=0.7)
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    errors, agreement = axes
    errors.set_yscale("log")
    low, high = errors.get_ylim()
    ticks = [tick for tick in (0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0) if low <= tick <= high]
    errors.yaxis.set_major_locator(FixedLocator(ticks))
    errors.yaxis.set_minor_locator(NullLocator())
    errors.set_yticklabels([f"{tick:g}" for tick in ticks])
    for level in LEVELS:
        errors.axhline(level, color="black", linewidth=0.9, linestyle=":")
    agreement.set_ylim(0, 1.03)
    patients = table["patient"].nunique()
    errors.set_ylabel(f"median over {patients} patients, 95 % interval")
    handles = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="outputs of camlime benchmark with --limit")
    parser.add_argument("--output", type=Path, required=True, help="a PNG file")
    options = parser.parse_args()
    figure = draw(read(options.folders))
    figure.savefig(options.output, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
