"""Points, crops and coverage, against slow recomputations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from camlime.errors import RequestError, ScanError
from camlime.phantom import blob
from camlime.scan import Scan


def make(affine: np.ndarray, shape=(21, 18, 15), channels: int = 2) -> Scan:
    values = np.random.default_rng(0).normal(size=(channels, *shape)).astype(np.float32)
    return Scan.from_array(values, affine, source="case", series_uid="1.2.3")


def test_points_go_there_and_back(geometry):
    scan = make(geometry)
    index = np.random.default_rng(1).uniform(-5, 25, (4, 3, 3))
    points = scan.voxel_to_ras(index)
    slow = [geometry @ [*i, 1] for i in index.reshape(-1, 3)]
    np.testing.assert_allclose(points.reshape(-1, 3), np.array(slow)[:, :3])
    np.testing.assert_allclose(scan.ras_to_voxel(points), index, atol=1e-9)
    assert scan.ras_to_voxel(points[0, 0]).shape == (3,)
    with pytest.raises(ValueError, match="shape"):
        scan.ras_to_voxel([1.0, 2.0])


def test_covers_takes_in_whole_voxels(geometry):
    scan = make(geometry)
    inside = [[-0.49, 0, 0], [20.49, 17.49, 14.49], [10, 9, 7]]
    outside = [[-0.51, 0, 0], [20.51, 17, 14], [10, 9, 14.6], [10, -3, 7]]
    assert scan.covers(scan.voxel_to_ras(inside)).all()
    assert not scan.covers(scan.voxel_to_ras(outside)).any()
    assert bool(scan.covers(geometry[:3, 3])) is True


@pytest.mark.parametrize("point", [(10, 9, 7), (10.4, 8.7, 7.45), (0.2, 17.3, 14.4), (-0.45, -0.45, -0.45)])
@pytest.mark.parametrize("size", [8.0, (4.0, 9.0, 6.5), 60.0])
def test_crop_against_a_slow_recomputation(geometry, point, size):
    scan = make(geometry)
    center = scan.voxel_to_ras(point)
    crop = scan.crop(center, size)
    assert all(n % 2 == 1 for n in crop.shape)
    assert crop.channels == 2
    assert (crop.source, crop.series_uid) == (scan.source, "1.2.3")
    np.testing.assert_allclose(crop.affine[:3, :3], geometry[:3, :3])

    # the middle voxel is the scan's voxel nearest to the point
    everywhere = scan.voxel_to_ras(np.stack(np.indices(scan.shape), -1).astype(float))
    middle = np.array(crop.shape) // 2
    apart = np.linalg.inv(geometry[:3, :3]) @ (crop.voxel_to_ras(middle) - center)
    assert np.abs(apart).max() <= 0.5 + 1e-9
    assert np.abs(everywhere - crop.voxel_to_ras(middle)).sum(-1).min() < 1e-9

    # the whole field of view lies inside, with two voxels to spare
    half = np.broadcast_to(size, 3) / 2
    for signs in itertools.product((-1, 1), repeat=3):
        index = crop.ras_to_voxel(center + half * signs)
        assert (index >= 2 - 1e-6).all()
        assert (index <= np.array(crop.shape) - 3 + 1e-6).all()

    # every voxel holds what the scan has there, or what its nearest voxel has
    for index in itertools.product(*[range(0, n, max(1, n // 5)) for n in crop.shape]):
        place = np.rint(scan.ras_to_voxel(crop.voxel_to_ras(np.array(index, float)))).astype(int)
        i, j, k = np.clip(place, 0, np.array(scan.shape) - 1)
        assert torch.equal(crop.image.as_tensor()[:, index[0], index[1], index[2]], scan.image.as_tensor()[:, i, j, k])
        assert bool(crop.covers(crop.voxel_to_ras(index))) == bool((place == (i, j, k)).all())


def test_crop_is_tight():
    crop = make(np.diag([1.0, 2.0, 4.0, 1.0]), (60, 60, 60)).crop((30, 60, 120), 16)
    assert crop.shape == (2 * (9 + 2) + 1, 2 * (5 + 2) + 1, 2 * (3 + 2) + 1)
    assert crop.inside is None


def test_all_crops_of_a_scan_have_one_shape(geometry):
    scan = make(geometry)
    points = scan.voxel_to_ras(np.random.default_rng(3).uniform(0, 14, (20, 3)))
    assert len({scan.crop(point, 9.0).shape for point in points}) == 1


@pytest.mark.parametrize("further", [(0, 0, 3), (-2, 0, 1), (1, -1, -4)])
def test_a_crop_may_reach_further_at_one_end(geometry, further):
    scan = make(geometry)
    point = scan.voxel_to_ras((2, 7, 8))
    usual, longer = scan.crop(point, 6), scan.crop(point, 6, further=further)
    moved = longer.ras_to_voxel(usual.voxel_to_ras((0, 0, 0)))
    np.testing.assert_allclose(moved, [max(-n, 0) for n in further], atol=1e-6)
    assert longer.shape == tuple(n + abs(more) for n, more in zip(usual.shape, further, strict=True))
    part = tuple(slice(round(at), round(at) + n) for at, n in zip(moved, usual.shape, strict=True))
    np.testing.assert_array_equal(longer.image.numpy()[(slice(None), *part)], usual.image.numpy())
    points = usual.voxel_to_ras(np.stack(np.indices(usual.shape), -1).astype(float))
    np.testing.assert_array_equal(longer.covers(points), usual.covers(points))


def test_a_crop_owns_its_memory():
    scan = make(np.eye(4), (40, 40, 40))
    crop = scan.crop((20, 20, 20), 6)
    assert crop.image.untyped_storage().nbytes() == crop.image.numel() * 4
    before = scan.image.clone()
    crop.image[:] = 0
    assert torch.equal(scan.image, before)


def test_a_crop_of_a_crop_knows_what_was_scanned(geometry):
    scan = make(geometry)
    once = scan.crop(scan.voxel_to_ras((1, 9, 7)), 12)
    twice = once.crop(scan.voxel_to_ras((1, 9, 7)), 20)
    direct = scan.crop(scan.voxel_to_ras((1, 9, 7)), 20)
    points = direct.voxel_to_ras(np.stack(np.indices(direct.shape), -1).astype(float))
    known = once.covers(points)
    assert np.array_equal(twice.covers(points), known)
    np.testing.assert_array_equal(twice.image.numpy()[:, known], direct.image.numpy()[:, known])


def test_a_padded_crop_does_not_cover_its_padding():
    scan = make(np.eye(4))
    crop = scan.crop((0, 9, 7), 10)
    assert not crop.covers((-1, 9, 7))
    with pytest.raises(RequestError, match="outside"):
        crop.crop((-2, 9, 7), 4)
    np.testing.assert_allclose(crop.bounds[0], (-0.5, 0.5, -0.5))


def test_two_dimensional_crop():
    scan = Scan.from_array(np.arange(30.0).reshape(1, 6, 5), np.eye(4))
    crop = scan.crop((5, 2, 0), 2)
    assert crop.image.shape == (1, 9, 9)
    np.testing.assert_array_equal(crop.voxel_to_ras((4, 4, 0)), (5, 2, 0))
    assert crop.image[0, 4, 4] == 27
    assert crop.image[0, 8, 4] == 27  # edge
    assert scan.crop((5, 2, 0), (2, 2)).shape == (9, 9)
    assert not scan.covers((2, 2, 1))


def test_a_point_outside_the_scan():
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = (30, 40, -10)
    scan = make(affine)
    with pytest.raises(RequestError) as caught:
        scan.crop((200, 0, 0), 5)
    for part in ("R 29.5 to 50.5", "A 39.5 to 57.5", "S -11.0 to 19.0", "200.0"):
        assert part in caught.value.message
    assert "--point-lps" not in caught.value.hint
    with pytest.raises(RequestError) as caught:
        scan.crop((-35, -45, 0), 5)
    assert "--point-lps" in caught.value.hint


@pytest.mark.parametrize("size", [0, -1, np.nan, np.inf, (1, 2), (1, 2, 0), 1e6, "x"])
def test_sizes_that_are_none(size):
    with pytest.raises((RequestError, ValueError)):
        make(np.eye(4)).crop((5, 5, 5), size)


@pytest.mark.parametrize("point", [(1, 2), (np.nan, 0, 0)])
def test_points_that_are_none(point):
    with pytest.raises(RequestError):
        make(np.eye(4)).crop(point, 5)


def test_from_array_checks_as_reading_does():
    good = np.arange(24.0).reshape(1, 2, 3, 4)
    for array, affine, match in (
        (good[0, 0], np.eye(4), "is not"),
        (good[None], np.eye(4), "is not"),
        (good[:, :0], np.eye(4), "empty"),
        (good * 0, np.eye(4), "constant"),
        (good * np.nan, np.eye(4), "24 of 24"),
        (good * 1j, np.eye(4), "complex"),
        (good.astype(str), np.eye(4), "type"),
        (good, np.eye(3), "4x4"),
        (good, np.diag([1.0, 0, 1, 1]), "singular"),
        (good, np.eye(4) * np.nan, "NaN"),
        (good, "x", "numbers"),
        (good, np.diag([1.0, 1e30, 1, 1]), r"spacing is 1e\+30 mm"),
        (good, np.diag([1.0, 1e300, 1, 1]), r"spacing is 1e\+300 mm"),
        (good, np.diag([1.0, 8e-7, 1, 1]), "spacing along axis 1 is 8e-07 mm"),
        (good, np.diag([1.0, 1.0, 4000, 1]), "4 voxels of 4e\\+03 mm along axis 2 make 16 m"),
        (good, np.eye(4) + np.eye(4)[:, :1] @ [[0, 0, 0, 1e30]], r"lies 1e\+30 mm from the origin"),
    ):
        with pytest.raises(ScanError, match=match):
            Scan.from_array(array, affine, source="here")
    array = good.astype(np.float32)
    assert Scan.from_array(array, np.eye(4)).image.data_ptr() == array.ctypes.data  # no copy
    assert torch.equal(Scan.from_array(torch.from_numpy(good), np.eye(4)).image.as_tensor(), torch.from_numpy(array))
    assert Scan.from_array(blob((5, 6, 7)).image, np.eye(4)).shape == (5, 6, 7)


def test_large_pictures_and_fine_volumes_are_scans():
    """A slide's pixels are a mm by convention, an electron microscope's are nanometres."""
    line = np.arange(24000.0).reshape(1, 12000, 2)
    assert Scan.from_array(line, np.eye(4)).shape == (12000, 2)
    assert Scan.from_array(line[..., None], np.eye(4)).shape == (12000, 2, 1)
    assert Scan.from_array(line.reshape(1, 2, 3, 4000), np.diag([2e-5, 2e-5, 2e-5, 1])).spacing[0] == pytest.approx(
        2e-5
    )


def test_a_scan_is_frozen():
    scan = make(np.eye(4))
    with pytest.raises(AttributeError):
        scan.source = "other"
    scan.affine[:] = 0
    np.testing.assert_array_equal(scan.affine, np.eye(4))
