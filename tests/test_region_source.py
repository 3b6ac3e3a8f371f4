"""A user's label map: on the scan's voxels it is taken, anywhere else it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from camlime.bundle.model_input import ModelInput
from camlime.errors import RegionsError
from camlime.region_source import labels_on_scan, regions_from_file, same_lattice
from camlime.scan import Scan, save_volume


@pytest.fixture
def scan() -> Scan:
    affine = np.diag([-0.7, -0.7, 2.5, 1.0])
    affine[:3, 3] = (60.0, 40.0, -100.0)
    return Scan.from_array(np.random.default_rng(0).random((1, 12, 10, 8)), affine)


@pytest.fixture
def seen(scan: Scan) -> ModelInput:
    """The network sees a part of the scan, on voxels of half the size."""
    affine = scan.affine.copy()
    affine[:3, 3] = scan.voxel_to_ras([2.1, 2.1, 2.1])  # no centre lies midway between two of the scan's
    affine[:3, :3] /= 2
    return ModelInput(torch.rand(1, 10, 10, 6), affine, torch.ones(10, 10, 6, dtype=torch.bool), (0.35, 0.35, 1.25))


def label_map(scan: Scan) -> np.ndarray:
    labels = np.zeros(scan.shape, np.int16)
    labels[3:6, 3:6, 2:5] = 7
    labels[6:8, 3:6, 2:5] = 9
    return labels


def test_labels_land_on_the_same_millimetres(tmp_path: Path, scan: Scan, seen: ModelInput) -> None:
    labels = label_map(scan)
    path = save_volume(tmp_path / "labels.nii.gz", labels, scan.affine)
    regions = regions_from_file(path, scan, seen)
    assert regions.names == ("label_7", "label_9")
    for index in np.ndindex(*seen.spatial_shape):
        nearest = np.rint(scan.ras_to_voxel(seen.affine[:3, :3] @ index + seen.affine[:3, 3])).astype(int)
        assert regions.labels[index] == {0: 0, 7: 1, 9: 2}[int(labels[tuple(nearest)])]


def test_flipped_storage_of_the_same_voxels_is_accepted(tmp_path: Path, scan: Scan, seen: ModelInput) -> None:
    labels = label_map(scan)
    straight = regions_from_file(save_volume(tmp_path / "a.nii.gz", labels, scan.affine), scan, seen)
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = scan.shape[0] - 1
    flipped = save_volume(tmp_path / "b.nii.gz", np.ascontiguousarray(labels[::-1]), scan.affine @ flip)
    np.testing.assert_array_equal(regions_from_file(flipped, scan, seen).labels, straight.labels)


def test_a_part_of_the_scan_is_accepted(tmp_path: Path, scan: Scan, seen: ModelInput) -> None:
    whole = regions_from_file(save_volume(tmp_path / "a.nii.gz", label_map(scan), scan.affine), scan, seen)
    affine = scan.affine.copy()
    affine[:3, 3] = scan.voxel_to_ras([2, 3, 1])
    part = save_volume(tmp_path / "b.nii.gz", label_map(scan)[2:9, 3:, 1:6], affine)
    np.testing.assert_array_equal(regions_from_file(part, scan, seen).labels, whole.labels)


def moved(scan: Scan, by: float) -> np.ndarray:
    affine = scan.affine.copy()
    affine[0, 3] += by
    return affine


@pytest.mark.parametrize(
    "affine",
    [
        lambda s: moved(s, 0.3),
        lambda s: moved(s, 70.0),
        lambda s: np.eye(4),
        lambda s: s.affine @ np.diag([2, 2, 1, 1]),
    ],
)
def test_another_geometry_is_refused(tmp_path: Path, scan: Scan, seen: ModelInput, affine) -> None:
    path = save_volume(tmp_path / "labels.nii.gz", label_map(scan), affine(scan))
    with pytest.raises(RegionsError, match="another voxel grid"):
        regions_from_file(path, scan, seen)


def test_no_label_in_view_is_refused(tmp_path: Path, scan: Scan, seen: ModelInput) -> None:
    labels = np.zeros(scan.shape, np.int16)
    labels[11, 9, 7] = 1
    path = save_volume(tmp_path / "labels.nii.gz", labels, scan.affine)
    with pytest.raises(RegionsError, match="no label inside"):
        regions_from_file(path, scan, seen)


def test_a_picture_has_no_labels_for_a_volume(tmp_path: Path, scan: Scan, seen: ModelInput) -> None:
    Image.fromarray(np.ones(scan.shape[1::-1], np.uint8)).save(tmp_path / "labels.png")
    for refused in (lambda path: labels_on_scan(path, scan), lambda path: regions_from_file(path, scan, seen)):
        with pytest.raises(RegionsError, match="a picture, which has no labels for the 8 slices of a volume"):
            refused(tmp_path / "labels.png")


def test_a_picture_of_other_size_lies_nowhere(tmp_path: Path) -> None:
    """A NIfTI says which part of the scan it covers; of a smaller PNG nothing does."""
    scan = Scan.from_array(np.random.default_rng(0).random((3, 20, 16, 1)), np.eye(4))
    seen = ModelInput(torch.rand(3, 20, 16), np.eye(4), torch.ones(20, 16, dtype=torch.bool), (1.0, 1.0))
    for size, refused in (((20, 16), False), ((12, 16), True), ((10, 8), True), ((40, 32), True)):
        labels = np.ones(size, np.uint8)
        labels[: size[0] // 2] = 2
        Image.fromarray(labels.T).save(tmp_path / "labels.png")
        if refused:
            with pytest.raises(RegionsError, match=f"has {size[0]} x {size[1]} pixels, the scan 20 x 16"):
                regions_from_file(tmp_path / "labels.png", scan, seen)
            with pytest.raises(RegionsError, match="pixels, the scan"):
                labels_on_scan(tmp_path / "labels.png", scan)
        else:
            assert regions_from_file(tmp_path / "labels.png", scan, seen).count == 2
            labels_on_scan(tmp_path / "labels.png", scan)


def test_lattice_of_swapped_axes() -> None:
    swap = np.eye(4)[[1, 0, 2, 3]]
    assert same_lattice((3, 4, 5), swap, (4, 3, 5), np.eye(4))
    assert not same_lattice((3, 4, 5), swap, (3, 4, 5), np.eye(4))


def test_an_image_is_no_label_map(tmp_path: Path, scan: Scan, seen: ModelInput) -> None:
    path = save_volume(tmp_path / "ct.nii.gz", label_map(scan) - 8, scan.affine)
    with pytest.raises(RegionsError, match="negative numbers, down to -8") as caught:
        regions_from_file(path, scan, seen)
    assert "looks like an image" in caught.value.hint
