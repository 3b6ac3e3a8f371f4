"""A DICOM series on any geometry, and an explanation of it whose maps are known voxel by voxel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.explanation import Explanation, Prediction
from camlime.methods.agreement import Agreement
from camlime.regions import Regions
from support.dicom_slices import rotation, write_slices

SOURCE_SHAPE = (20, 16, 9)
"""Columns, rows, slices."""

SERIES_UID = "1.2.826.0.1.3680043.8.498.1001"


STRAIGHT = np.diag([-1.0, -1.0, 1.0])
TILT = np.eye(3)
TILT[1, 2] = 0.2

# RAS directions of the voxel axes, spacing in mm, slice thickness in mm
GEOMETRIES = {
    "straight": (STRAIGHT, (0.8, 0.8, 2.0), 2.0),
    "gapped": (STRAIGHT, (0.8, 0.8, 5.0), 2.0),
    "oblique": (rotation(14, -21, 33) @ STRAIGHT, (0.8, 0.9, 1.7), 1.7),
    "tilted gantry": (TILT @ STRAIGHT, (0.8, 0.8, 2.0), 2.0),
}


def affine_of(name: str) -> np.ndarray:
    """4x4, voxel index to RAS mm."""
    direction, spacing, _ = GEOMETRIES[name]
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = (31.5, -12.25, 140.0)
    return affine


def write_series(folder: Path, geometry: str, *, change: Callable[[Any], None] = lambda ds: None) -> Path:
    """A CT series of one patient, with all that objects which refer to it have to copy."""
    uids = pytest.importorskip("pydicom").uid
    study, frame = uids.generate_uid(), uids.generate_uid()

    def complete(k: int, ds: Any) -> None:
        ds.StudyInstanceUID, ds.FrameOfReferenceUID = study, frame
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Doe^Jane", "4711", "19500101", "F"
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20200102", "101112", "1", "A1"
        ds.ReferringPhysicianName, ds.Manufacturer, ds.PositionReferenceIndicator = "", "Maker", ""
        ds.SeriesNumber, ds.ImageType = 3, ["ORIGINAL", "PRIMARY", "AXIAL"]
        change(ds)

    pixels = np.random.default_rng(0).integers(-1000, 1000, SOURCE_SHAPE)
    thickness = GEOMETRIES[geometry][2]
    write_slices(folder, pixels, affine_of(geometry), uid=SERIES_UID, thickness=thickness, change=complete)
    return folder


def explanation_of(geometry: str, *, series_uid: str | None = SERIES_UID, complete: bool = True) -> Explanation:
    """Of the inner voxels of the source, a grid of its own: slices 2 to 6, finer in plane."""
    source = affine_of(geometry)
    affine = source.copy()
    affine[:3, :2] *= 0.5
    affine[:3, 3] = source[:3] @ [4.0, 3.0, 2.0, 1.0]
    shape = (18, 14, 5)
    rng = np.random.default_rng(1)
    labels = np.ones(shape, np.int32)
    labels[6:, :, :] = 2
    labels[12:, 7:, :] = 3
    regions = Regions(labels)
    weights, errors = np.array([0.2, 2.0, -1.1]), np.array([0.05, 0.1, 0.2])
    fused = Attribution("fused", regions.paint(weights), regions.paint(errors), weights, errors, 64, 2, 0.5, "layer2")
    lime = Attribution("lime", regions.paint(weights * 1.1), regions.paint(errors), weights, errors, 64, 0, 0.5)
    cam = Attribution("gradcam", rng.normal(size=shape).astype(np.float32), target_layer="layer2")
    spacing = tuple(float(x) for x in np.linalg.norm(affine[:3, :3], axis=0))
    return Explanation(
        Prediction(
            "malig\\nant <b>", {"benign": 0.07, "malig\\nant <b>": 0.93}, {"benign": -1.0, "malig\\nant <b>": 1.5}
        ),
        "malig\\nant <b>",
        {"gradcam": cam, "lime": lime, "fused": fused} if complete else {},
        regions,
        ModelInput(
            torch.from_numpy(rng.random((1, *shape), dtype=np.float32)),
            affine,
            torch.ones(shape, dtype=torch.bool),
            spacing,
        ),
        Agreement("gradcam", 0.5, (0.2, 0.8), 3.0, 0.9, 0.7, 10, "concordant") if complete else None,
        {
            "seed": 3,
            "scan": {"name": "Doe_Jane", "series_uid": series_uid},
            "bundle": {"name": "Test", "version": "1.0"},
            "baseline": {"name": "blur"},
        },
        ("the answer means <nothing>",),
    )
