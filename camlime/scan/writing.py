"""Write volumes, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from camlime.errors import OutputError
from camlime.scan.geometry import checked_affine
from camlime.scan.quiet import quiet
from camlime.staging import whole_file

_KEPT = ("float32", "int16", "uint8", "int32")
_SCANNER = 1  # NIfTI's code for "scanner anatomical"
_SHEAR = 1e-5


def save_volume(path: str | Path, array: Any, affine: Any, *, vector: bool = False) -> Path:
    """Write an array as NIfTI, under a temporary name first, so that no half-written file is ever found.

    The affine goes into the sform and the qform, both with code 1 (scanner), in mm. A qform cannot hold a sheared
    affine (a tilted gantry); then it is left out rather than wrong.

    Args:
        path: ends in ``.nii.gz`` or ``.nii``; its folder has to exist; a file of that name is replaced.
        array: ``(*S)``, 2D or 3D; float32, int16, uint8 and int32 are kept, bool is saved as uint8 and float64 as
            float32. With ``vector``, ``(*S, C)``.
        affine: 4x4, voxel index to RAS mm.
        vector: the last axis holds channels; they are saved as NIfTI's vectors, which 3D Slicer and ITK understand.

    Returns:
        The path.

    Raises:
        OutputError: if it cannot be written (no permission, no folder, disk full); nothing is left behind.
        ScanError: if the affine is singular.
        TypeError: if NIfTI readers would not understand the array's number type.
        ValueError: if the array is not 2D or 3D, or the name does not say NIfTI.

    Example:
        >>> save_volume("/tmp/map.nii.gz", np.zeros((4, 5, 6), np.float32), np.eye(4)).name
        'map.nii.gz'
    """
    path = Path(path)
    suffix = next((s for s in (".nii.gz", ".nii") if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise ValueError(f"{path} must end in .nii.gz or .nii")
    values = np.asarray(array)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    elif values.dtype == np.float64:
        values = values.astype(np.float32)
    if values.dtype.name not in _KEPT:
        raise TypeError(f"cannot save {values.dtype}: use one of {', '.join(_KEPT)}")
    space = values.ndim - 1 if vector else values.ndim
    if space not in (2, 3):
        raise ValueError(f"an array of shape {values.shape} is not a 2D or 3D volume")
    if vector:  # NIfTI keeps vectors on its fifth axis, behind space and time
        values = values.reshape(*values.shape[:-1], *[1] * (4 - space), values.shape[-1])
    matrix = checked_affine(affine, str(path))

    image = nib.Nifti1Image(values, matrix)
    image.header.set_xyzt_units("mm")
    if vector:
        image.header.set_intent("vector")
    image.set_sform(matrix, code=_SCANNER)
    directions = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    orthogonal = np.allclose(directions.T @ directions, np.eye(3), atol=_SHEAR)
    image.set_qform(matrix, code=_SCANNER if orthogonal else 0)

    try:
        with quiet(), whole_file(path, ending=suffix) as aside:
            nib.save(image, aside)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}", hint="check the folder, its permissions and free space"
        ) from error
    return path
