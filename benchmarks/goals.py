"""The goals of the benchmark, from its results: what was reached, and what was not.

    python benchmarks/goals.py --cohort cohort/ --limits limits/ stock/ --wrong limits/ --json goals.json

``--cohort`` is the output of ``camlime benchmark`` on many patients, ``--limits`` those with ``--limit`` and several
seeds and budgets, ``--wrong`` one of them that holds the methods of the group ``wrong``. The commands are in
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camlime.benchmark.methods import METHODS
from camlime.benchmark.wrong_columns import PAIRS

STOCK = ("lime-package", "lime-package-log-odds")
LEVELS = (0.3, 0.15)


def passes_to_reach(table: pd.DataFrame, method: str, level: float) -> float | None:
    """Passes at which the median error falls to a level, on a straight line between budgets in logarithms.

    ``None`` where no budget is large enough; the smallest budget where that is already below.
    """
    medians = table[table.method == method].groupby("budget")["nrmse"].median().dropna()
    budgets, errors = medians.index.to_numpy(float), medians.to_numpy(float)
    below = np.flatnonzero(errors <= level)
    if not len(below):
        return None
    i = int(below[0])
    if i == 0:
        return float(budgets[0])
    share = np.log(errors[i - 1] / level) / np.log(errors[i - 1] / errors[i])
    return float(np.exp(np.log(budgets[i - 1]) + share * np.log(budgets[i] / budgets[i - 1])))


def efficiency(table: pd.DataFrame) -> dict[str, Any]:
    """Goal 1: how many times fewer passes than stock LIME, each to its own limit.

    ``lime-package-log-odds`` has the target and the baseline of ours; how far its limit is from ours is its own figure.
    """
    found: dict[str, Any] = {}
    for level in LEVELS:
        for stock in STOCK:
            theirs = passes_to_reach(table, stock, level)
            row = {"stock": theirs}
            for method in ("fused", "lime"):
                ours = passes_to_reach(table, method, level)
                row[method] = ours
                row[f"times fewer, {method}"] = theirs / ours if theirs and ours else None
            found[f"nrmse {level} against {stock}"] = row
    return found


def at(table: pd.DataFrame, method: str, budget: int) -> dict[str, float]:
    rows = table[(table.method == method) & (table.budget == budget)]
    names = ("nrmse", "limit_apart", "jaccard", "jaccard_ties_aside", "spearman")
    return {name: float(rows[name].median()) for name in names if name in rows and rows[name].notna().any()}


def coverage(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Goal 2: mean coverage where intervals are claimed, by number of regions and budget."""
    claimed = table[table.get("intervals_supported", False) == True]  # noqa: E712 - a column of objects
    rows = []
    for (method, regions, budget), part in claimed.dropna(subset=["coverage"]).groupby(["method", "regions", "budget"]):
        if method in ("fused", "lime"):
            rows.append(
                {"method": method, "regions": int(regions), "budget": int(budget), "cases": len(part),
                 "coverage": float(part.coverage.mean())}
            )  # fmt: skip
    return rows


def wrong_columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Goal 3: mean over cases of the error with wrong columns over the partner's without, less one."""
    rows = []
    for wrong, partner in PAIRS.items():
        wide = table[table.method.isin([wrong, partner])].pivot_table(
            index=["case", "budget"], columns="method", values="nrmse"
        )
        if wrong in wide and partner in wide:
            cost = (wide[wrong] / wide[partner] - 1).groupby("budget")
            rows += [
                {"method": wrong, "budget": int(budget), "mean_cost": float(part.mean()), "worst": float(part.max())}
                for budget, part in cost
            ]
    return rows


def useless_hints(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean error over cases of fused with all hints of other regions, and of LIME, by budget."""
    kept = table[table.method.isin(["fused-wrong-columns", "lime"])]
    means = kept.pivot_table(index="budget", columns="method", values="nrmse")
    return {str(budget): {name: float(value) for name, value in row.items()} for budget, row in means.iterrows()}


def superiority(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Goal 4: peers that fused is not shown to be superior to, by baseline and budget."""
    rows = []
    for row in summary["comparisons"]:
        peer = METHODS[row["against"]].group == "peers"
        if row["quantity"] == "abpc" and peer and row["budget"] in (64, 128):
            shown = row["p_holm"] is not None and row["p_holm"] < 0.05 and row["mean_difference"] > 0
            keys = ("against", "baseline", "budget", "mean_difference", "low", "high", "p_holm")
            rows.append({**{key: row[key] for key in keys}, "superior": shown})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path)
    parser.add_argument(
        "--limits", type=Path, nargs="+", help="one or several; goal 1 is on the cases that all of them hold"
    )
    parser.add_argument("--wrong", type=Path)
    parser.add_argument("--json", type=Path, help="write here instead of to the screen")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    if options.limits:
        tables = [pd.read_csv(folder / "stability.csv") for folder in options.limits]
        table = pd.concat(tables)
        everywhere = set.intersection(*(set(part.case) for part in tables))
        shared = table[table.case.isin(everywhere)]
        found["1 passes to reach an error"] = {"cases": len(everywhere), **efficiency(shared)}
        found["1 on the same cases"] = {
            method: {int(budget): at(shared, method, budget) for budget in sorted(part.budget.unique())}
            for method, part in shared.groupby("method")
            if method in ("fused", "lime", *STOCK)
        }
        found["1 at 64 passes"] = {method: at(table, method, 64) for method in ("fused", "lime", *STOCK)}
        found["2 coverage"] = coverage(table)
        found["6 at 1024 passes"] = {method: at(table, method, 1024) for method in ("fused", "lime", *STOCK)}
        maps = pd.concat([pd.read_csv(folder / "maps.csv") for folder in options.limits])
        seconds = maps[(maps.method == "fused") & (maps.budget == 1024)].seconds
        if len(seconds):
            found["6 seconds of a map"] = {"median": float(seconds.median()), "most": float(seconds.max())}
    if options.wrong:
        table = pd.read_csv(options.wrong / "stability.csv")
        found["3 cost of wrong columns"] = wrong_columns(table)
        found["3 every hint useless, and LIME"] = useless_hints(table)
    if options.cohort:
        summary = json.loads((options.cohort / "summary.json").read_text(encoding="utf-8"))
        found["4 and 5 not inferior to the better parent"] = summary["non_inferiority"]
        found["4 superior to each peer"] = superiority(summary)
    text = json.dumps(found, indent=1) + "\n"
    if options.json:
        options.json.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
