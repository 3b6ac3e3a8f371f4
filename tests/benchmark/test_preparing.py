"""From a line to a case: moved points, exact numbers of regions, outlines on the network's grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from support.blob_bundle import write_blob_bundle

from camlime.benchmark.cohort import CohortCase
from camlime.benchmark.preparing import exactly, prepare
from camlime.benchmark.settings import BenchmarkSettings
from camlime.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.errors import RequestError

VIEW = (16, 16, 8)


@pytest.fixture(scope="module")
def region_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    crop = {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": list(VIEW)}
    settings = {"field_of_view_mm": list(map(float, VIEW)), "n_regions": 24}
    return write_blob_bundle(tmp_path_factory.mktemp("region") / "blob", VIEW, steps=[crop], explain=settings)


@pytest.fixture
def line(tmp_path: Path) -> CohortCase:
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 0.1, (30, 28, 20)).astype(np.float32)
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[14:18, 12:16, 9:12] = 1
    image[mask > 0] = 1.0
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = (40, 50, -60)
    for name, values in (("image", image), ("mask", mask)):
        nib.save(nib.Nifti1Image(values, affine), tmp_path / f"{name}.nii.gz")
    return CohortCase("a", "p", tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz")


def prepared(line: CohortCase, bundle: Path, **settings: float):
    asked = BenchmarkSettings(str(bundle), ("lime",), **settings)
    return prepare(line, asked, dict(Bundle.load(bundle).fingerprint))


def test_the_outline_follows_the_moved_point(line: CohortCase, region_bundle: Path) -> None:
    """The bright voxels of the network's input are the outline's, wherever the point went."""
    seen = set()
    for name in ("a", "b", "c"):
        made = prepared(replace(line, case=name), region_bundle, jitter_mm=4.0)
        assert made.case.input.spatial_shape == VIEW
        assert np.array_equal(made.mask, made.case.input.image[0].numpy() > 0.5)
        assert np.abs(made.offset_mm).max() <= 4.0
        assert abs(made.offset_mm[2]) <= 4.0 * 8 / 16
        assert made.offset_mm == prepared(replace(line, case=name), region_bundle, jitter_mm=4.0).offset_mm
        seen.add(made.offset_mm)
    assert len(seen) == 3
    assert prepared(line, region_bundle).offset_mm == (0.0, 0.0, 0.0)


def test_a_point_near_the_border_stays_in_the_scan_and_padding_is_told(line: CohortCase, region_bundle: Path) -> None:
    corner = (40.0, 50.0, -60.0)
    made = prepared(replace(line, point=corner), region_bundle, jitter_mm=6.0)
    valid = made.case.input.valid.numpy()
    assert not valid.all()
    assert not made.case.regions[0].labels[~valid].any()


def test_an_outline_out_of_view_is_said(line: CohortCase, region_bundle: Path) -> None:
    made = prepared(replace(line, point=(13.0, 24.0, -42.0)), region_bundle)
    assert made.mask is None
    assert "no label" in made.no_mask_because


def test_there_is_no_point_to_move_in_a_bundle_that_sees_the_whole(line: CohortCase, bundle_dir: Path) -> None:
    with pytest.raises(RequestError, match="no point to move"):
        prepared(line, bundle_dir, jitter_mm=2.0)


def test_another_bundle_than_the_one_asked_for_is_refused(line: CohortCase, region_bundle: Path) -> None:
    with pytest.raises(RequestError, match="not the one"):
        prepare(line, BenchmarkSettings(str(region_bundle), ("lime",)), {"models/model.pt": "other"})


@pytest.mark.parametrize("wanted", [31, 32, 33, 63, 64])
def test_exact_numbers_of_regions(wanted: int) -> None:
    torch.manual_seed(1)
    image = torch.rand(1, 24, 24, 10)
    given = ModelInput(image, np.eye(4), torch.ones(24, 24, 10, dtype=torch.bool), (1.0, 1.0, 1.0))
    found = exactly(given, wanted)
    assert found.count == wanted
    assert np.array_equal(found.labels, exactly(given, wanted).labels)
