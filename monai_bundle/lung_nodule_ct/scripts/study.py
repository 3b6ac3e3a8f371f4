"""Everything that a training needs, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.transforms import Compose

from .data import TEST, Volumes, auxiliary_targets, load_volumes, read_cases, read_splits


@dataclass(frozen=True)
class Study:
    """The development part (or the test part) in memory.

    Attributes:
        cases: one row a case, see ``data.read_cases``.
        part: fold of each case, or ``test``.
        boxes: what inference gives the network, float32 ``(cases, 1, X, Y, Z)``.
        volumes: what the random views are drawn from; None if not asked for.
    """

    cases: pd.DataFrame
    part: np.ndarray
    boxes: torch.Tensor
    volumes: Volumes | None

    @property
    def target(self) -> np.ndarray:
        """0 benign, 1 malignant, ``(cases,)``."""
        return self.cases["target"].to_numpy()

    @property
    def auxiliary(self) -> np.ndarray:
        """See ``data.auxiliary_targets``."""
        return auxiliary_targets(self.cases)

    @property
    def folds(self) -> list[str]:
        """Names of the folds in order."""
        return sorted(set(self.part))


def open_study(
    dataset_dir: str | Path,
    splits: str | Path,
    preprocessing: Compose,
    test: bool = False,
    store: Sequence[int] | None = None,
) -> Study:
    """Read one side of the split; the other side's images are not opened.

    Args:
        dataset_dir: folder that holds ``cases.csv``.
        splits: the bundle's ``docs/splits.csv``.
        preprocessing: the bundle's preprocessing; its last step crops or pads to the network's box.
        test: read the test part, else the development part.
        store: grid of the volumes for random views; None where nothing is trained.
    """
    cases = read_cases(dataset_dir)
    part = read_splits(splits, cases)
    chosen = np.flatnonzero((part == TEST) == test)
    cases, part = cases.iloc[chosen].reset_index(drop=True), part[chosen]
    boxes = torch.stack([preprocessing({"image": path})["image"].as_tensor().float() for path in cases["image"]])
    loading = Compose(preprocessing.transforms[:-1])
    volumes = None if store is None else load_volumes(cases, loading, store)
    return Study(cases, part, boxes, volumes)
