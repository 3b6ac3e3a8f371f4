"""Plots of a model card: confusion, calibration, the course of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from camlime.training.statistics import Array

DPI = 110


def plot_confusion(path: str | Path, counts: Array, names: Sequence[str], title: str) -> None:
    """Counts ``(K, K)`` by true (rows) and predicted class, coloured by the share of the true class."""
    edge = max(4.0, 0.8 * len(names))
    figure = Figure(figsize=(edge + 0.4, edge), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), vmin=0, vmax=1, cmap="Blues")
    axes.set(xticks=range(len(names)), yticks=range(len(names)), xticklabels=names, yticklabels=names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if len(names) > 4:
        axes.set_xticklabels(names, rotation=30, ha="right", rotation_mode="anchor")
    for (i, j), count in np.ndenumerate(counts):
        dark = count > counts[i].sum() / 2
        axes.text(j, i, str(count), ha="center", va="center", color="white" if dark else "black")
    figure.savefig(path, dpi=DPI, bbox_inches="tight")


def plot_calibration(
    path: str | Path,
    bins: Sequence[Sequence[float]],
    title: str,
    *,
    x: str = "probability of the predicted class",
    y: str = "share that was right",
    limits: tuple[float, float] = (-0.02, 1.02),
) -> None:
    """Shares against probabilities, with 95 % errors of the shares.

    Args:
        path: of the picture.
        bins: mean probability, share and count of each, see `camlime.training.statistics.reliability`.
        title: of the plot.
        x: what the probability is of.
        y: what the share is of.
        limits: of both axes.
    """
    figure = Figure(figsize=(4.4, 4.4), layout="constrained")
    axes = figure.subplots()
    probability, share, count = np.array(bins).T
    error = 1.96 * np.sqrt(np.maximum(share * (1 - share), 1 / count) / count)
    axes.errorbar(probability, share, error, fmt="o-", capsize=2)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes.set(xlabel=x, ylabel=y, title=title, aspect="equal", xlim=limits, ylim=limits)
    figure.savefig(path, dpi=DPI)


def plot_training(path: str | Path, log: str | Path, *, metric: str, label: str) -> None:
    """The log of `camlime.training.engines.EpochLog` as a picture: training loss, and a metric of the validator.

    Args:
        path: of the picture.
        log: the table.
        metric: a column of it; may be empty in some rows.
        label: of its axis.
    """
    table = pd.read_csv(log)
    seen = table.dropna(subset=metric)
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(table["epoch"], table["loss"], color="tab:blue")
    axes.set(xlabel="epoch", ylabel="training loss")
    right = axes.twinx()
    right.plot(seen["epoch"], seen[metric], "o-", color="tab:orange", markersize=3)
    right.set(ylabel=label, ylim=(0.3, 1.0))
    figure.savefig(path, dpi=DPI)
