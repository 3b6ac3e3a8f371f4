"""Which cases a training is shown: the table of parts that a bundle ships, and the items of MONAI's datasets."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd


def items_of(
    cases: pd.DataFrame, splits: str | Path, parts: Collection[str], draw: Callable[[pd.DataFrame], pd.DataFrame]
) -> list[dict]:
    """The items of the cases that lie in some parts.

    Args:
        cases: columns ``case, group, image, mask, target``, one row a case.
        splits: table with columns ``case, part``; drawn and written where it is not there yet.
        parts: names of the wanted ones.
        draw: makes the table of all cases.

    Returns:
        ``image``, ``mask``, ``label`` (the target), ``case`` and ``group``, in the order of ``cases``.
    """
    path = Path(splits)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(cases).to_csv(path, index=False)
    chosen = pd.read_csv(path, dtype=str).set_index("case")["part"]
    own = cases[cases["case"].map(chosen).isin(parts)]
    return [
        {"image": row.image, "mask": row.mask, "label": row.target, "case": row.case, "group": row.group}
        for row in own.itertuples()
    ]
