"""The figures of the model card: ``docs/results.json``, the answers by case, and the plots."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import confusion_matrix
from torch import nn

from .data import CLASSES
from .statistics import balanced_accuracy, bootstrap, calibration
from .training import logits_of

mpl.use("Agg")
import matplotlib.pyplot as plt


def load_weights(network: nn.Module, path: str | Path) -> nn.Module:
    """The network with the shipped weights, in eval mode."""
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return network.eval()


def evaluate(part: str, network: nn.Module, loader, docs_dir: str | Path) -> None:
    """Report the shipped network on a part; writes ``<part>.csv``, ``results.json`` (that part) and plots.

    Args:
        part: ``validation`` or ``test``.
        network: with the shipped weights.
        loader: of the part's slices, in a fixed order.
        docs_dir: the bundle's ``docs``.
    """
    docs = Path(docs_dir)
    logits, label = logits_of(network, loader)
    probability, target = torch.softmax(logits.double(), 1).numpy(), label.numpy()
    items = pd.DataFrame([{"case": item["case"], "group": item["group"]} for item in loader.dataset.data])
    table = items.assign(target=target, predicted=probability.argmax(1))
    table = table.assign(**{name: probability[:, i] for i, name in enumerate(CLASSES)})
    table.to_csv(docs / f"{part}.csv", index=False, float_format="%.4f")
    predicted, group = probability.argmax(1), items["group"].to_numpy()
    honest = calibration(target, probability)
    results = {
        "cases": len(target),
        "groups": int(items["group"].nunique()),
        "balanced_accuracy": balanced_accuracy(target, predicted),
        "balanced_accuracy_95": bootstrap(balanced_accuracy, target, predicted, group),
        "accuracy": float((predicted == target).mean()),
        "by_class": {
            name: {
                "cases": int((target == i).sum()),
                "groups": int(items["group"][target == i].nunique()),
                "sensitivity": float((predicted[target == i] == i).mean()),
                "positive_predictive_value": float((target[predicted == i] == i).mean()),
            }
            for i, name in enumerate(CLASSES)
        },
        "confusion_rows_are_true": confusion_matrix(target, predicted, labels=range(len(CLASSES))).tolist(),
        "calibration": honest,
    }
    write(docs / "results.json", part, results)
    plot_confusion(docs / f"confusion_{part}.png", np.array(results["confusion_rows_are_true"]), part)
    plot_calibration(docs / f"calibration_{part}.png", honest, part)


def write(path: Path, key: str, value: object) -> None:
    """Replace one part of a JSON file, numbers rounded to 4 digits."""

    def rounded(item):
        if isinstance(item, dict):
            return {name: rounded(entry) for name, entry in item.items()}
        if isinstance(item, list):
            return [rounded(entry) for entry in item]
        return round(item, 4) if isinstance(item, float) else item

    results = json.loads(path.read_text()) if path.exists() else {}
    results[key] = rounded(value)
    text = json.dumps(results, indent=4)
    # Intervals and rows stay on one line each.
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text)
    path.write_text(text + "\n")


def plot_confusion(path: Path, counts: np.ndarray, part: str) -> None:
    """Counts by true and predicted class, coloured by the share of the true class."""
    figure, axes = plt.subplots(figsize=(4.4, 4.0), layout="constrained")
    axes.imshow(counts / counts.sum(1, keepdims=True), vmin=0, vmax=1, cmap="Blues")
    names = [name.replace("_tumor", "").replace("_", " ") for name in CLASSES]
    axes.set(xticks=range(len(names)), yticks=range(len(names)), xticklabels=names, yticklabels=names)
    axes.set(xlabel="predicted", ylabel="true", title=f"{part.capitalize()} part, {counts.sum()} slices")
    for (i, j), count in np.ndenumerate(counts):
        dark = count > counts[i].sum() / 2
        axes.text(j, i, str(count), ha="center", va="center", color="white" if dark else "black")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_calibration(path: Path, result: dict, part: str) -> None:
    """Share of right answers against the probability of the predicted class, in bins of equal count."""
    figure, axes = plt.subplots(figsize=(4.4, 4.4), layout="constrained")
    probability, share, count = np.array(result["bins"]).T
    error = 1.96 * np.sqrt(np.maximum(share * (1 - share), 1 / count) / count)
    axes.errorbar(probability, share, error, fmt="o-", capsize=2)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    title = f"{part.capitalize()} part, Brier {result['brier']:.3f}, ECE {result['ece']:.3f}"
    axes.set(xlabel="probability of the predicted class", ylabel="share that was right", title=title, aspect="equal")
    axes.set(xlim=(0.3, 1.02), ylim=(0.3, 1.02))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_training(docs_dir: str | Path) -> None:
    """The log as a picture: training loss, and the averaged network's balanced accuracy on the validation part."""
    docs = Path(docs_dir)
    log = pd.read_csv(docs / "training.csv")
    seen = log.dropna(subset="balanced_accuracy")
    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    axes.plot(log["epoch"], log["loss"], color="tab:blue")
    axes.set(xlabel="epoch", ylabel="training loss")
    right = axes.twinx()
    right.plot(seen["epoch"], seen["balanced_accuracy"], "o-", color="tab:orange", markersize=3)
    right.set(ylabel="balanced accuracy, validation", ylim=(0.3, 1.0))
    figure.savefig(docs / "training.png", dpi=110)
    plt.close(figure)
