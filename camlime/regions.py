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
"""SLIC works on cubes of at least the finest spacing, and larger where there would be more of them than this."""

COMPACTNESS = 0.1
"""Weight of distance against intensity (scaled to [0, 1]) in SLIC; regions follow edges, yet stay blobs."""

SMOOTHING = 1.0
"""Standard deviation of a blur before SLIC, in its cubes: on noise it makes crumbs that end up as one region."""

SMALLEST_SUPERVOXEL = 4
"""Voxels that a supervoxel has on average at the very least."""

MOST_SUPERVOXELS = 1000
"""The linear model keeps a matrix of regions by regions; many more take minutes, and so do masked images for them."""

SMALLEST_SHARE = 0.1
"""A region smaller than this share of the average one is merged into its neighbour."""


@dataclass(frozen=True)
class Regions:
    """An integer label map: 0 is never removed (padding, or outside the user's labels), 1..d are the regions.

    Args:
        labels: shape ``(*S,)``, int32, values ``0..count``, each of ``1..count`` present.
        names: a name a region, or ``None`` for supervoxels.
        origin: how they were made, for the record.
        structures: names of the structures that the regions are parts of, or ``None`` where they are parts of none.
        structure_of: shape ``(d,)``: the structure of each region, an index into ``structures``.

    Example:
        >>> regions = Regions(np.array([[0, 1], [2, 2]], dtype=np.int32))
        >>> regions.count, regions.volumes_ml(np.diag([10.0, 10.0, 10.0, 1.0])).round(6).tolist()
        (2, [1.0, 2.0])
    """

    labels: NDArray[np.int32]
    names: tuple[str, ...] | None = None
    origin: str = "given"
    structures: tuple[str, ...] | None = None
    structure_of: NDArray[np.int64] | None = None

    @property
    def count(self) -> int:
        """The number of regions, d."""
        return int(self.labels.max(initial=0))

    def structure_names(self) -> tuple[str, ...] | None:
        """The name of each region's structure, ``d`` of them; ``None`` where they are parts of none."""
        if self.structures is None or self.structure_of is None:
            return None
        return tuple(self.structures[int(i)] for i in self.structure_of)

    def voxel_counts(self) -> NDArray[np.int64]:
        """Voxels in each region, shape ``(d,)``."""
        return np.bincount(self.labels.ravel(), minlength=self.count + 1)[1:]

    def volumes_ml(self, affine: NDArray[np.float64]) -> NDArray[np.float64]:
        """Volume of each region in ml, shape ``(d,)``; for a 2D image, its area times the affine's unit slice."""
        voxel = abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0
        return self.voxel_counts().astype(np.float64) * voxel

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
        weights = np.asarray(voxels, dtype=np.float64).ravel()
        return np.bincount(self.labels.ravel(), weights=weights, minlength=self.count + 1)[1:].astype(np.float64)


