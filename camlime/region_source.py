"""The user's label map as regions: read, checked against the scan's grid, brought onto the network's input grid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camlime.bundle.model_input import ModelInput
from camlime.errors import RegionsError, ScanError
from camlime.regions import Regions, regions_from_label_map
from camlime.scan import Scan, load_label_map
from camlime.scan.label_map import PICTURES

LATTICE_TOLERANCE = 0.1
"""In voxels: how far a label map's voxel centres may lie from the scan's."""


def regions_from_file(
    path: str | Path,
    scan: Scan,
    model_input: ModelInput,
    *,
    names: Mapping[int, str] | str | Path | None = None,
) -> Regions:
    """Regions from a label map file on the scan's voxels, or on the network's input grid (such as ``regions.nii.gz``).

    Args:
        path: the label map.
        scan: that it lies on.
        model_input: the image whose grid is wanted.
        names: names by label number, or a JSON file with them; see :func:`names_from_file`.

    Raises:
        RegionsError: it cannot be read, is no label map, lies on another grid, or has no label in view; or the names
            are none, or those of other labels.
    """
    given = names_from_file(names) if isinstance(names, (str, Path)) else dict(names or {})
    labels, affine, own = labels_from_file(path, scan, model_input)
    if given and not np.isin(labels, list(given)).any():
        there = ", ".join(str(value) for value in np.unique(labels[labels != 0])[:20])
        raise RegionsError(f"none of the labels in {path} is given a name", hint=f"its labels: {there or 'none'}")
    return regions_from_label_map(labels, affine, model_input, names={**own, **given}, source=str(path))


def names_from_file(path: str | Path) -> dict[int, str]:
    """Names by label number from a JSON object such as ``{"1": "liver", "2": "spleen"}``; 0, background, is left out.

    Raises:
        RegionsError: it cannot be read, or is something else.
    """
    hint = 'write an object of label numbers and names, such as {"1": "liver", "2": "spleen"}'
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RegionsError(f"the names cannot be read: {path}: {error.strerror or error}", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise RegionsError(f"{path} is no JSON: {error}", hint=hint) from error
    if not isinstance(record, dict) or not record:
        raise RegionsError(f"{path} holds no names of labels", hint=hint)
    names: dict[int, str] = {}
    for key, name in record.items():
        if not key.isdecimal() or not isinstance(name, str) or not name.strip():
            raise RegionsError(f"{path}: {key!r}: {name!r} is not a label number and its name", hint=hint)
        if int(key):
            names[int(key)] = name.strip()
    return names


def labels_from_file(
    path: str | Path, scan: Scan, model_input: ModelInput
) -> tuple[NDArray[np.int32], NDArray[np.float64], dict[int, str]]:
    """Labels of a file on the whole scan's grid or on the network's input grid, that grid's affine, and the names.

    A label map may cover a part of the scan, as 3D Slicer saves a segmentation, and may store its axes in another order
    or direction; its voxels have to be the scan's. Otherwise it was made on another image, and where its labels belong
    in this one is a guess that is left to the user.

    Raises:
        RegionsError: the file cannot be read, is no label map, or lies on another grid.
    """
    labels, affine, names = _read(path)
    sizes = _three(tuple(scan.shape)), _three(tuple(model_input.spatial_shape))
    if _lies_nowhere(path) and _three(labels.shape) not in sizes:
        raise _other_size(path, labels, scan)
    on_scan = same_lattice(labels.shape, affine, scan.shape, scan.affine)
    on_input = same_lattice(labels.shape, affine, model_input.spatial_shape, model_input.affine)
    if not on_scan and not on_input:
        raise _elsewhere(path, labels, affine, scan)
    if on_scan:
        return on_whole_grid(labels, affine, scan), scan.affine, names
    return labels, affine, names


def labels_on_scan(path: str | Path, scan: Scan) -> tuple[NDArray[np.int32], dict[int, str]]:
    """Labels of a file on the whole scan's grid, and their names; as :func:`labels_from_file`, but on no other grid.

    Raises:
        RegionsError: the file cannot be read, is no label map, or lies on another grid.
    """
    labels, affine, names = _read(path)
    if _lies_nowhere(path) and _three(labels.shape) != _three(tuple(scan.shape)):
        raise _other_size(path, labels, scan)
    if not same_lattice(labels.shape, affine, scan.shape, scan.affine):
        raise _elsewhere(path, labels, affine, scan)
    return on_whole_grid(labels, affine, scan), names


def _read(path: str | Path) -> tuple[NDArray[np.int32], NDArray[np.float64], dict[int, str]]:
    try:
        labels, affine, names = load_label_map(path)
    except ScanError as error:
        raise RegionsError(f"the label map cannot be read: {error.message}", hint=error.hint) from error
    lowest = int(labels.min(initial=0))
    if lowest < 0:
        raise RegionsError(
            f"{path} holds negative numbers, down to {lowest}, which are no labels",
            hint="it looks like an image, such as a CT; give a label map: 0 for background, 1, 2, ... for structures",
        )
    return labels, affine, names


def _lies_nowhere(path: str | Path) -> bool:
    """Whether it is a picture, of which nothing says what part of the scan a smaller one covers."""
    return Path(path).suffix.lower() in PICTURES


def _other_size(path: str | Path, labels: NDArray[np.int32], scan: Scan) -> RegionsError:
    depth = _three(tuple(scan.shape))[2]
    if depth > 1:
        return RegionsError(
            f"{path} is a picture, which has no labels for the {depth} slices of a volume",
            hint="save the label map of the volume as NIfTI, NRRD or MetaImage",
        )
    here, there = (" x ".join(map(str, shape[:2])) for shape in (labels.shape, scan.shape))
    return RegionsError(
        f"{path} has {here} pixels, the scan {there}", hint="save the label picture with as many pixels as the scan"
    )


def _elsewhere(path: str | Path, labels: NDArray[np.int32], affine: NDArray[np.float64], scan: Scan) -> RegionsError:
    return RegionsError(
        f"{path} lies on another voxel grid than the scan: {_grid(labels.shape, affine)}, "
        f"the scan {_grid(scan.shape, scan.affine)}",
        hint="resample it onto the scan (in 3D Slicer: export it to a label map, with the scan as reference)",
    )


def on_whole_grid(labels: NDArray[np.int32], affine: NDArray[np.float64], scan: Scan) -> NDArray[np.int32]:
    """Labels on a part of the scan's voxels put into an empty map of all of them.

    Args:
        labels: on voxels that are the scan's, see :func:`same_lattice`.
        affine: 4x4, their voxel index to RAS mm.
        scan: whose whole grid is wanted.
    """
    between = np.linalg.inv(scan.affine) @ affine
    marked = np.argwhere(labels.reshape(_three(labels.shape)))
    place = np.rint(marked @ between[:3, :3].T + between[:3, 3]).astype(np.int64)
    whole = np.zeros(_three(scan.shape), dtype=np.int32)
    whole[tuple(place.T)] = labels[labels != 0]
    return whole.reshape(scan.shape)


def same_lattice(
    shape: tuple[int, ...],
    affine: NDArray[np.float64],
    other_shape: tuple[int, ...],
    other_affine: NDArray[np.float64],
) -> bool:
    """Whether every voxel of the first grid is a voxel of the second: axes may be swapped or flipped, the box smaller.

    Args:
        shape: of the first grid, 2D or 3D.
        affine: 4x4, its voxel index to RAS mm.
        other_shape: of the second.
        other_affine: its affine.

    Example:
        >>> shifted = np.eye(4)
        >>> shifted[:3, 3] = 1.0
        >>> [same_lattice((2, 2, 2), affine, (4, 4, 4), np.eye(4)) for affine in (shifted, 2 * np.eye(4))]
        [True, False]
    """
    between = np.linalg.inv(other_affine) @ affine
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in _three(shape)], indexing="ij"), dtype=float).reshape(3, -1)
    mapped = between[:3, :3] @ corners + between[:3, 3:]
    whole = bool(np.abs(mapped - np.rint(mapped)).max() < LATTICE_TOLERANCE)
    axes = np.rint(between[:3, :3])
    swap = bool((np.abs(axes).sum(axis=0) == 1).all() and (np.abs(axes).sum(axis=1) == 1).all())
    inside = bool((np.rint(mapped) >= 0).all() and (np.rint(mapped) < np.array(_three(other_shape))[:, None]).all())
    return whole and swap and inside


def _three(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, *[1] * (3 - len(shape)))


def _grid(shape: tuple[int, ...], affine: NDArray[np.float64]) -> str:
    spacing = np.linalg.norm(affine[:3, : len(shape)], axis=0)
    return (
        f"{'x'.join(map(str, shape))} voxels of {'x'.join(f'{s:.3g}' for s in spacing)} mm "
        f"from ({', '.join(f'{x:.1f}' for x in affine[:3, 3])})"
    )
