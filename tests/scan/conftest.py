"""Volumes with a known point, and writers of every format that do not share code with the readers under test."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

DATA = Path(os.environ.get("CAMLIME_DATA", Path(__file__).parents[3] / "shared" / "data"))


def rotation(*degrees: float) -> np.ndarray:
    """Rotate about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


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
        folder.mkdir(parents=True, exist_ok=True)
        uid = uid or generate_uid()
        lps = np.diag([-1, -1, 1, 1]) @ affine
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        files = []
        for k in range(values.shape[2]):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = CTImageStorage
            meta.MediaStorageSOPInstanceUID = generate_uid()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            path = folder / f"{(k * 7) % 97:02d}{uid[-4:]}.dcm"
            ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
            ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
            ds.SeriesInstanceUID, ds.StudyInstanceUID = uid, "1.2.3"
            ds.Modality, ds.SeriesDescription, ds.InstanceNumber = modality, description, values.shape[2] - k
            ds.AcquisitionNumber = 1
            ds.Rows, ds.Columns = values.shape[1], values.shape[0]
            ds.PixelSpacing = [f"{spacing[1]:.8g}", f"{spacing[0]:.8g}"]  # between rows first
            ds.SliceThickness = f"{thickness:.8g}"
            ds.ImageOrientationPatient = [f"{v:.10f}" for v in (lps[:3, :2] / spacing[:2]).T.ravel()]
            ds.ImagePositionPatient = [f"{v:.8f}" for v in lps[:3, 2] * k + lps[:3, 3]]
            ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
            ds.BitsAllocated = ds.BitsStored = 16
            ds.HighBit, ds.PixelRepresentation = 15, 1
            ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
            ds.PixelData = np.ascontiguousarray(values[:, :, k].T.astype("<i2")).tobytes()
            if change(k, ds) is not False:
                ds.save_as(path)
                files.append(path)
        return files

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
