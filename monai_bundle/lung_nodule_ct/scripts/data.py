"""Cases of the LIDC-IDRI nodule set, their parts (folds and test) and their volumes in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from monai.transforms import Compose, LoadImage, Orientation, ResampleToMatch, ResizeWithPadOrCrop
from sklearn.model_selection import StratifiedGroupKFold

CLASSES = ("benign", "malignant")
TEST = "test"

# One reader's scores on a scale of 1 to 5: auxiliary targets, never inputs.
SCORES = (
    "malignancy_1to5",
    "spiculation_1to5",
    "lobulation_1to5",
    "margin_1to5",
    "texture_1to5",
    "subtlety_1to5",
)


def read_cases(dataset_dir: str | Path) -> pd.DataFrame:
    """Read ``cases.csv`` and the image headers.

    Args:
        dataset_dir: folder that holds ``cases.csv``, ``images/`` and ``masks/``.

    Returns:
        One row a case: the columns of ``cases.csv`` with absolute ``image`` and ``mask`` paths, ``target`` (0 benign,
        1 malignant), the crop's extent ``extent_x_mm``, ``extent_y_mm``, ``extent_z_mm``, and ``mask_volume_mm3``.
    """
    root = Path(dataset_dir)
    cases = pd.read_csv(root / "cases.csv")
    cases["target"] = cases["label"].map({name: i for i, name in enumerate(CLASSES)})
    for column in ("image", "mask"):
        cases[column] = [str(root / path) for path in cases[column]]
    extents, volumes = [], []
    for image_path, mask_path in zip(cases["image"], cases["mask"], strict=True):
        image, mask = nib.load(image_path), nib.load(mask_path)
        extents.append(np.asarray(image.header.get_zooms()[:3]) * image.shape[:3])
        # Some masks cover the whole scan and not the crop: a volume in mm3 needs no common grid.
        volumes.append(float((np.asarray(mask.dataobj) > 0).sum() * np.prod(mask.header.get_zooms()[:3])))
    for i, axis in enumerate("xyz"):
        cases[f"extent_{axis}_mm"] = [extent[i] for extent in extents]
    cases["mask_volume_mm3"] = volumes
    return cases


def auxiliary_targets(cases: pd.DataFrame) -> np.ndarray:
    """What the network has to tell beside the class, so that it learns what radiologists look at.

    Returns:
        float32 ``(cases, len(SCORES) + 3)``, each column with mean 0 and standard deviation 1 over ``cases``: the
        scores, calcification (absent or any), the logarithms of diameter and of mask volume.
    """
    columns = [cases[name].to_numpy(float) for name in SCORES]
    columns.append((cases["calcification"] != "Absent").to_numpy(float))
    columns.append(np.log(cases["diameter_mm"].to_numpy(float)))
    columns.append(np.log(cases["mask_volume_mm3"].to_numpy(float)))
    stacked = np.stack(columns, axis=1)
    return ((stacked - stacked.mean(0)) / stacked.std(0)).astype(np.float32)


def make_splits(cases: pd.DataFrame, folds: int = 5, seed: int = 2011) -> pd.DataFrame:
    """Draw the test part (one patient in five) and the folds of the rest, by patient and stratified by class.

    Returns:
        Columns ``case``, ``patient``, ``part``, where part is ``test`` or the number of the fold.
    """
    part = np.full(len(cases), TEST, dtype=object)
    target, patient = cases["target"].to_numpy(), cases["patient"].to_numpy()
    outer = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    rest, _ = next(iter(outer.split(target, target, patient)))
    inner = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + 1)
    for k, (_, validation) in enumerate(inner.split(target[rest], target[rest], patient[rest])):
        part[rest[validation]] = str(k)
    return pd.DataFrame({"case": cases["case"], "patient": cases["patient"], "part": part})


def read_splits(path: str | Path, cases: pd.DataFrame) -> np.ndarray:
    """Read the part of each case, in the order of ``cases``; fails if a patient lies in two parts."""
    splits = pd.read_csv(path, dtype=str)
    if (splits.groupby("patient")["part"].nunique() > 1).any():
        raise ValueError(f"{path}: a patient lies in more than one part")
    return splits.set_index("case").loc[cases["case"], "part"].to_numpy()


@dataclass(frozen=True)
class Volumes:
    """Resampled crops with room around the network's box, and which of their voxels the scan really has.

    Attributes:
        voxels: float32 ``(cases, 2, X, Y, Z)``, on the store's grid: scaled intensity, and the radiologist's outline
            (0 to 1), which serves the training loss only.
        low: int64 ``(cases, 3)``, first real voxel on each axis.
        high: int64 ``(cases, 3)``, last real voxel on each axis.
    """

    voxels: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


def load_volumes(cases: pd.DataFrame, loading: Callable, shape: Sequence[int]) -> Volumes:
    """Load all images and outlines once and keep them in memory.

    Args:
        cases: rows with paths ``image`` and ``mask``.
        loading: the bundle's preprocessing without its last step (the crop to the network's box).
        shape: the store's grid ``(X, Y, Z)``; larger than the box, so that it can be shifted and turned within.
    """
    read_mask = Compose([LoadImage(ensure_channel_first=True), Orientation(axcodes="RAS", labels=None)])
    # Some masks lie on the grid of the whole scan: all are brought to their image's grid by the two affines.
    match = ResampleToMatch(mode="bilinear", padding_mode="zeros")
    edge, zeros = ResizeWithPadOrCrop(shape, mode="edge"), ResizeWithPadOrCrop(shape, mode="constant")
    room = np.asarray(shape)
    voxels, low, high = [], [], []
    for image_path, mask_path in zip(cases["image"], cases["mask"], strict=True):
        image = loading({"image": image_path})["image"]
        mask = match(read_mask(mask_path), img_dst=image)
        size = np.asarray(image.shape[1:])
        # As ResizeWithPadOrCrop does it: an odd rest is padded behind, and cropped so that the middle voxels meet.
        start = np.where(size < room, (room - size) // 2, room // 2 - size // 2)
        voxels.append(torch.cat([torch.as_tensor(edge(image)), torch.as_tensor(zeros(mask))]).float())
        low.append(np.maximum(start, 0))
        high.append(np.minimum(start + size, room) - 1)
    return Volumes(torch.stack(voxels), torch.as_tensor(np.stack(low)), torch.as_tensor(np.stack(high)))
