"""Supervoxels even in mm, label maps on the right voxels, volumes and centres by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from camlime import regions as module
from camlime.bundle.model_input import ModelInput
from camlime.errors import RegionsError
from camlime.regions import Regions, regions_from_label_map, supervoxels


def input_of(
    image: NDArray[np.floating], spacing: tuple[float, ...], *, valid: NDArray[np.bool_] | None = None
) -> ModelInput:
    affine = np.diag([*spacing, *[1.0] * (4 - len(spacing))])
    valid = np.ones(image.shape[1:], dtype=bool) if valid is None else valid
    return ModelInput(torch.from_numpy(image.astype(np.float32)), affine, torch.from_numpy(valid), spacing)


def blobs(shape: tuple[int, ...], channels: int = 1, seed: int = 0) -> NDArray[np.float64]:
    """Smooth structure with noise on it."""
    rng = np.random.default_rng(seed)
    waves = sum(np.sin(axis * rng.uniform(0.2, 0.5)) for axis in np.indices(shape))
    return np.stack([waves + 0.3 * rng.standard_normal(shape) for _ in range(channels)])


def mean_extents(regions: Regions, spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Mean over regions of the extent in mm along each axis, from the lowest to the highest voxel of the region."""
    extents = []
    for label in range(1, regions.count + 1):
        index = np.argwhere(regions.labels == label)
        extents.append((np.ptp(index, axis=0) + 1) * spacing)
    return np.mean(extents, axis=0)


@pytest.mark.parametrize(
    ("shape", "spacing", "count"),
    [((40, 40, 12), (1.0, 1.0, 3.3), 27), ((60, 60, 8), (0.7, 0.7, 5.0), 64), ((90, 30), (1.0, 3.0), 40)],
)
def test_regions_are_as_long_in_mm_along_every_axis(
    shape: tuple[int, ...], spacing: tuple[float, ...], count: int
) -> None:
    regions = supervoxels(input_of(np.zeros((1, *shape)), spacing), count)
    extents = mean_extents(regions, spacing)
    assert extents.max() / extents.min() < 1.35, extents
    assert 0.6 * count <= regions.count <= 1.6 * count


@pytest.mark.parametrize(
    ("image", "count"),
    [
        (blobs((48, 48)), 40),
        (blobs((48, 48), channels=3), 40),
        (np.random.default_rng(0).standard_normal((3, 48, 48)), 40),
        (np.random.default_rng(0).standard_normal((1, 48, 48)), 40),
        (blobs((20, 22, 18)), 50),
        (np.full((1, 20, 20, 20), 3.0), 27),
    ],
    ids=["2D", "RGB", "RGB noise", "noise", "3D", "constant"],
)
def test_about_as_many_regions_as_asked_for_all_labels_there(image: NDArray[np.float64], count: int) -> None:
    regions = supervoxels(input_of(image, (1.0,) * (image.ndim - 1)), count)
    assert 0.6 * count <= regions.count <= 1.6 * count
    assert np.array_equal(np.unique(regions.labels), np.arange(1, regions.count + 1))
    assert regions.labels.shape == image.shape[1:]
    assert regions.labels.dtype == np.int32


def test_regions_follow_edges() -> None:
    image = np.zeros((1, 32, 32))
    image[:, 11:21, 11:21] = 1
    regions = supervoxels(input_of(image, (1.0, 1.0)), 25)
    means = regions.pool(image[0]) / regions.voxel_counts()
    assert np.mean(np.minimum(means, 1 - means)) < 0.1


def test_padding_is_no_region_and_cuts_off_no_crumbs() -> None:
    valid = np.hypot(*(np.indices((40, 40)) - 20)) < 17
    regions = supervoxels(input_of(blobs((40, 40)), (1.0, 1.0), valid=valid), 30)
    assert np.array_equal(regions.labels == 0, ~valid)
    assert np.array_equal(np.unique(regions.labels), np.arange(regions.count + 1))
    assert regions.voxel_counts().min() >= module.SMALLEST_SHARE * valid.sum() / 30


