"""NIfTI, NRRD and DICOM of one volume give the same maps at the same place in the patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from support.blob_bundle import write_blob_bundle

import camlime
from camlime.resampling import resample
from camlime.scan import save_volume

STEPS = [
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
    {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 1000, "b_min": 0.0, "b_max": 1.0},
    {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": [26, 26, 20]},
]


def test_same_maps_in_ras(
    tmp_path: Path, geometry: np.ndarray, write_itk: Callable[..., Path], write_dicom: Callable[..., list[Path]]
) -> None:
    rng = np.random.default_rng(0)
    axes = np.indices((26, 24, 18))
    distance = sum((a - c) ** 2 for a, c in zip(axes, (16, 9, 11), strict=True))
    values = (1000 * np.exp(-distance / 18) + rng.integers(0, 30, axes.shape[1:])).astype(np.int16)
    write_dicom(tmp_path / "dicom", values, geometry)
    scans = {
        "nifti": save_volume(tmp_path / "scan.nii.gz", values, geometry),
        "nrrd": write_itk(tmp_path / "scan.nrrd", values, geometry),
        "dicom": tmp_path / "dicom",
    }
    bundle = write_blob_bundle(tmp_path / "bundle", (26, 26, 20), steps=STEPS)
    found = {
        kind: camlime.explain(
            path,
            bundle,
            methods=("gradcam", "lime", "fused"),
            class_name="bright",
            n_regions=50,
            budget=256,
            device="cpu",
            batch_size=16,
            evidence_budget=0,
        )
        for kind, path in scans.items()
    }
    first = found["nifti"]
    for other in (found["nrrd"], found["dicom"]):
        assert other.prediction.probabilities["bright"] == first.prediction.probabilities["bright"]
        for method, attribution in first.attributions.items():
            theirs = other.attributions[method].values
            there = resample(theirs, other.input.affine, first.input.spatial_shape, first.input.affine)
            limit = 1e-4 * np.ptp(attribution.values)
            np.testing.assert_allclose(there, attribution.values, atol=limit)
