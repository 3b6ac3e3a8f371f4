"""The figures of the model card: ``docs/results.json``, the answers by case, and the plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import confusion_matrix
from torch import nn

from camlime.training.plots import plot_calibration, plot_confusion
from camlime.training.results import write_part
from camlime.training.statistics import balanced_accuracy, bootstrap, calibration
from camlime.training.weights import logits_of

from .data import CLASSES


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
        "balanced_accuracy_95": bootstrap(balanced_accuracy, target, predicted, group=group, within=target),
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
    write_part(docs / "results.json", part, results)
    names = [name.replace("_tumor", "").replace("_", " ") for name in CLASSES]
    title, counts = f"{part.capitalize()} part", np.array(results["confusion_rows_are_true"])
    plot_confusion(docs / f"confusion_{part}.png", counts, names, f"{title}, {len(target)} slices")
    title += f", Brier {honest['brier']:.3f}, ECE {honest['ece']:.3f}"
    plot_calibration(docs / f"calibration_{part}.png", honest["bins"], title, limits=(0.3, 1.02))
