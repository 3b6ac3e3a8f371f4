"""Test tiles with their outlines as ``camlime benchmark`` takes them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def write_cohort(items: list[dict], path: str | Path, per_class: int) -> None:
    """Write a table of cases: of each class, tiles of as many different cases as there are, at most ``per_class``.

    A case (specimen) stands for a patient in the benchmark's intervals and is in the table once.

    Args:
        items: what ``scripts.data.items`` gives of the test part.
        path: of the table; its folder is made.
        per_class: how many tiles of each class.
    """
    tiles, chosen, used = pd.DataFrame(items), [], set()
    # The rarest class first: a case with tiles of two classes goes to the one that has fewer.
    for label in tiles["label"].value_counts(ascending=True).index:
        own = tiles[(tiles["label"] == label) & ~tiles["group"].isin(used)].drop_duplicates("group")
        picked = own.sample(min(per_class, len(own)), random_state=0)
        used |= set(picked["group"])
        chosen.append(picked)
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pd.concat(chosen).rename(columns={"group": "patient"}).sort_values("case")
    table[["case", "patient", "image", "mask"]].to_csv(file, index=False)
