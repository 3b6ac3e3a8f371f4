"""Scans with a bright blob and its outline, and results of a benchmark to be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

TIMES = ("seconds",)
SHAPE = (16, 16, 8)


def write_scan(folder: Path, name: str, place: tuple[int, int, int], *, brightness: float = 1.0) -> None:
    """A blob of 4 x 4 x 4 voxels of 1 mm, and its outline."""
    rng = np.random.default_rng(sum(place))
    image = rng.uniform(0, 0.05, SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    blob = tuple(slice(start, start + 4) for start in place)
    image[blob], mask[blob] = brightness, 1
    nib.save(nib.Nifti1Image(image, np.eye(4)), folder / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image(mask, np.eye(4)), folder / f"{name}_mask.nii.gz")


def without_times(value: Any) -> Any:
    """Everything but what a clock says."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in (*TIMES, "created")}
    if isinstance(value, list):
        rows = [without_times(v) for v in value if not (isinstance(v, dict) and v.get("quantity") in TIMES)]
        return rows
    return value


def results(output: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in output.glob("cases/*/*.json")}
