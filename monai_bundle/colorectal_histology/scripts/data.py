"""Tiles of the EBHI-Seg set and the parts they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from camlime.training.parts import items_of

CLASSES = ("normal", "polyp", "low_grade_in", "high_grade_in", "adenocarcinoma", "serrated_adenoma")
"""In the order of the network's outputs; ``in`` is intraepithelial neoplasia."""
ENOUGH = ("polyp", "low_grade_in", "high_grade_in", "adenocarcinoma")
"""Classes with 30 or more cases: those that the goal speaks of."""
TEST = "test"
FOLDS = ("fold1", "fold2", "fold3", "fold4", "fold5")


def read_cases(dataset_dir: str | Path) -> pd.DataFrame:
    """Read ``cases.csv``: its columns with absolute paths, and ``target`` (place in `CLASSES`).

    ``group`` is the case (a patient's specimen) that a tile was cut from; a case can have tiles of several classes.
    """
    root = Path(dataset_dir)
    cases = pd.read_csv(root / "cases.csv", dtype=str)
    cases["target"] = cases["label"].map({name: i for i, name in enumerate(CLASSES)})
    for column in ("image", "mask"):
        cases[column] = [str(root / path) for path in cases[column]]
    return cases


def make_splits(cases: pd.DataFrame, seed: int = 2023) -> pd.DataFrame:
    """Draw six parts of about equal size by case, stratified by class: a test part, and five folds of the rest.

    Args:
        cases: what `read_cases` returns.
        seed: of the draw.

    Returns:
        Columns ``case, group, label, part``; ``part`` is `TEST` or one of `FOLDS`.
    """
    names = np.array([TEST, *FOLDS], dtype=object)
    part = np.empty(len(cases), dtype=object)
    draw = StratifiedGroupKFold(len(names), shuffle=True, random_state=seed)
    for name, (_, members) in zip(names, draw.split(cases, cases["target"], cases["group"]), strict=True):
        part[members] = name
    return cases[["case", "group", "label"]].assign(part=part)


def items(dataset_dir: str | Path, splits: str | Path, parts: str | list[str]) -> list[dict]:
    """What MONAI's datasets take: ``image``, ``mask``, ``label`` and ``case``, ``group`` of the parts' tiles.

    The table of splits is drawn and written where it is not there yet.
    """
    return items_of(read_cases(dataset_dir), splits, [parts] if isinstance(parts, str) else parts, make_splits)


def class_weights(tiles: list[dict]) -> list[float]:
    """One factor a class, inverse to the root of its count; 1 on average over the tiles, 0 for a class without one."""
    count = np.bincount([tile["label"] for tile in tiles], minlength=len(CLASSES))
    factor = np.where(count > 0, 1 / np.sqrt(np.maximum(count, 1)), 0.0)
    return (factor * count.sum() / (factor * count).sum()).tolist()
