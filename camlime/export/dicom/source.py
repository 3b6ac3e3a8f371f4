"""The series that was explained, read again: its headers, its grid, and whether it is the right one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.errors import ScanError
from camlime.explanation import Explanation
from camlime.resampling import resample
from camlime.scan import geometry
from camlime.scan.dicom import stacked_slices

_NEEDED = ("FrameOfReferenceUID", "StudyInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")


@dataclass(frozen=True)
class Source:
    """A DICOM series as the objects that refer to it need it.

    Args:
        headers: one pydicom dataset a slice, without pixels, along the volume's last axis.
        affine: 4x4, voxel index (column, row, slice) to RAS mm.
    """

    headers: tuple[Any, ...]
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows, slices."""
        return int(self.headers[0].Columns), int(self.headers[0].Rows), len(self.headers)

    def frames(self, volume: NDArray[Any], affine: NDArray[np.float64], *, mode: str) -> NDArray[Any]:
        """A volume on another grid of the patient, as this series' frames.

        Args:
            volume: ``(*S,)``.
            affine: 4x4, its voxel index to RAS mm.
            mode: ``linear`` or ``nearest``.

        Returns:
            Shape ``(slices, rows, columns)``, in the order of ``headers``; 0 beyond the volume.
        """
        return np.ascontiguousarray(resample(volume, affine, self.shape, self.affine, mode=mode).T)


def read_source(folder: Path, explanation: Explanation) -> Source:
    """Read the headers of the series that was explained.

    Args:
        folder: holds the series; others beside it do not matter.
        explanation: of it.

    Raises:
        ScanError: the explanation is not of a DICOM series; the folder does not hold that series, or only a part of
            what was explained; its headers lack what DICOM needs to refer to it.
    """
    import pydicom

    uid = explanation.provenance.get("scan", {}).get("series_uid")
    if not isinstance(uid, str) or not uid:
        raise ScanError(
            "the explanation is not of a DICOM series, so there is no series for DICOM objects to refer to",
            hint="explain the DICOM folder itself, not a converted file",
        )
    if not folder.exists():
        raise ScanError(f"{folder} does not exist", hint="give --source the folder of the series that was explained")
    slices, affine = stacked_slices(folder, series=uid)
    headers = tuple(pydicom.dcmread(one.file, stop_before_pixels=True) for one in slices)
    for header, one in zip(headers, slices, strict=True):
        lacking = [name for name in _NEEDED if not header.get(name)]
        if lacking:
            raise ScanError(
                f"{one.file} has no {' and no '.join(lacking)}, so nothing can be placed on it in DICOM",
                hint="export the series again from where it came from",
            )
    source = Source(headers, geometry.LPS_RAS @ affine)
    _check_covered(source, explanation, folder)
    return source


def _check_covered(source: Source, explanation: Explanation, folder: Path) -> None:
    """What the network saw of the scan must lie in the slices that are here."""
    given = explanation.input
    seen = np.argwhere(given.valid.numpy()).astype(float)
    seen = np.pad(seen, [(0, 0), (0, 3 - seen.shape[1])])
    index = geometry.apply(np.linalg.inv(source.affine) @ given.affine, seen)
    inside = ((index >= -0.51) & (index <= np.array(source.shape) - 0.49)).all(axis=1)
    if not inside.all():
        raise ScanError(
            f"{folder} holds {len(source.headers)} slices of the series, which cover only {inside.mean():.0%} of what "
            "was explained",
            hint="give --source the whole series",
        )
