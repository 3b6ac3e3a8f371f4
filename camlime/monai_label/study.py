"""One study of a datastore: what is read, and the grid that viewers show it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from camlime.scan import Scan

PICTURE = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Voxel to RAS of a picture as ITK, and with it 3D Slicer, reads it: pixel (i, j) at LPS (i, j, 0)."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Study:
    """A study.

    Args:
        name: its id, or of an upload what stands for it in messages.
        source: a file, or a folder with one DICOM series.
        shown: the file that viewers get; the source itself, or what MONAI Label made of a DICOM series.
        known: what the datastore knows of it.
        stored: whether it is in the datastore, so that something can be kept with it.
    """

    name: str
    source: Path
    shown: Path
    known: Mapping[str, Any] = field(default_factory=dict)
    stored: bool = True

    @property
    def is_picture(self) -> bool:
        """Whether it lies nowhere in a patient."""
        return self.source.suffix.lower() in PICTURE_SUFFIXES

    def grid(self, scan: Scan) -> tuple[tuple[int, ...], NDArray[np.float64]]:
        """Shape, three axes, and affine (voxel to RAS mm) of the grid that results have to lie on.

        Args:
            scan: what was read from the source.
        """
        if self.is_picture:
            return (*scan.shape, 1), PICTURE
        if self.shown == self.source:
            return (*scan.shape, 1)[:3], scan.affine
        image: Any = nib.load(self.shown)
        return tuple(image.shape[:3]), np.asarray(image.affine, dtype=np.float64)

    def without_paths(self, text: str) -> str:
        """A message that names the study, not where the server keeps it."""
        for path in sorted({self.source, self.shown}, key=lambda path: -len(str(path))):
            text = text.replace(str(path), self.name)
        return text
