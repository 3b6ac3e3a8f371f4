"""What was tried, ``docs/tried.csv``: every try, out of fold, against the diameter and the shipped run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .data import read_cases
from .statistics import auc, bootstrap, stratified_auc

MIRRORED = "_mirrored"
SHIPPED = "shipped"
CHOSEN = "chosen"
REFERENCES = ("diameter", SHIPPED)
ANSWERS = "tried_out_of_fold.csv"


def write_answers(docs_dir: str | Path, work_dir: str | Path, names: Sequence[str]) -> None:
    """Gather the log-odds of all trainings in ``docs/tried_out_of_fold.csv``, two columns each: plain and mirrored."""
    table = pd.read_csv(Path(docs_dir) / "out_of_fold.csv", dtype={"fold": str})
    table = table[["case", "patient", "fold", "target"]]
    for name in names:
        answers = pd.read_csv(Path(work_dir) / f"{name}.csv").set_index("case").loc[table["case"]]
        table = table.assign(**{name: answers["log_odds"].to_numpy(), name + MIRRORED: answers["mirrored"].to_numpy()})
    table.to_csv(Path(docs_dir) / ANSWERS, index=False, float_format="%.4f")


def write_figures(docs_dir: str | Path, dataset_dir: str | Path, what: Mapping[str, str], draws: int = 2000) -> None:
    """Write ``docs/tried.csv`` from ``docs/tried_out_of_fold.csv`` and the shipped run's ``docs/out_of_fold.csv``.

    One row a score: AUC by fold, pooled and within folds, and the paired differences to the diameter and to the
    shipped run (95 % intervals, patients drawn with replacement). Beside each training: its mirrored copies averaged.
    At the end: the mean log-odds of the shipped recipe's runs and of all runs, and what choosing by score is worth.

    Args:
        docs_dir: the bundle's ``docs``.
        dataset_dir: folder that holds ``cases.csv``.
        what: name of each training to what it tries.
        draws: number of resamplings.
    """
    docs = Path(docs_dir)
    table = pd.read_csv(docs / ANSWERS, dtype={"fold": str})
    shipped = pd.read_csv(docs / "out_of_fold.csv").set_index("case").loc[table["case"], "log_odds"].to_numpy()
    cases = read_cases(dataset_dir).set_index("case").loc[table["case"]]
    target, patient, fold = (table[column].to_numpy() for column in ("target", "patient", "fold"))
    runs = {SHIPPED: shipped} | {name: table[name].to_numpy() for name in what}
    same = [name for name in runs if name == SHIPPED or name.startswith("again_")]
    tries = runs | {name + MIRRORED: table[name + MIRRORED].to_numpy() for name in what}
    tries["mean_of_shipped_recipe"] = np.mean([runs[name] for name in same], axis=0)
    tries["mean_of_all"] = np.mean(list(runs.values()), axis=0)
    scores = {"diameter": cases["diameter_mm"].to_numpy(), "mask_volume": cases["mask_volume_mm3"].to_numpy()} | tries
    chosen, best = choose_on_other_folds(target, fold, tries)
    texts = {
        "diameter": "diameter alone",
        "mask_volume": "mask volume alone",
        SHIPPED: "the shipped recipe and seed",
        **what,
        **{name + MIRRORED: "its answers averaged over eight mirrored boxes" for name in what},
        "mean_of_shipped_recipe": f"mean log-odds of {len(same)} networks of the shipped recipe",
        "mean_of_all": f"mean log-odds of all {len(runs)} networks",
        CHOSEN: "in each fold the one that was best on the other four: " + " ".join(chosen),
    }
    areas = {("pooled", name): bootstrap(target, scores, patient, name, draws=draws) for name in REFERENCES} | {
        ("within", name): bootstrap(target, scores | {CHOSEN: best}, patient, name, fold, draws) for name in REFERENCES
    }
    rows = []
    for name, text in texts.items():
        score = best if name == CHOSEN else scores[name]
        row: dict = {"name": name, "what": text}
        row |= {f"fold_{k}": auc(target[fold == k], score[fold == k]) for k in np.unique(fold)}
        for (area, reference), results in areas.items():
            result = results.get(name, {})
            row[area] = result.get("auc")
            difference = f"minus_{reference}"
            row[f"{area}_{difference}"] = result.get(difference)
            low, high = result.get(f"{difference}_95", (None, None))
            row |= {f"{area}_{difference}_low": low, f"{area}_{difference}_high": high}
        rows.append(row)
    pd.DataFrame(rows).to_csv(docs / "tried.csv", index=False, float_format="%.3f")


def choose_on_other_folds(
    target: np.ndarray, fold: np.ndarray, tries: Mapping[str, np.ndarray]
) -> tuple[list[str], np.ndarray]:
    """What the winner of several tries is worth: it is chosen on four folds and judged on the fifth.

    Args:
        target: 0 or 1, ``(cases,)``.
        fold: of each case.
        tries: name to score, ``(cases,)``.

    Returns:
        The name chosen for each fold, and its scores there, ``(cases,)``; to be compared within folds only.
    """
    names, score = [], np.empty(len(target))
    for k in np.unique(fold):
        held = fold == k
        areas = {name: stratified_auc(target[~held], values[~held], fold[~held]) for name, values in tries.items()}
        names.append(max(areas, key=areas.get))
        score[held] = tries[names[-1]][held]
    return names, score
