"""Slices of the Cheng set and the parts they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

from camlime.training.parts import items_of

CLASSES = ("glioma", "meningioma", "pituitary_tumor")
PARTS = ("train", "validation", "test")
UNIT = 2
"""Blocks of 40 neighbours that stay together."""
SEAM = 13
"""Cases left out where two parts meet: a patient has 13 slices on average (3064 slices of 233 patients)."""


def read_cases(dataset_dir: str | Path) -> pd.DataFrame:
    """Read ``cases.csv``: its columns with absolute paths, ``number`` and ``target`` (place in `CLASSES`)."""
    root = Path(dataset_dir)
    cases = pd.read_csv(root / "cases.csv", dtype={"case": str})
    cases["number"] = cases["case"].astype(int)
    cases["target"] = cases["label"].map({name: i for i, name in enumerate(CLASSES)})
    for column in ("image", "mask"):
        cases[column] = [str(root / path) for path in cases[column]]
    return cases.sort_values("number", ignore_index=True)


def make_splits(cases: pd.DataFrame, seed: int = 2015) -> pd.DataFrame:
    """Draw a test and a validation part, by stretches of neighbouring groups, the same for each class.

    The set has no patient ids, and neighbours in number are often one patient. Stretches of up to `UNIT` groups of one
    class are cut where the set has a gap of a whole group or where they are long enough; one in five of each class
    (by cases, at least) becomes the test part and one in eight the validation part. Where stretches of two parts touch,
    `SEAM` cases are left out, of the training part if it is one of the two.

    Args:
        cases: what `read_cases` returns.
        seed: of the draw.

    Returns:
        Columns ``case, group, label, part``; ``part`` is one of `PARTS` or ``left_out``.
    """
    groups = cases.groupby("group")["number"].agg(["min", "max", "size"]).join(cases.groupby("group")["target"].first())
    groups = groups.sort_values("min")
    unit, units, previous = [], -1, None
    for row in groups.itertuples():
        apart = previous is None or row.target != previous.target or row.min - previous.max > SEAM
        if apart or unit.count(units) == UNIT:
            units += 1
        unit.append(units)
        previous = row
    groups["unit"] = unit
    groups["part"] = PARTS[0]
    rng = np.random.default_rng(seed)
    for target in range(len(CLASSES)):
        own = groups[groups["target"] == target]
        sizes, total = own.groupby("unit")["size"].sum(), int(own["size"].sum())
        # Rests of a few cases stay in training.
        order = [name for name in rng.permutation(sizes.index) if sizes[name] > UNIT * SEAM]
        for part, share in (("test", 0.2), ("validation", 0.125)):
            wanted = share * total
            while wanted > sizes[order[0]] / 2:
                groups.loc[groups["unit"] == order[0], "part"] = part
                wanted -= sizes[order.pop(0)]
    part = cases["group"].map(groups["part"]).to_numpy(object)
    return cases[["case", "group", "label"]].assign(part=_leave_seams_out(cases["number"].to_numpy(), part))


def _leave_seams_out(number: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Mark the cases within `SEAM` numbers of a case of another part, on the side that matters less."""
    rank = {name: i for i, name in enumerate(PARTS)}
    result = part.copy()
    for i, (own, mine) in enumerate(zip(number, part, strict=True)):
        near = part[np.abs(number - own) <= SEAM]
        if any(rank[other] > rank[mine] for other in near):
            result[i] = "left_out"
    return result


def items(dataset_dir: str | Path, splits: str | Path, *parts: str) -> list[dict]:
    """What MONAI's datasets take: ``image``, ``mask``, ``label`` and ``case``, ``group`` of the parts' cases.

    The table of splits is drawn and written where it is not there yet.
    """
    return items_of(read_cases(dataset_dir), splits, parts, make_splits)


class PixelSized(MapTransform):
    """Tell a picture without a header how large its pixels are and that it is shown as radiologists are used to.

    Args:
        keys: of images ``(C, X, Y)``, X to the right and Y down.
        millimetres: edge of a pixel.
    """

    def __init__(self, keys: Sequence[str], millimetres: float = 250 / 256) -> None:
        super().__init__(keys)
        self.affine = torch.diag(torch.tensor([millimetres, millimetres, 1.0, 1.0], dtype=torch.float64))

    def __call__(self, data: dict) -> dict:
        """Replace the affine of each image."""
        placed = {key: MetaTensor(data[key].as_tensor(), affine=self.affine) for key in self.key_iterator(data)}
        return {**data, **placed}