def supervoxels(model_input: ModelInput, count: int, *, jitter_seed: int | None = None) -> Regions:
    """SLIC supervoxels (Achanta et al. 2012, doi 10.1109/TPAMI.2012.120) of isotropic size in mm, padding left out.

    Args:
        model_input: the image; its spacing makes distances mm.
        count: about how many regions are wanted.
        jitter_seed: shifts the grid of seeds by a random part of its step, so that the borders of another seed's
            regions fall elsewhere; ``None`` does not shift it.

    Raises:
        RegionsError: the image is too small for two regions, or for as many as were asked for.
    """
    valid = model_input.valid.numpy()
    voxels = int(valid.sum())
    if voxels < 2 or count < 2:
        raise RegionsError(f"{voxels} voxels and {count} region(s) asked for: at least 2 of each are needed")
    if count > MOST_SUPERVOXELS:
        raise RegionsError(f"{count} regions are too many", hint=f"ask for at most {MOST_SUPERVOXELS}")
    count = min(count, max(voxels // SMALLEST_SUPERVOXEL, 2))
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(valid))
    in_box = (slice(None), *box)
    image = _intensity_scaled(model_input.image.numpy()[in_box], valid[box])
    image = _on_cubes(image, np.asarray(model_input.spacing, dtype=float))
    shift = np.zeros(image.ndim - 1, dtype=int)
    if jitter_seed is not None:
        step = (image[0].size / count) ** (1 / len(shift))
        shift = np.random.default_rng(jitter_seed).integers(0, max(round(step), 2), size=len(shift))
    padded = np.pad(image, [(0, 0), *[(int(s), 0) for s in shift]], mode="edge")
    labels = slic(
        np.moveaxis(padded, 0, -1),
        n_segments=round(count * padded[0].size / image[0].size),
        compactness=COMPACTNESS * len(image) ** 0.5,
        sigma=SMOOTHING,
        channel_axis=-1,
        convert2lab=False,
        start_label=1,
    )
    labels = labels[tuple(slice(int(s), None) for s in shift)]
    for axis, part in enumerate(box):
        size = part.stop - part.start
        centres = (np.arange(size) + 0.5) * labels.shape[axis] / size
        labels = labels.take(centres.astype(int), axis=axis)
    full = np.zeros(valid.shape, dtype=np.int32)
    full[box] = labels
    full[~valid] = 0
    labels = _merge_small(full, SMALLEST_SHARE * int(valid.sum()) / count, model_input.spacing)
    return Regions(labels, origin=f"SLIC supervoxels, about {count} asked for")


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
    valid = model_input.valid.numpy()
    volume = labels if labels.ndim == 3 else labels[..., None]
    to_labels = np.linalg.inv(affine) @ model_input.affine
    steps = np.ogrid[tuple(slice(n) for n in shape)]
    index = [
        np.rint(sum((row[k] * step for k, step in enumerate(steps)), start=row[3])).astype(np.int32)
        for row in to_labels[:3]
    ]
    inside = valid.copy()
    for axis, size in zip(index, volume.shape, strict=True):
        inside &= (axis >= 0) & (axis < size)
    covered = inside.sum() / max(valid.sum(), 1)
    if covered < 0.5:
        raise RegionsError(
            f"{source} covers only {covered:.0%} of what the network sees",
            hint="it must lie in the scan's own patient coordinates; was it made on another series?",
        )
    found = np.zeros(shape, dtype=np.int64)
    found[inside] = volume[tuple(axis[inside] for axis in index)]
    values = np.unique(found[found != 0])
    if len(values) == 0:
        raise RegionsError(
            f"{source} has no label inside what the network sees", hint="check its labels and its place in the patient"
        )
    compact = np.where(found != 0, np.searchsorted(values, found) + 1, 0).astype(np.int32)
    named = tuple((names or {}).get(int(value), f"label_{value}") for value in values)
    return Regions(compact, names=named, origin=source)


def _intensity_scaled(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each channel to [0, 1] between its 1st and 99th percentile over valid voxels."""
    low, high = np.percentile(image[:, valid], [1, 99], axis=1)
    extent = np.maximum(high - low, 1e-12)
    axes = (slice(None), *[None] * (image.ndim - 1))
    scaled: NDArray[np.float32] = np.clip((image - low[axes]) / extent[axes], 0, 1).astype(np.float32)
    return scaled


def _on_cubes(image: NDArray[np.float32], spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Resample ``(C, *S)`` by averaging to cubes over the same extent, about ``SLIC_VOXEL_LIMIT`` of them at most.

    SLIC lays its seeds evenly in voxels: only on cubes does that make regions of even size in mm.
    """
    extent = np.array(image.shape[1:]) * spacing
    edge = max(spacing.min(), (extent.prod() / SLIC_VOXEL_LIMIT) ** (1 / len(extent)))
    size = np.maximum(np.rint(extent / edge).astype(int), 1).tolist()
    return torch.nn.functional.interpolate(torch.from_numpy(image)[None], size=size, mode="area")[0].numpy()


def _merge_small(labels: NDArray[np.int32], smallest: float, spacing: tuple[float, ...]) -> NDArray[np.int32]:
    """Give fragments (cut off by padding) to the nearest larger region and number the rest from 1."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large = np.flatnonzero(sizes >= max(smallest, 1))
    if 0 < len(large) < np.count_nonzero(sizes):
        kept = np.isin(labels, large)
        nearest = ndimage.distance_transform_edt(~kept, sampling=spacing, return_distances=False, return_indices=True)
        labels = np.where(labels == 0, 0, labels[tuple(nearest)])
    _, compact = np.unique(labels, return_inverse=True)
    from_zero: NDArray[np.int32] = compact.reshape(labels.shape).astype(np.int32)
    return from_zero if (labels == 0).any() else from_zero + 1


def flat_labels(regions: Regions) -> torch.Tensor:
    """Labels of a segmentation as a flat int64 tensor, shape ``(voxels,)``, for ``gather``."""
    return torch.from_numpy(regions.labels.astype(np.int64).ravel())
