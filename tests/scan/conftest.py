"""Volumes with a known point, and writers of every format that do not share code with the readers under test."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid
from support.dicom_slices import rotation, write_slices

DATA = Path(os.environ.get("CAMLIME_DATA", Path(__file__).parents[3] / "shared" / "data"))


# RAS directions of the voxel axes, spacing
GEOMETRIES = {
    "straight": (np.diag([-1.0, -1.0, 1.0]), (1.0, 1.0, 1.0)),
    "anisotropic": (np.diag([-1.0, -1.0, 1.0]), (0.7, 0.9, 2.5)),
    "flipped": (np.diag([1.0, -1.0, -1.0]), (1.0, 1.2, 2.0)),
    "oblique": (rotation(14, -21, 33) @ np.diag([-1.0, -1.0, 1.0]), (0.8, 0.9, 1.7)),
    "sagittal": (np.array([[0.0, 0, -1], [-1, 0, 0], [0, -1, 0]]), (0.9, 0.9, 1.5)),
}


@pytest.fixture
def write_itk() -> Callable[..., Path]:
    """Write (i, j, k) or (i, j, k, C) values with a RAS affine through SimpleITK."""

    def write(path: Path, values: np.ndarray, affine: np.ndarray, *, vector: bool = False) -> Path:
        order = (2, 1, 0, 3) if vector else tuple(range(values.ndim))[::-1]
        image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(order)), isVector=vector)
        lps = np.diag([-1, -1, 1, 1]) @ affine
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        if image.GetDimension() == 3:
            image.SetSpacing(spacing.tolist())
            image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
            image.SetOrigin(lps[:3, 3].tolist())
        sitk.WriteImage(image, str(path))
        return path

    return write


@pytest.fixture
def write_dicom() -> Callable[..., list[Path]]:
    """Write (i, j, k) int16 values as one DICOM file a slice, in an order that names do not give away."""

    def write(
        folder: Path,
        values: np.ndarray,
        affine: np.ndarray,
        *,
        uid: str | None = None,
        modality: str = "CT",
        description: str = "series",
        slope: float = 1,
        intercept: float = 0,
        thickness: float = 1.0,
        change: Callable[[int, pydicom.Dataset], object] = lambda k, ds: None,
    ) -> list[Path]:
        def complete(k: int, ds: pydicom.Dataset) -> object:
            ds.Modality, ds.SeriesDescription, ds.AcquisitionNumber = modality, description, 1
            ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
            return change(k, ds)

        return write_slices(folder, values, affine, uid=uid or generate_uid(), thickness=thickness, change=complete)

    return write


@pytest.fixture(params=GEOMETRIES)
def geometry(request: pytest.FixtureRequest) -> np.ndarray:
    """Return a 4x4 RAS affine."""
    direction, spacing = GEOMETRIES[request.param]
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = (31.5, -12.25, 140.0)
    return affine


@pytest.fixture
def ramp() -> np.ndarray:
    """Values that tell every voxel from every other: (9, 8, 7) int16."""
    return (np.arange(9 * 8 * 7).reshape(9, 8, 7) * 5 - 900).astype(np.int16)


@pytest.fixture
def dicom_data() -> Path:
    """Return the folder of public DICOM series."""
    folder = DATA / "dicom"
    if not folder.is_dir():
        pytest.skip(f"no public DICOM data at {folder}; set CAMLIME_DATA")
    return folder
