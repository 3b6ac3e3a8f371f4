"""The figures of the model card: ``docs/results.json`` and the plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from torch import nn

from camlime.training.plots import DPI, plot_calibration
from camlime.training.results import write_part

from .augment import Augment
from .data import SCORES, read_cases
from .localisation import centre_blob
from .probes import PROBES
from .statistics import auc, bootstrap, calibration
from .study import Study
from .training import log_odds, predict

BASELINES = {
    "diameter": "diameter_mm",
    "mask_volume": "mask_volume_mm3",
    "extent_z": "extent_z_mm",
    "extent_x": "extent_x_mm",
}
FULL_MM = 8.0
"""Length of the network's box in z: crops at least as long are not padded there."""


def evaluate_folds(dataset_dir: str | Path, docs_dir: str | Path) -> None:
    """Compare the out-of-fold answers with the baselines; writes ``results.json`` (part ``out_of_fold``)."""
    docs = Path(docs_dir)
    table = pd.read_csv(docs / "out_of_fold.csv", dtype={"fold": str})
    cases = read_cases(dataset_dir).set_index("case").loc[table["case"]].reset_index()
    target, patient, fold = table["target"].to_numpy(), table["patient"].to_numpy(), table["fold"].to_numpy()
    scores = {"network": table["log_odds"].to_numpy()}
    scores |= {name: cases[column].to_numpy() for name, column in BASELINES.items()}
    scores["radiologist_scores_and_diameter"] = _reader_model(cases, target, fold)
    long = (cases["extent_z_mm"] >= FULL_MM).to_numpy()
    results = {
        "cases": len(table),
        "patients": int(table["patient"].nunique()),
        "malignant": int(target.sum()),
        "pooled": bootstrap(target, scores, patient, "diameter"),
        "within_folds": bootstrap(target, scores, patient, "diameter", fold),
        "per_fold": {
            k: {name: auc(target[fold == k], score[fold == k]) for name, score in scores.items()}
            for k in np.unique(fold)
        },
        "unpadded_only": {
            "cases": int(long.sum()),
            **bootstrap(target[long], {name: score[long] for name, score in scores.items()}, patient[long], "diameter"),
        },
        "extent_z_within_box_auc": auc(target, np.minimum(cases["extent_z_mm"].to_numpy(), FULL_MM)),
        "probes": {name: _probe_row(table, name, long) for name in PROBES},
    }
    write_part(docs / "results.json", "out_of_fold", results)
    odds = scores["network"]
    probability = LogisticRegression(C=np.inf).fit(odds[:, None], target).predict_proba(odds[:, None])[:, 1]
    plot_roc(docs / "roc_out_of_fold.png", target, scores, f"Out of fold, {len(target)} nodules")
    plot_by_size(docs / "size.png", target, probability, cases["diameter_mm"].to_numpy())


def evaluate_test(study: Study, network: nn.Module, augment: Augment, docs_dir: str | Path) -> None:
    """Report the shipped network on the test part; writes ``test.csv`` and ``results.json`` (part ``test``)."""
    docs = Path(docs_dir)
    odds = log_odds(predict(network, study.boxes))
    target, patient = study.target, study.cases["patient"].to_numpy()
    probability = 1 / (1 + np.exp(-odds))
    table = study.cases[["case", "patient", "target", "diameter_mm"]].assign(log_odds=odds, probability=probability)
    table.to_csv(docs / "test.csv", index=False, float_format="%.4f")
    scores = {"network": odds} | {name: study.cases[column].to_numpy() for name, column in BASELINES.items()}
    results = {
        "cases": len(target),
        "patients": int(study.cases["patient"].nunique()),
        "malignant": int(target.sum()),
        "auc": bootstrap(target, scores, patient, "diameter"),
        "accuracy": float(np.mean((probability >= 0.5) == target)),
        "sensitivity": float(np.mean(probability[target == 1] >= 0.5)),
        "specificity": float(np.mean(probability[target == 0] < 0.5)),
        "calibration": calibration(target, probability),
        "centre_blob": centre_blob(study, augment),
    }
    write_part(docs / "results.json", "test", results)
    plot_roc(docs / "roc_test.png", target, scores, f"Test part, {len(target)} nodules")
    honest = results["calibration"]
    title = f"Test part, Brier {honest['brier']:.3f}, ECE {honest['ece']:.3f}"
    shown = {"x": "probability of malignant", "y": "share of malignant"}
    plot_calibration(docs / "calibration.png", honest["bins"], title, **shown)


def _reader_model(cases: pd.DataFrame, target: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Out-of-fold log-odds of a logistic regression on one reader's scores of shape and density, and the diameter.

    What a network could reach that learnt to read these features as well as that reader. The reader's malignancy is
    left out: it is part of the label.
    """
    features = cases[[name for name in SCORES if name != "malignancy_1to5"]].astype(float)
    features["calcified"] = (cases["calcification"] != "Absent").astype(float)
    features["log_diameter"] = np.log(cases["diameter_mm"])
    standard = ((features - features.mean()) / features.std()).to_numpy()
    odds = np.empty(len(target))
    for k in np.unique(fold):
        held = fold == k
        odds[held] = LogisticRegression().fit(standard[~held], target[~held]).decision_function(standard[held])
    return odds


def _probe_row(table: pd.DataFrame, name: str, long: np.ndarray) -> dict[str, float]:
    """What a probe does: to the AUC of all cases, and to the log-odds of those that are not padded in z."""
    moved = (table[name] - table["log_odds"]).to_numpy()
    target = table["target"].to_numpy()
    return {
        "auc": auc(target, table[name].to_numpy()),
        "shift_mean": float(moved[long].mean()),
        "shift_sd": float(moved[long].std()),
        "shift_mean_benign": float(moved[long & (target == 0)].mean()),
        "shift_mean_malignant": float(moved[long & (target == 1)].mean()),
    }


def plot_roc(path: Path, target: np.ndarray, scores: dict[str, np.ndarray], title: str) -> None:
    """ROC curves of the network, of diameter alone and of the crop's length in z alone."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    names = {"network": "network", "diameter": "diameter alone", "extent_z": "z extent of the crop alone"}
    for name, label in names.items():
        order = np.argsort(-scores[name], kind="stable")
        hits = np.r_[0, np.cumsum(target[order]) / target.sum()]
        false = np.r_[0, np.cumsum(1 - target[order]) / (1 - target).sum()]
        axes.plot(false, hits, label=f"{label}, AUC {auc(target, scores[name]):.3f}")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title=title, aspect="equal")
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=DPI)


def plot_by_size(path: Path, target: np.ndarray, probability: np.ndarray, diameter: np.ndarray) -> None:
    """Out-of-fold probability against diameter: what the network adds is the spread at equal size."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    for value, name, colour in ((0, "benign", "tab:blue"), (1, "malignant", "tab:red")):
        inside = target == value
        axes.scatter(diameter[inside], probability[inside], s=8, alpha=0.6, color=colour, label=name, linewidths=0)
    axes.set(xscale="log", xlabel="diameter in mm", ylabel="probability of malignant", title="Out of fold")
    axes.set_xticks([4, 6, 8, 12, 20, 30], labels=["4", "6", "8", "12", "20", "30"])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)
