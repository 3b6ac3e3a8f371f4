"""Volumes are written whole or not at all."""

from __future__ import annotations

import os
import sys

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from camlime.errors import OutputError, ScanError
from camlime.scan import Scan, save_volume


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8, np.int32])
def test_what_is_written_is_read(dtype, tmp_path, geometry):
    values = np.arange(60).reshape(3, 4, 5).astype(dtype)
    path = save_volume(tmp_path / "v.nii.gz", values, geometry)
    image = nib.load(path)
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(image.dataobj), values)
    assert image.header.get_xyzt_units()[0] == "mm"
    for matrix, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(matrix, geometry, atol=1e-4)
    np.testing.assert_allclose(Scan.read(path).affine, geometry, atol=1e-5)
    other = sitk.ReadImage(str(path))  # what 3D Slicer would see
    ras = np.array(other.TransformContinuousIndexToPhysicalPoint((2.0, 1.0, 4.0))) * (-1, -1, 1)
    np.testing.assert_allclose(ras, (geometry @ (2, 1, 4, 1))[:3], atol=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == ["v.nii.gz"]


def test_types_that_are_converted(tmp_path):
    assert nib.load(save_volume(tmp_path / "b.nii.gz", np.eye(3, dtype=bool), np.eye(4))).get_data_dtype() == np.uint8
    assert nib.load(save_volume(tmp_path / "f.nii", np.eye(3), np.eye(4))).get_data_dtype() == np.float32
    with pytest.raises(TypeError):
        save_volume(tmp_path / "c.nii.gz", np.eye(3, dtype=complex), np.eye(4))
    with pytest.raises(ValueError, match="3D"):
        save_volume(tmp_path / "d.nii.gz", np.zeros((1, 2, 3, 4)), np.eye(4))
    with pytest.raises(ValueError, match="nii"):
        save_volume(tmp_path / "d.png", np.zeros((2, 3, 4)), np.eye(4))
    with pytest.raises(ScanError, match="singular"):
        save_volume(tmp_path / "d.nii.gz", np.zeros((2, 3, 4)), np.zeros((4, 4)) + np.diag([0, 0, 0, 1]))


def test_a_sheared_affine_has_no_wrong_qform(tmp_path):
    sheared = np.eye(4)
    sheared[0, 2] = 0.3
    image = nib.load(save_volume(tmp_path / "v.nii.gz", np.zeros((2, 3, 4), np.float32), sheared))
    np.testing.assert_allclose(image.affine, sheared, atol=1e-6)
    assert int(image.header["qform_code"]) == 0


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    one = save_volume(tmp_path / "a.nii.gz", values, np.eye(4)).read_bytes()
    assert save_volume(tmp_path / "a.nii.gz", values, np.eye(4)).read_bytes() == one


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = save_volume(tmp_path / "v.nii.gz", np.eye(3, dtype=np.float32), np.eye(4))
    before = path.read_bytes()

    def full(image, target):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("camlime.scan.writing.nib.save", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        save_volume(path, np.zeros((3, 3), np.float32), np.eye(4))
    assert caught.value.hint
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["v.nii.gz"]


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(image, target):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("camlime.scan.writing.nib.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_volume(tmp_path / "v.nii.gz", np.zeros((3, 3), np.float32), np.eye(4))
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        save_volume(tmp_path / "no" / "v.nii.gz", np.zeros((3, 3), np.float32), np.eye(4))
    (tmp_path / "d.nii.gz").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        save_volume(tmp_path / "d.nii.gz", np.zeros((3, 3), np.float32), np.eye(4))
    assert [p.name for p in tmp_path.iterdir()] == ["d.nii.gz"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot write"):
        save_volume(tmp_path / "v.nii.gz", np.zeros((3, 3), np.float32), np.eye(4))
    tmp_path.chmod(0o700)
