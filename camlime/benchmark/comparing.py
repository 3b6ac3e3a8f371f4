"""Methods against each other on the same patients, and fused against the better of its parents."""

from __future__ import annotations

from typing import Any

import numpy as np

from camlime.benchmark.quantities import BY_NAME, PARENT_QUANTITIES, PARENTS, QUANTITIES
from camlime.benchmark.statistics import by_patient, estimate, holm, wilcoxon
from camlime.benchmark.tables import NO_BUDGET

Row = dict[str, Any]


def results(values: Any) -> list[Row]:
    """Mean and median over patients, with intervals, of each method, budget, quantity and baseline."""
    rows = []
    keys = ["method", "group", "budget", "quantity", "baseline"]
    for key, part in values.groupby(keys, sort=False):
        means, _ = by_patient(part["value"].tolist(), part["patient"].tolist())
        row: Row = dict(zip(keys, key, strict=True))
        row["budget"] = int(row["budget"]) or None
        row |= {"patients": len(means), "cases": len(part)}
        for statistic, found in (("mean", estimate(means)), ("median", estimate(means, "median"))):
            row |= {statistic: found.value, f"{statistic}_low": found.low, f"{statistic}_high": found.high}
        rows.append(row)
    return rows


def comparisons(values: Any, reference: str) -> list[Row]:
    """The reference against every other method at every budget, paired by patient.

    Methods without a budget are compared with the reference at each of its budgets, and a reference without a budget
    with the others at each of theirs; two methods without a budget once. Holm's correction is over all comparisons of a
    quantity, for each removal baseline by itself.
    """
    rows: list[Row] = []
    for (name, baseline), part in values.groupby(["quantity", "baseline"], sort=False):
        if not BY_NAME[name].tested:
            continue
        wide = part.pivot_table(index=["patient", "case"], columns=["method", "budget"], values="value")
        family = _family(wide, reference)
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            rows.append({"quantity": name, "baseline": baseline, **row, "p_holm": p})
    return rows


def _family(wide: Any, reference: str) -> list[Row]:
    budgets = sorted({int(b) for _, b in wide.columns if b != NO_BUDGET}) or [NO_BUDGET]
    columns = {(str(m), int(b)): wide[(m, b)] for m, b in wide.columns}
    methods = list(dict.fromkeys(m for m, _ in columns))
    family = []
    for budget in budgets:
        own = _at(columns, reference, budget)
        for method in methods:
            other = _at(columns, method, budget)
            if method == reference or own is None or other is None:
                continue
            no_budget = all((name, budget) not in columns for name in (reference, method))
            if no_budget and budget != budgets[0]:
                continue  # the same numbers again, for which Holm's correction must not pay
            row = _paired(own, other)
            if row is not None:
                stated = None if no_budget else budget
                family.append({"method": reference, "against": method, "budget": stated, **row})
    return family


def _at(columns: dict[tuple[str, int], Any], method: str, budget: int) -> Any:
    return columns.get((method, budget), columns.get((method, NO_BUDGET)))


def _paired(one: Any, other: Any) -> Row | None:
    difference = (one - other).dropna()
    if not len(difference):
        return None
    patients = [str(patient) for patient, _ in difference.index]
    means, _ = by_patient(difference.tolist(), patients)
    found = estimate(means)
    return {
        "patients": len(means),
        "mean_difference": found.value,
        "low": found.low,
        "high": found.high,
        "share_of_patients_larger": float(np.mean(means > 0)),
        "p": wilcoxon(means),
    }


def non_inferiority(values: Any, margin: float, method: str = "fused") -> list[Row]:
    """Whether fused is worse than the better of its parents by more than a margin, by budget.

    Args:
        values: the values.
        margin: as a share of the better parent's mean; the better one is that with the larger mean.
        method: whose parents are :data:`~camlime.benchmark.quantities.PARENTS`.

    Everything is taken from the cases that have all three maps: a parent's mean on other cases would move the margin,
    and the choice of the better one, by who those patients are.
    """
    rows = []
    for (name, baseline), part in values.groupby(["quantity", "baseline"], sort=False):
        if name not in PARENT_QUANTITIES:
            continue
        wide = part.pivot_table(index=["patient", "case"], columns=["method", "budget"], values="value")
        columns = {(str(m), int(b)): wide[(m, b)] for m, b in wide.columns}
        for budget in sorted({b for m, b in columns if m == method and b != NO_BUDGET}):
            own = columns[(method, budget)]
            parents = {parent: found for parent in PARENTS if (found := _at(columns, parent, budget)) is not None}
            if len(parents) < len(PARENTS):
                continue
            everywhere = own.notna()
            for found in parents.values():
                everywhere &= found.notna()
            if not everywhere.any():
                continue
            means = {parent: _mean(found[everywhere]) for parent, found in parents.items()}
            better = max(means, key=lambda parent: means[parent])
            paired = _paired(own[everywhere], parents[better][everywhere])
            if paired is None or paired["low"] is None:
                continue
            allowed = margin * abs(means[better])
            rows.append(
                {
                    "quantity": name,
                    "baseline": baseline,
                    "budget": budget,
                    "method": method,
                    "patients": paired["patients"],
                    "better_parent": better,
                    "parent_mean": means[better],
                    "mean_difference": paired["mean_difference"],
                    "low": paired["low"],
                    "high": paired["high"],
                    "margin": allowed,
                    "not_inferior": paired["low"] > -allowed,
                }
            )
    return rows


def _mean(column: Any) -> float:
    means, _ = by_patient(column.tolist(), [str(patient) for patient, _ in column.index])
    return float(means.mean())


ORDER = {quantity.name: place for place, quantity in enumerate(QUANTITIES)}
"""Of the quantities in tables."""
