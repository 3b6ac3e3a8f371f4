"""The benchmark's figures, as PNG: methods with their intervals, curves, localisation, convergence."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from camlime.benchmark.quantities import BY_NAME
from camlime.benchmark.statistics import by_patient
from camlime.benchmark.tables import Record
from camlime.extras import needed

COLOURS = {"ours": "#0072B2", "peers": "#D55E00", "controls": "#8A8A8A", "wrong": "#CC79A7"}
GROUP_TITLES = {
    "ours": "camlime",
    "peers": "other packages",
    "controls": "controls that know nothing of the model",
    "wrong": "fused with columns in the wrong place, and partners",
}
DPI = 120
CURVES = ("fused", "lime", "gradcam", "lime-package", "captum-kernelshap", "centre", "random")
"""Methods whose mean deletion curves are drawn, where they were run."""

Row = dict[str, Any]


def draw_figures(records: Sequence[Record], values: Any, summary: dict[str, Any]) -> dict[str, bytes]:
    """All figures that the results allow, by file name."""
    needed("seaborn", extra="benchmark", purpose="the benchmark's figures").set_theme(
        style="whitegrid", context="paper"
    )
    figures = {
        "abpc.png": _removal(summary),
        "curves.png": _curves(records),
        "localisation.png": _localisation(summary),
        "convergence.png": _convergence(summary),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _png(figure: Any) -> bytes:
    from matplotlib import pyplot

    file = io.BytesIO()
    figure.savefig(file, dpi=DPI, bbox_inches="tight")
    pyplot.close(figure)
    return file.getvalue()


def _axes(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("agg", force=False)
    from matplotlib import pyplot

    size = (width * columns, height * rows)
    return pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **options)


def _select(summary: dict[str, Any], quantity: str, baseline: str, budget: int | None) -> list[Row]:
    """Methods at this budget and those without one, the best last (it is drawn at the top)."""
    found = [
        row
        for row in summary["results"]
        if (row["quantity"], row["baseline"]) == (quantity, baseline) and row["budget"] in (budget, None)
    ]
    sign = -1 if BY_NAME[quantity].better == "smaller" else 1
    return sorted(found, key=lambda row: sign * row["mean"])


def _budgets(summary: dict[str, Any]) -> list[int | None]:
    return sorted({row["budget"] for row in summary["results"] if row["budget"]}) or [None]


def _forest(axis: Any, rows: list[Row]) -> None:
    for place, row in enumerate(rows):
        colour = COLOURS[row["group"]]
        if row["mean_low"] is not None:
            axis.plot([row["mean_low"], row["mean_high"]], [place, place], color=colour, lw=2)
        axis.plot(row["mean"], place, "o", color=colour, ms=5)
    axis.set_yticks(range(len(rows)), [row["method"] for row in rows])
    for label, row in zip(axis.get_yticklabels(), rows, strict=True):
        label.set_color(COLOURS[row["group"]])
        label.set_fontweight("bold" if row["method"] == "fused" else "normal")
    axis.set_ylim(-0.6, len(rows) - 0.4)


def _legend(figure: Any, groups: set[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", color=COLOURS[group], label=title)
        for group, title in GROUP_TITLES.items()
        if group in groups
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)


def _removal(summary: dict[str, Any]) -> bytes | None:
    baselines = list(dict.fromkeys(r["baseline"] for r in summary["results"] if r["quantity"] == "abpc"))
    budgets = _budgets(summary)
    if not baselines:
        return None
    tallest = max(len(_select(summary, "abpc", name, budget)) for name in baselines for budget in budgets)
    figure, axes = _axes(len(baselines), len(budgets), 4.2, 1.6 + 0.2 * tallest, sharex="row")
    for line, baseline in zip(axes, baselines, strict=True):
        for axis, budget in zip(line, budgets, strict=True):
            _forest(axis, _select(summary, "abpc", baseline, budget))
            axis.axvline(0, color="black", lw=0.8)
            passes = f"{budget} passes" if budget else "no budget"
            axis.set_title(f"removed: {baseline}, {passes}")
            axis.set_xlabel("ABPC in log-odds, larger is better")
    _legend(figure, {row["group"] for row in summary["results"]})
    return _png(figure)


def _localisation(summary: dict[str, Any]) -> bytes | None:
    budget = _budgets(summary)[-1]
    names = [name for name in ("pointing", "mass", "rank", "auprc") if _select(summary, name, "", budget)]
    if not names:
        return None
    tallest = max(len(_select(summary, name, "", budget)) for name in names)
    figure, axes = _axes(1, len(names), 3.6, 1.9 + 0.2 * tallest)
    for axis, name in zip(axes[0], names, strict=True):
        _forest(axis, _select(summary, name, "", budget))
        axis.axvline(summary["cohort"]["mean_prevalence"], color="black", lw=0.8, ls=":")
        axis.set_xlim(0, 1)
        axis.set_title(name)
        axis.set_xlabel("dotted: prevalence")
    figure.suptitle(f"Against the experts' outlines, {budget} passes" if budget else "Against the experts' outlines")
    _legend(figure, {row["group"] for row in summary["results"]})
    return _png(figure)


def _curves(records: Sequence[Record]) -> bytes | None:
    """Mean curves over patients, at the largest budget of each method, first seed."""
    found: dict[str, dict[str, list[tuple[str, Row]]]] = {}
    for record in records:
        last: dict[str, Row] = {}
        for made in record["maps"]:
            known = last.get(made["method"])
            if made["method"] in CURVES and (known is None or (made["budget"] or 0) > (known["budget"] or 0)):
                last[made["method"]] = made
        for method, made in last.items():
            for baseline, removal in made["removal"].items():
                found.setdefault(baseline, {}).setdefault(method, []).append((record["patient"], removal))
    if not found:
        return None
    import seaborn

    colours = dict(zip(CURVES, seaborn.color_palette("colorblind", len(CURVES)), strict=True))
    figure, axes = _axes(1, len(found), 5.2, 4.0)
    for axis, (baseline, methods) in zip(axes[0], found.items(), strict=True):
        for method in [name for name in CURVES if name in methods]:
            fractions = np.mean([removal["fractions"] for _, removal in methods[method]], axis=0)
            for order, style in (("most_first", "-"), ("least_first", "--")):
                height = [
                    by_patient(column, [p for p, _ in methods[method]])[0].mean()
                    for column in zip(*[removal[order] for _, removal in methods[method]], strict=True)
                ]
                label = method if style == "-" else None
                axis.plot(100 * fractions, height, style, color=colours[method], lw=1.4, label=label)
        axis.set_title(f"removed: {baseline}")
        axis.set_xlabel("% of the valid voxels removed")
        axis.set_ylabel("log-odds of the class, mean over patients")
    handles, labels = axes[0][-1].get_legend_handles_labels()
    title = "solid: most relevant first, dashed: least relevant first"
    figure.legend(handles, labels, title=title, loc="outside lower center", ncols=len(labels), frameon=False)
    return _png(figure)


def _convergence(summary: dict[str, Any]) -> bytes | None:
    panels = [
        ("nrmse", "error to the method's own limit"),
        ("nrmse_common", "error to one limit for all"),
        ("jaccard", "top-10 Jaccard of two seeds"),
        ("coverage", "coverage of 95 % intervals"),
    ]
    shown = [(name, title) for name, title in panels if any(r["quantity"] == name for r in summary["results"])]
    if not shown or len(_budgets(summary)) < 2:
        return None
    import seaborn

    methods = list(dict.fromkeys(r["method"] for r in summary["results"] if r["quantity"] in dict(shown)))
    colours = dict(zip(methods, seaborn.color_palette("tab20", len(methods)), strict=True))
    figure, axes = _axes(1, len(shown), 3.8, 4.2)
    for axis, (name, title) in zip(axes[0], shown, strict=True):
        for method in methods:
            rows = [r for r in summary["results"] if (r["quantity"], r["method"]) == (name, method) and r["budget"]]
            rows.sort(key=lambda row: row["budget"])
            width = 2.4 if method == "fused" else 1.2
            axis.plot(
                [r["budget"] for r in rows],
                [r["median"] for r in rows],
                "o-",
                ms=3,
                lw=width,
                color=colours[method],
                label=method,
            )
        axis.set_xscale("log", base=2)
        axis.set_xticks(_budgets(summary), [str(budget) for budget in _budgets(summary)], rotation=45)
        if name.startswith("nrmse"):
            axis.set_yscale("log")
            for level in (0.3, 0.15):
                axis.axhline(level, color="black", lw=0.8, ls=":")
        elif name == "coverage":
            axis.axhspan(0.92, 0.98, color="black", alpha=0.08)
            axis.set_ylim(0, 1.02)
        else:
            axis.set_ylim(0, 1.02)
        axis.set_title(title)
        axis.set_xlabel("pass-equivalents")
    axes[0][0].set_ylabel("median over patients")
    handles = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return _png(figure)
