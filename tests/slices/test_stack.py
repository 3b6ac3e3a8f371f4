"""Slices lie where they lie, and are held as asked, however the volume is stored."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from nibabel.orientations import aff2axcodes
from scipy.spatial.transform import Rotation

from camlime.errors import RequestError
from camlime.scan import Scan
from camlime.slices.stack import AS_DISPLAYED, cut

PLANES = ("axial", "coronal", "sagittal", "native")


def volume(order=(0, 1, 2), signs=(1, 1, 1), shape=(6, 7, 8), spacing=(0.7, 0.9, 3.0)) -> Scan:
    turn = Rotation.from_euler("xyz", [9, -7, 12], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = (turn * np.array(spacing) * signs)[:, list(order)]
    affine[:3, 3] = (5, -40, 12)
    return Scan.from_array(np.random.default_rng(0).random((2, *shape)), affine)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_every_pixel_keeps_its_place_in_the_patient(order, signs):
    scan = volume(order, signs)
    for plane in PLANES:
        stack = cut(scan, plane)
        for x, y, n in itertools.product((0, 2, 5), (0, 3, 5), (0, 4, 5)):
            point = stack.affine[:3] @ (x, y, n, 1)
            voxel = np.rint(scan.ras_to_voxel(point)).astype(int)
            np.testing.assert_allclose(scan.voxel_to_ras(voxel), point, atol=1e-9)
            np.testing.assert_array_equal(stack.image[:, x, y, n], scan.image[(slice(None), *voxel)])
            assert voxel[stack.axis] == n, "slices are counted as in the scan"
            single = stack.slice(n)
            np.testing.assert_allclose(single.voxel_to_ras((x, y, 0)), point, atol=1e-9)
            np.testing.assert_array_equal(single.image[:, x, y], stack.image[:, x, y, n])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_slices_are_held_as_displayed(order):
    scan = volume(order)
    for plane in PLANES[:3]:
        stack = cut(scan, plane)
        assert stack.plane == plane
        assert "".join(aff2axcodes(stack.affine)[:2]) == AS_DISPLAYED[plane]
    native = cut(scan, "native")
    assert (native.plane, native.native, native.step_mm) == ("axial", True, pytest.approx(3.0))


def test_a_bundle_may_want_them_held_otherwise():
    stack = cut(volume(), "axial", {"axial": "AR"})
    assert aff2axcodes(stack.affine)[:2] == ("A", "R")


def test_the_native_plane_of_even_spacing_is_the_last_axis():
    assert cut(volume(spacing=(1, 1, 1))).axis == 2
    assert cut(volume(shape=(1, 7, 8), spacing=(1, 1, 1))).axis == 0, "a single slice is its own plane"


def test_middle_of_a_slice():
    stack = cut(volume(), "coronal")
    corners = [stack.affine[:3] @ (x, y, 2, 1) for x in (0, 5) for y in (0, 7)]
    np.testing.assert_allclose(stack.centre_ras(2), np.mean(corners, axis=0))


def test_a_picture_is_one_slice_as_it_is():
    scan = Scan.from_array(np.random.default_rng(0).random((1, 5, 6)), np.eye(4))
    stack = cut(scan)
    assert len(stack) == 1
    np.testing.assert_array_equal(stack.image[..., 0], scan.image)
    with pytest.raises(RequestError, match="no coronal slices"):
        cut(scan, "coronal")


def test_there_are_four_planes():
    with pytest.raises(RequestError, match="oblique"):
        cut(volume(), "oblique")