def test_same_again_without_jitter_and_other_borders_with_it() -> None:
    case = input_of(blobs((32, 32, 10)), (1.0, 1.0, 2.0))
    first, again = supervoxels(case, 30), supervoxels(case, 30)
    assert np.array_equal(first.labels, again.labels)
    jittered = [supervoxels(case, 30, jitter_seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(jittered[0].labels, jittered[1].labels)
    assert not np.array_equal(borders(jittered[0]), borders(jittered[2]))
    assert not np.array_equal(borders(jittered[0]), borders(first))
    assert all(0.6 * 30 <= regions.count <= 1.6 * 30 for regions in jittered)


def borders(regions: Regions) -> NDArray[np.bool_]:
    return np.diff(regions.labels, axis=0) != 0


@pytest.mark.parametrize("shape", [(21, 33, 17), (20, 32, 16)])
def test_large_grids_are_segmented_coarsely_and_come_back_in_full(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = input_of(np.zeros((1, *shape)), (1.0, 1.0, 1.0))
    fine = supervoxels(case, 27)
    monkeypatch.setattr(module, "SLIC_VOXEL_LIMIT", np.prod(shape) / 8)
    coarse = supervoxels(case, 27)
    assert coarse.labels.shape == shape
    assert np.array_equal(np.unique(coarse.labels), np.arange(1, coarse.count + 1))
    assert coarse.count == pytest.approx(fine.count, rel=0.5)
    assert coarse.voxel_counts().max() < 3 * np.prod(shape) / 27


@pytest.mark.parametrize("shape", [(2, 1), (3, 3), (1, 5), (2, 2, 2), (1, 1, 4)])
def test_tiny_images_have_regions(shape: tuple[int, ...]) -> None:
    regions = supervoxels(input_of(np.arange(np.prod(shape)).reshape(1, *shape), (1.0,) * len(shape)), 4)
    assert 1 <= regions.count <= np.prod(shape)
    assert regions.labels.min() == 1


@pytest.mark.parametrize(("shape", "count"), [((1, 1), 10), ((8, 8), 1)])
def test_too_small_an_image_or_a_count_is_an_error(shape: tuple[int, ...], count: int) -> None:
    with pytest.raises(RegionsError):
        supervoxels(input_of(np.zeros((1, *shape)), (1.0, 1.0)), count)


def oblique_affine() -> NDArray[np.float64]:
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.1, 0.9, 2.0]) @ np.diag([-1, 1, 1])
    affine[:3, 3] = [12.0, -7.0, 30.0]
    return affine


def test_a_label_map_on_another_grid_lands_on_the_right_voxels() -> None:
    """Both grids sample one world: left of a plane 7, right of it 3, above another plane nothing."""

    def world(points: NDArray[np.float64]) -> NDArray[np.int32]:
        side = np.where(points[0] + 0.3 * points[1] < 4, 7, 3)
        return np.where(points[2] > 40, 0, side).astype(np.int32)

    def sampled(shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.int32]:
        index = np.indices(shape).reshape(3, -1)
        return world(affine[:3, :3] @ index + affine[:3, 3:]).reshape(shape)

    label_affine = np.diag([0.5, 0.5, 0.5, 1.0])
    label_affine[:3, 3] = [-12, -13, 28.0]
    labels = sampled((70, 60, 45), label_affine)
    affine = oblique_affine()
    shape = (14, 13, 9)
    case = ModelInput(torch.zeros(1, *shape), affine, torch.ones(shape, dtype=torch.bool), (1.1, 0.9, 2.0))
    regions = regions_from_label_map(labels, label_affine, case, names={7: "left"})
    expected = sampled(shape, affine)
    inside = np.zeros(shape, dtype=bool)
    for index in np.ndindex(*shape):
        voxel = np.linalg.inv(label_affine) @ affine @ [*index, 1.0]
        inside[index] = all(-0.5 <= v <= n - 0.5 for v, n in zip(voxel[:3], labels.shape, strict=True))
    assert inside.mean() > 0.5
    wrong = (np.array([0, 3, 7])[regions.labels] != expected)[inside]
    assert wrong.mean() < 0.05  # voxels within half a label voxel of a plane
    assert not regions.labels[~inside].any()
    assert regions.names == ("label_3", "left")


def test_a_label_map_on_a_shifted_grid_is_shifted_exactly() -> None:
    labels = np.arange(2 * 6 * 5 * 4).reshape(12, 5, 4).astype(np.int32)
    shifted = np.eye(4)
    shifted[:3, 3] = [-3, 0, 0]
    shape = (9, 5, 4)
    case = ModelInput(torch.zeros(1, *shape), np.eye(4), torch.ones(shape, dtype=torch.bool), (1.0, 1.0, 1.0))
    regions = regions_from_label_map(labels, shifted, case)
    assert regions.names is not None
    assert regions.names[regions.labels[2, 3, 1] - 1] == f"label_{labels[5, 3, 1]}"
    assert regions.count == 9 * 5 * 4


def test_a_2d_label_map() -> None:
    labels = np.zeros((6, 8), dtype=np.int32)
    labels[:3, 2:] = 5
    case = input_of(np.zeros((1, 6, 8)), (1.0, 1.0))
    assert np.array_equal(regions_from_label_map(labels, np.eye(4), case).labels, (labels > 0).astype(np.int32))


def test_padding_is_left_out_of_a_label_map_and_not_held_against_it() -> None:
    valid = np.zeros((20, 10), dtype=bool)
    valid[14:] = True
    case = input_of(np.zeros((1, 20, 10)), (1.0, 1.0), valid=valid)
    affine = np.eye(4)
    affine[0, 3] = 13
    labels = np.ones((8, 10), dtype=np.int32)
    assert np.array_equal(regions_from_label_map(labels, affine, case).labels > 0, valid)


@pytest.mark.parametrize("offset", [500.0, 8.0])
def test_a_label_map_elsewhere_is_an_error(offset: float) -> None:
    affine = np.eye(4)
    affine[1, 3] = offset
    case = input_of(np.zeros((1, 10, 10, 10)), (1.0, 1.0, 1.0))
    with pytest.raises(RegionsError, match="covers only"):
        regions_from_label_map(np.ones((10, 10, 10), dtype=np.int32), affine, case)


def test_a_label_map_without_labels_here_is_an_error() -> None:
    case = input_of(np.zeros((1, 4, 4)), (1.0, 1.0))
    with pytest.raises(RegionsError, match="no label"):
        regions_from_label_map(np.zeros((4, 4), dtype=np.int32), np.eye(4), case)


def test_volumes_centres_paint_and_pool_by_hand() -> None:
    labels = np.array([[[1, 1], [0, 2]], [[1, 2], [2, 2]]], dtype=np.int32)
    regions = Regions(labels)
    affine = oblique_affine()
    assert regions.volumes_ml(affine) == pytest.approx(np.array([3, 4]) * 1.1 * 0.9 * 2.0 / 1000)
    for label, centre in zip((1, 2), regions.centres_ras(affine), strict=True):
        points = [affine @ [*index, 1.0] for index in np.argwhere(labels == label)]
        assert centre == pytest.approx(np.mean(points, axis=0)[:3])
    assert regions.paint(np.array([0.5, -2.0])).tolist() == [[[0.5, 0.5], [0, -2]], [[0.5, -2], [-2, -2]]]
    assert regions.pool(np.arange(8.0).reshape(2, 2, 2)).tolist() == [0 + 1 + 4, 3 + 5 + 6 + 7]


def test_centres_of_a_2d_image_lie_in_its_plane() -> None:
    affine = oblique_affine()
    centre = Regions(np.array([[1, 1, 1]], dtype=np.int32)).centres_ras(affine)[0]
    assert centre == pytest.approx((affine @ [0, 1, 0, 1])[:3])
