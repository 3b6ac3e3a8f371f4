"""Test slices with their outlines as ``camlime benchmark`` takes them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from PIL import Image

PIXEL_MM = 250 / 256
# X of a picture grows to the patient's left, Y to the back, as an axial slice is shown.
AFFINE = np.diag([-PIXEL_MM, -PIXEL_MM, 1.0, 1.0])


def write_cohort(items: list[dict], folder: str | Path, per_group: int) -> None:
    """Write ``cohort.csv`` and NIfTI files of evenly spaced slices of each group.

    Args:
        items: what ``scripts.data.items`` gives of the test part.
        folder: made if it is not there.
        per_group: how many slices of each group; a group stands for a patient in the benchmark's intervals.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for group, own in pd.DataFrame(items).groupby("group"):
        chosen = np.unique(np.linspace(0, len(own) - 1, per_group).round().astype(int))
        for item in own.iloc[chosen].itertuples():
            names = {}
            for kind in ("image", "mask"):
                names[kind] = f"{item.case}_{kind}.nii.gz"
                pixels = np.asarray(Image.open(getattr(item, kind))).astype(np.uint8)
                pixels = pixels if kind == "image" else (pixels > 0).astype(np.uint8)
                nib.save(nib.Nifti1Image(pixels.T[..., None], AFFINE), root / names[kind])
            rows.append({"case": item.case, "patient": group, **names})
    pd.DataFrame(rows).to_csv(root / "cohort.csv", index=False)
