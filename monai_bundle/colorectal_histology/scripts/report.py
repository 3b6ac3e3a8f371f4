"""The figures of the model card: ``docs/results.json``, the answers by tile, and the plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix
from torch import nn

from camlime.training.plots import plot_calibration, plot_confusion
from camlime.training.results import write_part
from camlime.training.statistics import calibration, interval

from .data import CLASSES, ENOUGH, FOLDS
from .folds import NONE, answers

NAMES = [name.replace("_in", " IN").replace("_", " ") for name in CLASSES]


def report_folds(docs_dir: str | Path) -> None:
    """Report the five folds' networks, each on the cases that it has not seen, from ``out_of_fold.csv``."""
    docs = Path(docs_dir)
    table = pd.read_csv(docs / "out_of_fold.csv", dtype={"case": str, "group": str, "fold": str})
    report(table, "out_of_fold", "Out of fold", docs)
    macro = {fold: figures(_counts(own))["macro_f1_of_four"] for fold, own in table.groupby("fold")}
    write_part(docs / "results.json", "macro_f1_of_four_by_fold", {fold: macro[fold] for fold in FOLDS})


def report_test(network: nn.Module, loader, docs_dir: str | Path) -> None:
    """Report the shipped network on the test part; writes ``test.csv`` (logits) as well."""
    docs = Path(docs_dir)
    table = answers(network, loader)
    table.to_csv(docs / "test.csv", index=False, float_format="%.4f")
    report(table, "test", "Test part", docs)


def report(table: pd.DataFrame, key: str, title: str, docs: Path) -> None:
    """Write the figures of a table of logits under ``key`` into ``results.json``, and its two plots.

    Args:
        table: columns ``group, target`` and one of logits for each of `CLASSES`.
        key: name of the part.
        title: of the plots.
        docs: the bundle's ``docs``.
    """
    logits, target = torch.from_numpy(table[list(CLASSES)].to_numpy()), table["target"].to_numpy()
    honest = calibration(target, torch.softmax(logits, 1).numpy())
    counts = _counts(table)
    drawn = [figures(sample) for sample in _resampled(table)]
    found = figures(counts)
    results = {
        "tiles": len(table),
        "cases": int(table["group"].nunique()),
        **{name: {"value": value, "interval_95": interval_of(drawn, name)} for name, value in found.items()},
        "tiles_and_cases_by_class": {
            name: [int((target == i).sum()), int(table["group"][target == i].nunique())]
            for i, name in enumerate(CLASSES)
        },
        "confusion_rows_are_true": counts.tolist(),
        "calibration": honest,
    }
    write_part(docs / "results.json", key, results)
    plot_confusion(docs / f"confusion_{key}.png", counts, NAMES, f"{title}, {len(table)} tiles")
    measures = f"Brier {honest['brier']:.3f}, ECE {honest['ece']:.3f}"
    plot_calibration(docs / f"calibration_{key}.png", honest["bins"], f"{title}, {measures}", limits=(0.3, 1.02))


def figures(counts: np.ndarray) -> dict[str, float]:
    """Measures of a confusion matrix ``(K, K)``, true classes in rows; NaN where a class is missing.

    Returns:
        ``macro_f1_of_four``: mean F1 of the classes with 30 or more cases, errors towards and from all six counted;
        ``macro_f1``: of all six; ``balanced_accuracy``; ``accuracy``; and by class ``f1_*``, ``sensitivity_*`` and
        ``positive_predictive_value_*``.
    """
    right, true, called = np.diag(counts).astype(float), counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, predictive, f1 = right / true, right / called, 2 * right / (true + called)
    f1 = np.where(true > 0, f1, np.nan)
    result = {
        "macro_f1_of_four": float(np.mean([f1[CLASSES.index(name)] for name in ENOUGH])),
        "macro_f1": float(f1.mean()),
        "balanced_accuracy": float(sensitivity.mean()),
        "accuracy": float(right.sum() / counts.sum()),
    }
    for measure, values in (("f1", f1), ("sensitivity", sensitivity), ("positive_predictive_value", predictive)):
        result |= {f"{measure}_{name}": float(value) for name, value in zip(CLASSES, values, strict=True)}
    return result


def interval_of(drawn: list[Mapping[str, float]], name: str) -> list[float]:
    """95 % interval of a measure over bootstrap draws; draws that lack a class that it needs are left out."""
    values = np.array([draw[name] for draw in drawn])
    return interval(values[~np.isnan(values)])


def _counts(table: pd.DataFrame) -> np.ndarray:
    predicted = table[list(CLASSES)].to_numpy().argmax(1)
    return confusion_matrix(table["target"], predicted, labels=range(len(CLASSES)))


def _resampled(table: pd.DataFrame, draws: int = 2000, seed: int = 0) -> list[np.ndarray]:
    """Confusion matrices of bootstrap draws of cases, each with all its tiles."""
    each = np.stack([_counts(own) for _, own in table.groupby("group")])
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(each), np.full(len(each), 1 / len(each)), size=draws)
    return list(np.einsum("dg,gij->dij", times, each))


def plot_training(docs_dir: str | Path) -> None:
    """The logs of all trainings: loss by epoch, and the folds' balanced accuracy on what they were not shown."""
    docs = Path(docs_dir)
    log = pd.read_csv(docs / "training.csv")
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    right = axes.twinx()
    for held, own in log.groupby("held"):
        axes.plot(own["epoch"], own["loss"], color="tab:blue", linewidth=1.8 if held == NONE else 0.8)
        seen = own.dropna(subset="balanced_accuracy")
        right.plot(seen["epoch"], seen["balanced_accuracy"], "o-", color="tab:orange", markersize=3, linewidth=0.8)
    axes.set(xlabel="epoch", ylabel="training loss (bold: the shipped network)")
    right.set(ylabel="balanced accuracy, held fold", ylim=(0, 1))
    figure.savefig(docs / "training.png", dpi=110)
