"""Label maps: values, affine and names."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from camlime.errors import RegionsError, ScanError
from camlime.scan import Scan, load_label_map

LABELS = np.zeros((5, 6, 7), np.uint8)
LABELS[1:3] = 1
LABELS[3:, 2:] = 4


def segmentation(path, labels, **fields: str):
    image = sitk.GetImageFromArray(np.ascontiguousarray(labels.T), isVector=labels.ndim == 4)
    for key, value in fields.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_all_formats(kind, dtype, tmp_path, geometry, write_itk):
    path = tmp_path / f"l.{kind}"
    if kind == "nii.gz":
        nib.save(nib.Nifti1Image(LABELS.astype(dtype), geometry), path)
    else:
        write_itk(path, LABELS.astype(dtype), geometry)
    labels, affine, names = load_label_map(path)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_allclose(affine, geometry, atol=2e-5)
    assert names == {}


def test_segment_names(tmp_path):
    fields = {
        "Segment0_Name": "left lung", "Segment0_LabelValue": "4", "Segment0_Layer": "0",
        "Segment1_Name": "heart", "Segment1_LabelValue": "1", "Segment1_Layer": "0",
        "Segment10_Name": "nothing", "Segment10_LabelValue": "9", "Segment10_Layer": "0",
    }  # fmt: skip
    labels, _, names = load_label_map(segmentation(tmp_path / "s.seg.nrrd", LABELS, **fields))
    assert names == {4: "left lung", 1: "heart", 9: "nothing"}
    np.testing.assert_array_equal(labels, LABELS)


def test_several_layers(tmp_path):
    two = np.stack([LABELS, LABELS[::-1]])
    fields = {"Segment0_Name": "a", "Segment0_LabelValue": "1", "Segment0_Layer": "0",
              "Segment1_Name": "b", "Segment1_LabelValue": "1", "Segment1_Layer": "1"}  # fmt: skip
    with pytest.raises(RegionsError, match="2 layers") as caught:
        load_label_map(segmentation(tmp_path / "s.seg.nrrd", two, **fields))
    assert "label map" in caught.value.hint
    with pytest.raises(RegionsError, match="2 layers"):
        load_label_map(segmentation(tmp_path / "t.seg.nrrd", LABELS, **fields))
    with pytest.raises(RegionsError, match="2 channels"):
        load_label_map(segmentation(tmp_path / "v.nrrd", two))


def test_broken_segment_fields(tmp_path):
    with pytest.raises(RegionsError, match="LabelValue"):
        load_label_map(segmentation(tmp_path / "s.nrrd", LABELS, Segment0_LabelValue="one"))
    same = {"Segment0_Name": "a", "Segment0_LabelValue": "1", "Segment1_Name": "b", "Segment1_LabelValue": "1"}
    with pytest.raises(RegionsError, match="share the label 1"):
        load_label_map(segmentation(tmp_path / "t.nrrd", LABELS, **same))


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 1e10])
def test_values_that_are_no_labels(bad, tmp_path):
    values = LABELS.astype(np.float64)
    values[2, 3, 4] = bad
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "l.nii.gz")
    with pytest.raises(RegionsError, match=r"\(2, 3, 4\)|beyond"):
        load_label_map(tmp_path / "l.nii.gz")


def test_large_labels_stay_exact(tmp_path):
    values = LABELS.astype(np.int32)
    values[0, 0, 0] = 2**24 + 1  # not a float32
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "l.nii.gz")
    assert load_label_map(tmp_path / "l.nii.gz")[0][0, 0, 0] == 2**24 + 1


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ScanError, match="does not exist"):
        load_label_map(tmp_path / "no.nii.gz")
    with pytest.raises(ScanError, match="holds no label map"):
        load_label_map(tmp_path)
    (tmp_path / "m.png").write_bytes(b"x")
    with pytest.raises(ScanError, match="not a picture"):
        load_label_map(tmp_path / "m.png")
    Image.fromarray(LABELS[:, :, 0]).save(tmp_path / "m.jpg")
    with pytest.raises(ScanError, match="JPEG, whose compression") as caught:
        load_label_map(tmp_path / "m.jpg")
    assert "PNG" in caught.value.hint
    (tmp_path / "m.jpg").rename(tmp_path / "renamed.png")
    Image.fromarray(np.kron(LABELS[:, :, 0], np.ones((8, 8), np.uint8))).save(tmp_path / "m.tif", compression="jpeg")
    for name in ("renamed.png", "m.tif"):
        with pytest.raises(ScanError, match="JPEG, whose compression"):
            load_label_map(tmp_path / name)


@pytest.mark.parametrize("kind", ["grey", "16 bit", "black and white", "grey saved as colours", "palette"])
@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_pictures(kind, suffix, tmp_path):
    """Columns first, on the pixel grid of a picture of as many pixels."""
    wanted = LABELS[:, :, 0].copy()
    if kind == "black and white":
        wanted = (wanted > 0).astype(np.uint8)
    picture = Image.fromarray(wanted.T)
    if kind == "16 bit":
        if suffix == "bmp":
            pytest.skip("a BMP has 8 bits")
        wanted = wanted.astype(np.uint16) * 1000
        picture = Image.fromarray(wanted.T)
    elif kind == "black and white":
        picture = Image.fromarray(wanted.T * 255).convert("1")
    elif kind == "grey saved as colours":
        picture = picture.convert("RGB")
    elif kind == "palette":
        picture = Image.fromarray(wanted.T, mode="P")
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0])
    picture.save(tmp_path / f"l.{suffix}")
    labels, affine, names = load_label_map(tmp_path / f"l.{suffix}")
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, wanted)
    np.testing.assert_array_equal(affine, Scan.read(tmp_path / f"l.{suffix}").affine)
    assert names == {}


def test_a_picture_in_colours_is_no_label_map(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)).save(tmp_path / "c.png")
    with pytest.raises(RegionsError, match="in colours"):
        load_label_map(tmp_path / "c.png")
