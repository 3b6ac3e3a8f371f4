"""What every reader hands over."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels as a file holds them, not yet checked.

    Attributes:
        array: ``(C, *S)`` in the file's own number type (rescaled values in a floating type), axes (i, j, k).
        affine: 4x4, voxel index to RAS mm.
        series_uid: DICOM only.
        header: the text fields of an NRRD or MetaImage header.
        notes: what had to be made up, in sentences.
    """

    array: np.ndarray
    affine: np.ndarray
    series_uid: str | None = None
    header: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
