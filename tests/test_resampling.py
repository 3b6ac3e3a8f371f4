"""Resampling between grids, against a slow loop over voxels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from camlime.resampling import resample


def slow(volume, affine, shape, target_affine, mode):
    result = np.zeros(shape)
    size = np.array(volume.shape)
    for index in itertools.product(*map(range, shape)):
        point = target_affine @ [*index, 1.0]
        position = (np.linalg.inv(affine) @ point)[:3]
        if (position < -0.5).any() or (position >= size - 0.5).any():
            continue
        if mode == "nearest":
            result[index] = volume[tuple(np.clip(np.rint(position).astype(int), 0, size - 1))]
            continue
        low = np.floor(position).astype(int)
        for corner in itertools.product((0, 1), repeat=3):
            weight = np.prod([f if c else 1 - f for f, c in zip(position - low, corner, strict=True)])
            result[index] += weight * volume[tuple(np.clip(low + corner, 0, size - 1))]
    return result


def oblique(spacing, origin, angle=0.3):
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing)
    affine[:3, 3] = origin
    return affine


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_equals_a_loop_over_voxels(mode: str) -> None:
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 9, (5, 4, 3)).astype(np.float32)
    source = oblique((2.0, 2.1, 3.0), (1.0, -2.0, 3.0))
    target = np.diag([-1.1, 1.0, 1.7, 1.0])
    target[:3, 3] = (9.0, -4.0, 0.3)
    found = resample(volume, source, (12, 14, 7), target, mode=mode)
    np.testing.assert_allclose(found, slow(volume, source, (12, 14, 7), target, mode), atol=1e-5)
    assert (found != 0).any()


def test_same_grid_is_unchanged_and_keeps_its_type() -> None:
    labels = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    found = resample(labels, np.eye(4), (2, 3, 4), np.eye(4), mode="nearest")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels)


def test_far_away_is_zero() -> None:
    shifted = np.eye(4)
    shifted[:3, 3] = 500
    assert not resample(np.ones((3, 3, 3)), np.eye(4), (4, 4, 4), shifted).any()


def test_two_dimensions() -> None:
    image = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(resample(image, np.eye(4), (2, 3), np.eye(4)), image)
