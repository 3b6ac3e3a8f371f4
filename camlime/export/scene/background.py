"""What lies below the maps: the whole scan, or what the network saw of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.explanation import Explanation
from camlime.same_scan import seen_points
from camlime.scan import Scan


@dataclass(frozen=True)
class Background:
    """A volume for the scene.

    Args:
        name: on screens; never the scan's file name, which may name a patient.
        values: ``(i, j, k)``, or ``(i, j, k, 3)`` uint8 for colours.
        affine_ras: 4x4, voxel index to RAS mm.
        window: values of black and of white; for colours 0 and 255.
    """

    name: str
    values: NDArray[Any]
    affine_ras: NDArray[np.float64]
    window: tuple[float, float]


def background_of(explanation: Explanation, scan: Scan | None) -> Background:
    """The scan if it is given, else what the network saw: in colour for a picture of three channels, else one channel.

    The window goes from the 0.5th to the 99.5th percentile of the voxels that the network saw.
    """
    given = explanation.input
    name, image, affine = "What the network saw", given.image.numpy(), given.affine
    if scan is not None:
        name, image, affine = "Scan", scan.image.numpy(), np.asarray(scan.affine, dtype=float)
    seen = _seen(explanation, image, affine)
    low, high = (float(value) for value in np.percentile(seen, [0.5, 99.5]))
    high = high if high > low else low + 1.0
    if image.ndim == 3 and len(image) == 3:
        if scan is not None and image.min() >= 0 and image.max() <= 255:  # a picture's own colours are not touched
            low, high = 0.0, 255.0
        colours = np.clip((image - low) / (high - low), 0, 1) * 255
        return Background(name, _in_3d(np.moveaxis(colours.round().astype(np.uint8), 0, -1), 4), affine, (0.0, 255.0))
    return Background(name, _in_3d(_compact(image[0]), 3), affine, (low, high))


def _seen(explanation: Explanation, image: NDArray[Any], affine: NDArray[Any]) -> NDArray[Any]:
    """Values of an image of this patient, all channels, at the voxels nearest to those that the network saw."""
    points = seen_points(explanation)
    if not len(points):
        return image
    into = np.linalg.inv(affine)
    at = np.rint(points @ into[:3, :3].T + into[:3, 3]).astype(int)[:, : image.ndim - 1]
    at = np.clip(at, 0, np.array(image.shape[1:]) - 1)
    values: NDArray[Any] = np.moveaxis(image, 0, -1)[tuple(at.T)].T
    return values


def _compact(values: NDArray[np.float32]) -> NDArray[Any]:
    """The same values as int16 where they are such whole numbers, as CT has: half the size."""
    limits = np.iinfo(np.int16)
    if values.size and limits.min <= values.min() and values.max() <= limits.max and (values == values.round()).all():
        return values.astype(np.int16)
    return values


def _in_3d(values: NDArray[Any], axes: int) -> NDArray[Any]:
    """With a third spatial axis of one voxel for a 2D image."""
    return values if values.ndim == axes else np.expand_dims(values, 2)
