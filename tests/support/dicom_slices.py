"""DICOM series on any geometry, written without the code of the readers under test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


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


def write_slices(
    folder: Path,
    values: np.ndarray,
    affine: np.ndarray,
    *,
    uid: str,
    thickness: float = 1.0,
    change: Callable[[int, Any], object] = lambda k, ds: None,
) -> list[Path]:
    """One CT file a slice, in an order that neither names nor instance numbers give away.

    Args:
        folder: where to; made if it is not there.
        values: ``(i, j, k)``, what int16 can hold.
        affine: 4x4, voxel index to RAS mm.
        uid: of the series.
        thickness: of a slice, mm.
        change: called with the slice's number and its dataset before it is written; not written if it returns False.
    """
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
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
        ds.Modality, ds.InstanceNumber = "CT", values.shape[2] - k
        ds.Rows, ds.Columns = values.shape[1], values.shape[0]
        ds.PixelSpacing = [f"{spacing[1]:.8g}", f"{spacing[0]:.8g}"]  # between rows first
        ds.SliceThickness = f"{thickness:.8g}"
        ds.ImageOrientationPatient = [f"{v:.10f}" for v in (lps[:3, :2] / spacing[:2]).T.ravel()]
        ds.ImagePositionPatient = [f"{v:.8f}" for v in lps[:3, 2] * k + lps[:3, 3]]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 1
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        ds.PixelData = np.ascontiguousarray(values[:, :, k].T.astype("<i2")).tobytes()
        if change(k, ds) is not False:
            pydicom.dcmwrite(path, ds)
            files.append(path)
    return files
