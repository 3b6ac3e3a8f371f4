"""Cutting named structures into supervoxels: detail inside an organ, and still one weight for the organ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from camlime.attribution import Attribution, FloatArray
from camlime.bundle.model_input import ModelInput
from camlime.errors import RegionsError
from camlime.regions import MOST_SUPERVOXELS, SMALLEST_SUPERVOXEL, Regions, supervoxels

TRIES = 3
"""To come near the number of parts that was asked for."""


def subdivided(regions: Regions, model_input: ModelInput, count: int) -> Regions:
    """Cut regions into supervoxels of about even volume, none of which crosses a border between two regions.

    Args:
        regions: the structures, on the grid of ``model_input``.
        model_input: the image that supervoxels follow.
        count: about how many parts in all; each structure has at least one.

    Returns:
        The parts, named after their structures, which ``structures`` and ``structure_of`` tell.

    Raises:
        RegionsError: fewer than two parts, or too many, were asked for.

    Example:
        >>> parts = subdivided(regions_from_file("organs.seg.nrrd", scan, given), given, 60)  # doctest: +SKIP
        >>> parts.structures, parts.names[:2]  # doctest: +SKIP
        (('lung', 'heart'), ('lung 1', 'lung 2'))
    """
    if not 2 <= count <= MOST_SUPERVOXELS:
        raise RegionsError(f"structures cannot be cut into {count} parts", hint=f"give 2 to {MOST_SUPERVOXELS}")
    sizes = regions.voxel_counts()
    titles = regions.names or tuple(f"region {i + 1}" for i in range(regions.count))
    labels = np.zeros_like(regions.labels)
    names: list[str] = []
    structure_of: list[int] = []
    for i, title in enumerate(titles):
        inside = regions.labels == i + 1
        parts = _parts(inside, model_input, round(count * sizes[i] / sizes.sum()))
        number = int(parts.max())
        labels[inside] = parts[inside] + len(names)
        names += [f"{title} {k + 1}" for k in range(number)] if number > 1 else [title]
        structure_of += [i] * number
    return Regions(
        labels,
        names=tuple(names),
        origin=f"{regions.origin}, cut into supervoxels, about {count} asked for",
        structures=titles,
        structure_of=np.array(structure_of, dtype=np.int64),
    )


def _parts(inside: NDArray[np.bool_], model_input: ModelInput, count: int) -> NDArray[np.int32]:
    """Labels 1, 2, ... of about ``count`` parts of one structure, shape ``(*S,)``."""
    voxels = int(inside.sum())
    if count < 2 or voxels < 2 * SMALLEST_SUPERVOXEL:
        return inside.astype(np.int32)
    # Supervoxels are laid over the structure's box, of which it fills a share that depends on its shape and theirs.
    box = int(np.prod([np.ptp(axis) + 1 for axis in np.nonzero(inside)]))
    alone = replace(model_input, valid=torch.from_numpy(inside))
    wanted = count * box / voxels
    tried: list[NDArray[np.int32]] = []
    for _ in range(TRIES):
        tried.append(supervoxels(alone, min(max(round(wanted), 2), MOST_SUPERVOXELS)).labels)
        wanted *= count / int(tried[-1].max())
    return min(tried, key=lambda labels: abs(int(labels.max()) - count))


def with_structures(attribution: Attribution, regions: Regions) -> Attribution:
    """The attribution with the standard errors of its structures' weights, where its weights' covariance is known."""
    if attribution.region_covariance is None or regions.structures is None or regions.structure_of is None:
        return attribution
    return replace(attribution, structure_std=std_of_sums(attribution.region_covariance, regions.structure_of))


def std_of_sums(covariance: FloatArray, structure_of: NDArray[np.int64]) -> FloatArray:
    r"""Standard errors of sums of weights, shape ``(s,)``: :math:`\sqrt{\sum_{ij} C_{ij}}` over a structure's parts.

    Neighbouring parts are told apart by the same masks, so their errors hang together: the root of the sum of squares
    would be wrong.

    Args:
        covariance: of the weights, ``(d, d)``.
        structure_of: the structure of each, ``(d,)``.

    Example:
        >>> std_of_sums(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([0, 0])).tolist()
        [0.0]
    """
    member = np.eye(int(structure_of.max()) + 1)[structure_of].T
    std: FloatArray = np.sqrt(np.maximum(np.einsum("si,ij,sj->s", member, covariance, member), 0.0))
    return std
