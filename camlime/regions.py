"""Regions: what may be removed from an image, as an integer label map on the network's input grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import slic

from camlime.bundle.model_input import ModelInput
from camlime.errors import RegionsError

SLIC_VOXEL_LIMIT = 1_000_000
"""Larger grids are segmented at half resolution, which costs an eighth (in 3D) and moves borders by at most a voxel."""

COMPACTNESS = 0.1
"""Weight of distance against intensity (scaled to [0, 1] by percentiles) in SLIC; regions follow edges, yet stay blobs."""

SMALLEST_SHARE = 0.1
"""A region smaller than this share of the average one is merged into its neighbour."""


@dataclass(frozen=True)
class Regions:
    """An integer label map: 0 is never removed (padding, or outside the user's labels), 1..d are the regions.

    Args:
        labels: shape ``(*S,)``, int32, values ``0..count``, each of ``1..count`` present.
        names: a name a region, or ``None`` for supervoxels.
        origin: how they were made, for the record.

    Example:
        >>> regions = Regions(np.array([[0, 1], [2, 2]], dtype=np.int32))
        >>> regions.count, regions.volumes_ml(np.diag([10.0, 10.0, 10.0, 1.0])).tolist()
        (2, [1.0, 2.0])
    """

    labels: NDArray[np.int32]
    names: tuple[str, ...] | None = None
    origin: str = "given"

    @property
    def count(self) -> int:
        """The number of regions, d."""
        return int(self.labels.max(initial=0))

    def voxel_counts(self) -> NDArray[np.int64]:
        """Voxels in each region, shape ``(d,)``."""
        return np.bincount(self.labels.ravel(), minlength=self.count + 1)[1:]

    def volumes_ml(self, affine: NDArray[np.float64]) -> NDArray[np.float64]:
        """Volume of each region in ml, shape ``(d,)``; for a 2D image, the area times the affine's unit slice (1 mm)."""
        return self.voxel_counts() * abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0

    def centres_ras(self, affine: NDArray[np.float64]) -> NDArray[np.float64]:
        """Centre of mass of each region in RAS mm, shape ``(d, 3)``; ``affine`` is the grid's, voxel index to RAS."""
        counts = np.maximum(self.voxel_counts(), 1)
        axes = np.indices(self.labels.shape, dtype=np.float32)
        flat = self.labels.ravel()
        index = np.zeros((self.count, 3))
        for axis, coordinate in enumerate(axes):
            index[:, axis] = np.bincount(flat, weights=coordinate.ravel(), minlength=self.count + 1)[1:] / counts
        return index @ affine[:3, :3].T + affine[:3, 3]

    def paint(self, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Spread one value a region, shape ``(d,)``, over the grid, shape ``(*S,)``; 0 outside the regions."""
        return np.concatenate([[0.0], weights]).astype(np.float32)[self.labels]

    def pool(self, voxels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sum of a map ``(*S,)`` over each region, shape ``(d,)``."""
        return np.bincount(self.labels.ravel(), weights=np.asarray(voxels, float).ravel(), minlength=self.count + 1)[1:]


def supervoxels(model_input: ModelInput, count: int, *, jitter_seed: int | None = None) -> Regions:
    """SLIC supervoxels (Achanta et al. 2012, doi 10.1109/TPAMI.2012.120) of isotropic size in mm, padding left out.

    Args:
        model_input: the image; its spacing makes distances mm.
        count: about how many regions are wanted.
        jitter_seed: shifts the grid of seeds by a random part of its step, so that the borders of another seed's regions
            fall elsewhere; ``None`` does not shift it.

    Raises:
        RegionsError: the image is too small for two regions.
    """
    valid = model_input.valid.numpy()
    if int(valid.sum()) < 2 or count < 2:
        raise RegionsError(f"{int(valid.sum())} voxels and {count} region(s) asked for: at least 2 of each are needed")
    box = tuple(slice(int(np.min(axis)), int(np.max(axis)) + 1) for axis in np.nonzero(valid))
    image = _intensity_scaled(model_input.image.numpy()[(slice(None), *box)], valid[box])
    spacing = np.asarray(model_input.spacing, dtype=float)
    half = image[0].size > SLIC_VOXEL_LIMIT
    if half:
        image = image[(slice(None), *[slice(None, None, 2)] * len(box))]
    shift = np.zeros(len(box), dtype=int)
    if jitter_seed is not None:
        step = (image[0].size * np.prod(spacing) / count) ** (1 / len(box)) / spacing
        shift = np.random.default_rng(jitter_seed).integers(0, np.maximum(step.astype(int), 1) + 1)
    padded = np.pad(image, [(0, 0), *[(int(s), 0) for s in shift]], mode="edge")
    labels = slic(
        np.moveaxis(padded, 0, -1),
        n_segments=round(count * padded[0].size / image[0].size),
        compactness=COMPACTNESS,
        spacing=tuple(spacing / spacing.min()) if len(box) == 3 else None,
        channel_axis=-1,
        start_label=1,
        enforce_connectivity=True,
    )
    labels = labels[tuple(slice(int(s), None) for s in shift)]
    if half:
        for axis, part in enumerate(box):
            labels = np.repeat(labels, 2, axis=axis).take(range(part.stop - part.start), axis=axis)
    full = np.zeros(valid.shape, dtype=np.int32)
    full[box] = labels
    full[~valid] = 0
    return Regions(_merge_small(full, int(valid.sum()), count), origin=f"SLIC supervoxels, about {count} asked for")


def regions_from_label_map(
    labels: NDArray[np.int32],
    affine: NDArray[np.float64],
    model_input: ModelInput,
    *,
    names: Mapping[int, str] | None = None,
    source: str = "label map",
) -> Regions:
    """Bring a user's label map (anatomy, any segmentation) onto the network's input grid by nearest neighbour.

    Args:
        labels: shape ``(*S')``, integers, 0 is background.
        affine: 4x4, its voxel index to RAS mm; may differ from the scan's grid as long as both lie in the same patient.
        model_input: the image whose grid is wanted.
        names: names by label value; ``label_N`` where absent.
        source: named in errors.

    Raises:
        RegionsError: the label map does not overlap the image, holds fewer than one label there, or lies elsewhere.
    """
    shape = model_input.spatial_shape
    dimensions = len(shape)
    grid = np.indices(shape, dtype=np.float64).reshape(dimensions, -1)
    if dimensions == 2:
        grid = np.vstack([grid, np.zeros((1, grid.shape[1]))])
    to_labels = np.linalg.inv(affine) @ model_input.affine
    index = np.rint(to_labels[:3, :3] @ grid + to_labels[:3, 3:]).astype(np.int64)
    volume = labels if labels.ndim == 3 else labels[..., None]
    inside = np.all((index >= 0) & (index < np.array(volume.shape)[:, None]), axis=0)
    if inside.mean() < 0.5:
        raise RegionsError(
            f"{source} covers only {inside.mean():.0%} of what the network sees",
            hint="the label map must lie in the scan's own space (same patient coordinates); was it made on another series?",
        )
    found = np.zeros(grid.shape[1], dtype=np.int64)
    found[inside] = volume[tuple(index[:, inside])]
    found[~model_input.valid.numpy().ravel()] = 0
    values = np.unique(found[found != 0])
    if len(values) == 0:
        raise RegionsError(
            f"{source} has no label inside what the network sees", hint="check its labels and its place in the patient"
        )
    lookup = np.searchsorted(values, found) + 1
    compact = np.where(found != 0, lookup, 0).astype(np.int32).reshape(shape)
    named = tuple((names or {}).get(int(value), f"label_{value}") for value in values)
    return Regions(compact, names=named, origin=source)


def _intensity_scaled(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each channel to [0, 1] between its 1st and 99th percentile over valid voxels, so that compactness means the same."""
    low, high = np.percentile(image[:, valid], [1, 99], axis=1)
    extent = np.maximum(high - low, 1e-12)
    axes = (slice(None), *[None] * (image.ndim - 1))
    scaled: NDArray[np.float32] = np.clip((image - low[axes]) / extent[axes], 0, 1).astype(np.float32)
    return scaled


def _merge_small(labels: NDArray[np.int32], voxels: int, count: int) -> NDArray[np.int32]:
    """Give fragments (cut off by padding) to the nearest larger region and number the rest from 1."""
    sizes = np.bincount(labels.ravel())
    small = np.flatnonzero((sizes > 0) & (sizes < SMALLEST_SHARE * voxels / count))
    small = small[small > 0]
    if len(small) and len(small) < np.count_nonzero(sizes[1:]):
        lost = np.isin(labels, small)
        nearest = ndimage.distance_transform_edt(
            lost | (labels == 0), return_distances=False, return_indices=True
        )
        labels = np.where(lost, labels[tuple(nearest)], labels)
    _, compact = np.unique(labels, return_inverse=True)
    compact = compact.reshape(labels.shape).astype(np.int32)
    return compact if (labels == 0).any() else compact + 1


def flat_labels(regions: Regions) -> torch.Tensor:
    """Labels of a segmentation as a flat int64 tensor, shape ``(voxels,)``, for indexing."""
    return torch.from_numpy(regions.labels.astype(np.int64).ravel())
