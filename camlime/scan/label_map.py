"""Read label maps: whole numbers on a voxel grid, with the segments' names where the file has them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from camlime.errors import RegionsError
from camlime.scan.geometry import checked_affine
from camlime.scan.reading import read_labels

PICTURES = (".png", ".tif", ".tiff", ".bmp")
"""Types of pictures that lose nothing: a JPEG smears labels over their neighbours."""

_FIELD = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")


def load_label_map(path: str | Path) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Read a label map from NIfTI, NRRD or MetaImage; a ``.seg.nrrd`` of 3D Slicer brings its segments' names.

    A label map of a picture may be a picture itself (PNG, TIFF, BMP) of as many pixels, in greys or with a palette,
    whose places are then the labels, as QuPath saves them. The map keeps its own grid, which need not be the scan's:
    bring it there by its affine.

    Returns:
        labels, int32 ``(*S)``, 0 is background; the 4x4 affine, voxel index to RAS mm; and the names of those labels
        that the file names (none in NIfTI).

    Raises:
        ScanError: if the file cannot be read as an image (missing, truncated, unknown type, 4D, no valid affine).
        RegionsError: if it can, but is no label map: values that are not whole numbers, several channels, or a
            segmentation whose overlapping segments lie in several layers.

    Example:
        >>> labels, affine, names = load_label_map("lungs.seg.nrrd")  # doctest: +SKIP
        >>> names  # doctest: +SKIP
        {1: 'left lung', 2: 'right lung'}
    """
    path = Path(path)
    pixels = read_labels(path)
    affine = checked_affine(pixels.affine, str(path), shape=pixels.array.shape[1:])
    segments: dict[int, dict[str, str]] = {}
    for key, value in pixels.header.items():
        if match := _FIELD.fullmatch(key):
            segments.setdefault(int(match[1]), {})[match[2]] = value.strip()

    layers = {fields.get("Layer", "0") for fields in segments.values()}
    channels = pixels.array.shape[0]
    if segments and (channels > 1 or len(layers) > 1):
        raise RegionsError(
            f"{path} keeps its segments in {max(channels, len(layers))} layers, because they overlap",
            hint="in 3D Slicer export the segmentation to a label map, where each voxel has one segment",
        )
    if channels > 1 and path.suffix.lower() in PICTURES:
        if (pixels.array != pixels.array[:1]).any():
            raise RegionsError(
                f"{path} is a picture in colours: which label is which is not clear",
                hint="save it in greys, one value a label, 0 for background",
            )
    elif channels > 1:
        raise RegionsError(f"{path} has {channels} channels, a label map has one", hint="save one channel")
    labels = _whole(pixels.array[0], path)
    return labels, affine, _names(segments, path)


def _whole(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise RegionsError(f"{path} holds values of type {array.dtype}", hint="save whole numbers")
    if array.dtype.kind == "f":
        odd = ~np.isfinite(array)
        odd |= array != np.rint(array)
        if odd.any():
            where = tuple(int(i) for i in np.argwhere(odd)[0])
            raise RegionsError(
                f"{path} is no label map: {int(odd.sum())} values are not whole numbers, the first {array[where]:g} "
                f"at voxel {where}",
                hint="was it resampled with interpolation? use nearest neighbour, or give the label map itself",
            )
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise RegionsError(f"{path} has labels beyond {limits.max}", hint="renumber the labels")
    return np.ascontiguousarray(array, dtype=np.int32)


def _names(segments: dict[int, dict[str, str]], path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, fields in sorted(segments.items()):
        try:
            label = int(fields.get("LabelValue", number + 1))  # before Slicer 4.11 segment 0 had label 1, and so on
        except ValueError as error:
            raise RegionsError(
                f"{path}: Segment{number}_LabelValue is {fields['LabelValue']!r}, not a whole number",
                hint="save the segmentation again",
            ) from error
        if label in names:
            raise RegionsError(
                f"{path}: the segments {names[label]!r} and {fields.get('Name', '')!r} share the label {label}",
                hint="save the segmentation again",
            )
        names[label] = fields.get("Name") or f"segment {label}"
    return names
