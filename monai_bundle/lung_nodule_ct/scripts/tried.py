"""What was tried, ``docs/tried.csv``: every try, out of fold, against the diameter and the shipped run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from .data import read_cases
from .statistics import auc, bootstrap, stratified_auc

MIRRORED = "_mirrored"
SHIPPED = "shipped"
CHOSEN = "chosen"
AGAIN = "again_"
REFERENCES = ("diameter", SHIPPED)
ANSWERS = "tried_out_of_fold.csv"


def write_answers(docs_dir: str | Path, work_dir: str | Path, names: Sequence[str]) -> None:
    """Put the log-odds of finished trainings into ``docs/tried_out_of_fold.csv``, two columns each: plain, mirrored.

    Args:
        docs_dir: the bundle's ``docs``; columns of other trainings that the file has already stay.
        work_dir: folder of the trainings' ``<name>.csv``.
        names: of all trainings, in order; those without a file are left out.
    """
    docs = Path(docs_dir)
    source = docs / (ANSWERS if (docs / ANSWERS).exists() else "out_of_fold.csv")
    table = pd.read_csv(source, dtype={"fold": str})
    columns = {name: table[name] for name in table.columns if name.removesuffix(MIRRORED) in names}
    for name in names:
        if (Path(work_dir) / f"{name}.csv").exists():
            answers = pd.read_csv(Path(work_dir) / f"{name}.csv").set_index("case").loc[table["case"]]
            columns[name], columns[name + MIRRORED] = (answers[kind].to_numpy() for kind in ("log_odds", "mirrored"))
    ordered = {name + kind: columns[name + kind] for name in names for kind in ("", MIRRORED) if name in columns}
    table = table[["case", "patient", "fold", "target"]].assign(**ordered)
    table.to_csv(docs / ANSWERS, index=False, float_format="%.4f")


def write_figures(docs_dir: str | Path, dataset_dir: str | Path, what: Mapping[str, str], draws: int = 2000) -> None:
    """Write ``docs/tried.csv`` from ``docs/tried_out_of_fold.csv`` and the shipped run's ``docs/out_of_fold.csv``.

    One row a score: AUC by fold, pooled and within folds, and the paired differences to the diameter and to the
    shipped run (95 % intervals, patients drawn with replacement). After the trainings: each with its mirrored copies
    averaged, the mean log-odds of several, what choosing by score is worth (``choose_on_other_folds``), and what a
    network reaches that is told a reader's size (``told``). A training that has not been run has an empty row, and an
    unfinished one only its folds.

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
    sizes = {"diameter": cases["diameter_mm"].to_numpy(), "mask_volume": cases["mask_volume_mm3"].to_numpy()}
    begun = {name: table[name].to_numpy() for name in what if name in table}
    done = [name for name, score in begun.items() if np.isfinite(score).all()]
    runs = {SHIPPED: shipped} | {name: begun[name] for name in done}
    same = [name for name in runs if name == SHIPPED or name.startswith(AGAIN)]
    tries = runs | {name + MIRRORED: table[name + MIRRORED].to_numpy() for name in done}
    tries["mean_of_shipped_recipe"] = np.mean([runs[name] for name in same], axis=0)
    tries["mean_of_all"] = np.mean(list(runs.values()), axis=0)
    chosen, best = choose_on_other_folds(target, fold, tries)
    informed = {f"{SHIPPED}_told_{name}": told(target, fold, shipped, size) for name, size in sizes.items()}
    scores = sizes | tries | informed | {CHOSEN: best}
    texts = {
        "diameter": "diameter alone",
        "mask_volume": "mask volume alone",
        SHIPPED: "the shipped recipe and seed",
        **what,
        **{name + MIRRORED: "its answers averaged over eight mirrored boxes" for name in done},
        "mean_of_shipped_recipe": f"mean log-odds of {len(same)} networks of the shipped recipe",
        "mean_of_all": f"mean log-odds of all {len(runs)} networks",
        CHOSEN: "in each fold the one that was best on the other four: " + " ".join(chosen),
        **{name: "no try but a bound: the shipped run and the reader's size in a regression" for name in informed},
    }
    # Networks of different recipes are chosen for different folds: their answers are not on one scale.
    pooled = {name: score for name, score in scores.items() if name != CHOSEN}
    areas = {("pooled", name): bootstrap(target, pooled, patient, name, None, draws) for name in REFERENCES}
    areas |= {("within", name): bootstrap(target, scores, patient, name, fold, draws) for name in REFERENCES}
    rows = [_row(name, text, target, fold, (begun | scores).get(name), areas) for name, text in texts.items()]
    pd.DataFrame(rows).to_csv(docs / "tried.csv", index=False, float_format="%.3f")


def _row(
    name: str,
    text: str,
    target: np.ndarray,
    fold: np.ndarray,
    score: np.ndarray | None,
    areas: Mapping[tuple[str, str], Mapping[str, Mapping]],
) -> dict:
    """One line of the table; no figures where there is no score yet."""
    row: dict = {"name": name, "what": text}
    for k in np.unique(fold):
        there = score is not None and np.isfinite(score[fold == k]).all()
        row[f"fold_{k}"] = auc(target[fold == k], score[fold == k]) if there else None
    for (area, reference), results in areas.items():
        result, difference = results.get(name, {}), f"minus_{reference}"
        row[area] = result.get("auc")
        row[f"{area}_{difference}"] = result.get(difference)
        low, high = result.get(f"{difference}_95", (None, None))
        row |= {f"{area}_{difference}_low": low, f"{area}_{difference}_high": high}
    return row


def told(target: np.ndarray, fold: np.ndarray, odds: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Log-odds of a logistic regression on the network's log-odds and the logarithm of a size, out of fold.

    What better measuring could add: the network is given the image only.
    """
    features = np.stack([odds, np.log(size)], 1)
    features = (features - features.mean(0)) / features.std(0)
    result = np.empty(len(target))
    for k in np.unique(fold):
        held = fold == k
        result[held] = (
            LogisticRegression(C=np.inf).fit(features[~held], target[~held]).decision_function(features[held])
        )
    return result


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
