"""Every format gives the same points for the same values, and every bad file its own clear ScanError."""

from __future__ import annotations

import gzip
import os
import struct
import sys
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Orientation
from PIL import Image

from camlime.errors import ScanError
from camlime.phantom import blob
from camlime.scan import Scan

AFFINE = np.array([[-1.0, 0, 0, 5], [0, -2.0, 0, 6], [0, 0, 3.0, 7], [0, 0, 0, 1]])


def write(kind: str, folder: Path, values, affine, write_itk, write_dicom) -> Path:
    if kind in ("nii", "nii.gz"):
        path = folder / f"v.{kind}"
        nib.save(nib.Nifti1Image(values, affine), path)
        return path
    if kind == "dicom":
        write_dicom(folder / "series", values, affine)
        return folder / "series"
    return write_itk(folder / f"v.{kind}", values, affine)


def fails(path: Path, match: str, **options) -> ScanError:
    """Reading must raise exactly a ScanError that names the file, says what is wrong and gives a hint."""
    with pytest.raises(ScanError, match=match) as caught:
        Scan.read(path, **options)
    assert str(path) in caught.value.message or Path(path).name in caught.value.message
    assert caught.value.hint
    return caught.value


# ---- what is read


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd", "dicom"])
def test_one_array_and_one_affine_whatever_the_format(kind, tmp_path, ramp, geometry, write_itk, write_dicom):
    scan = Scan.read(write(kind, tmp_path, ramp, geometry, write_itk, write_dicom))
    values, affine = scan.image.as_tensor().numpy()[0], scan.affine
    if kind == "dicom" and np.linalg.det(geometry) < 0:
        # a stack runs along cross(row, column); a left-handed volume comes back with k the other way round
        values, affine = (
            values[:, :, ::-1],
            affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 6], [0, 0, 0, 1]]),
        )
    np.testing.assert_array_equal(values, ramp)
    np.testing.assert_allclose(affine, geometry, atol=2e-5)
    assert scan.image.dtype == torch.float32
    assert scan.image.is_contiguous()
    assert scan.image.shape == (1, 9, 8, 7)


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "mha", "dicom"])
def test_a_ball_lies_where_it_was_put(kind, tmp_path, geometry, write_itk, write_dicom):
    center = geometry[:3, :3] @ (17.3, 14.6, 11.2) + geometry[:3, 3]
    made = blob(
        (34, 30, 24),
        spacing=np.linalg.norm(geometry[:3, :3], axis=0),
        direction=geometry[:3, :3] / np.linalg.norm(geometry[:3, :3], axis=0),
        origin=geometry[:3, 3],
        center_ras=center,
    )
    values = np.rint(made.image.as_tensor().numpy()[0]).astype(np.int16)
    scan = Scan.read(write(kind, tmp_path, values, geometry, write_itk, write_dicom))
    bright = np.argwhere(scan.image.as_tensor().numpy()[0] > 500)
    found = scan.voxel_to_ras(bright.astype(float)).mean(axis=0)
    np.testing.assert_allclose(found, center, atol=0.15)


def test_orientation_gives_identical_arrays(tmp_path, ramp, geometry, write_itk, write_dicom):
    arrays = []
    for kind in ("nii.gz", "nrrd", "mha", "dicom"):
        (tmp_path / kind).mkdir()
        scan = Scan.read(write(kind, tmp_path / kind, ramp, geometry, write_itk, write_dicom))
        arrays.append(Orientation(axcodes="RAS")(scan.image))
    for other in arrays[1:]:
        assert torch.equal(arrays[0].as_tensor(), other.as_tensor())
        torch.testing.assert_close(arrays[0].affine, other.affine, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "mha"])
def test_one_slice_stays_three_dimensional(kind, tmp_path, ramp, write_itk):
    assert Scan.read(write(kind, tmp_path, ramp[:, :, :1], AFFINE, write_itk, None)).shape == (9, 8, 1)


@pytest.mark.parametrize("kind", ["nrrd", "mha"])
def test_two_dimensional_volumes(kind, tmp_path, ramp, write_itk):
    scan = Scan.read(write_itk(tmp_path / f"v.{kind}", ramp[:, :, 3], AFFINE))
    assert scan.image.shape == (1, 9, 8)
    np.testing.assert_array_equal(scan.affine, np.diag([-1.0, -1, 1, 1]))  # ITK's unit grid is LPS
    np.testing.assert_array_equal(scan.image[0], ramp[:, :, 3])


@pytest.mark.parametrize("kind", ["nrrd", "mha"])
def test_vectors_are_channels(kind, tmp_path, ramp, write_itk):
    colours = np.stack([ramp, ramp + 1, -ramp], axis=-1)
    scan = Scan.read(write_itk(tmp_path / f"v.{kind}", colours, AFFINE, vector=True))
    np.testing.assert_array_equal(scan.image, np.moveaxis(colours, -1, 0))
    np.testing.assert_allclose(scan.affine, AFFINE)


def test_nifti_colours_and_vectors(tmp_path):
    rgb = np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"] = np.arange(120).reshape(4, 5, 6)
    nib.save(nib.Nifti1Image(rgb, AFFINE), tmp_path / "rgb.nii.gz")
    scan = Scan.read(tmp_path / "rgb.nii.gz")
    np.testing.assert_array_equal(scan.image, np.stack([rgb["R"], rgb["G"], rgb["B"]]))

    vector = np.random.default_rng(0).normal(size=(4, 5, 6, 1, 3)).astype(np.float32)
    image = nib.Nifti1Image(vector, AFFINE)
    image.header.set_intent("vector")
    nib.save(image, tmp_path / "vector.nii.gz")
    np.testing.assert_array_equal(Scan.read(tmp_path / "vector.nii.gz").image, np.moveaxis(vector[:, :, :, 0], -1, 0))


def test_nifti_slope_trailing_axis_and_sform(tmp_path, ramp):
    image = nib.Nifti1Image(ramp[..., None], AFFINE)
    image.header.set_slope_inter(0.5, -100)
    image.set_qform(np.eye(4), code=1)
    image.set_sform(AFFINE, code=2)
    nib.save(image, tmp_path / "v.nii")
    scan = Scan.read(tmp_path / "v.nii")
    expected = nib.load(tmp_path / "v.nii").get_fdata()[..., 0]
    np.testing.assert_allclose(scan.image[0], expected, rtol=1e-6)
    np.testing.assert_allclose(scan.affine, AFFINE)


@pytest.mark.parametrize("form", ["sform", "qform", "none"])
def test_nifti_units_are_turned_into_millimetres(form, tmp_path, ramp):
    import SimpleITK as sitk

    for unit, factor in (("unknown", 1), ("mm", 1), ("micron", 0.001), ("meter", 1000)):
        stored = np.diag([1 / factor, 1 / factor, 1 / factor, 1]) @ AFFINE
        image = nib.Nifti1Image(ramp, stored)
        image.set_sform(stored, code=int(form == "sform"))
        image.set_qform(stored, code=int(form == "qform"))
        image.header.set_xyzt_units(unit, "sec")
        nib.save(image, tmp_path / "v.nii")
        scan = Scan.read(tmp_path / "v.nii")
        assert scan.spacing == pytest.approx((1, 2, 3))
        if form != "none":
            np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-5)
            itk = sitk.ReadImage(str(tmp_path / "v.nii"))
            assert itk.GetSpacing() == pytest.approx(scan.spacing)
            assert itk.GetOrigin() == pytest.approx(scan.affine[:3, 3] * (-1, -1, 1))


def test_a_place_that_is_made_up_is_told(tmp_path, ramp, write_itk):
    nib.save(nib.Nifti1Image(ramp, AFFINE), tmp_path / "v.nii")
    assert Scan.read(tmp_path / "v.nii").notes == ()
    data = bytearray((tmp_path / "v.nii").read_bytes())
    data[252:256] = bytes(4)  # qform_code, sform_code
    (tmp_path / "v.nii").write_bytes(data)
    scan = Scan.read(tmp_path / "v.nii")
    assert scan.crop(scan.affine[:3, 3], 3).notes == scan.notes
    assert "v.nii does not say where it lies" in scan.notes[0]

    assert Scan.read(write_itk(tmp_path / "v.nrrd", ramp, AFFINE)).notes == ()
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 9 8 7\nencoding: raw\nendian: little\n"
    for more, told in (("", "taken for 1 mm"), ("spacings: 1 2 3\n", "(no space directions):")):
        (tmp_path / "w.nrrd").write_bytes(f"{head}{more}\n".encode() + ramp.tobytes(order="F"))
        assert told in Scan.read(tmp_path / "w.nrrd").notes[0]


def test_a_sheared_sform_is_kept(tmp_path, ramp):
    sheared = AFFINE.copy()
    sheared[1, 2] = 0.8
    nib.save(nib.Nifti1Image(ramp, sheared), tmp_path / "v.nii.gz")
    np.testing.assert_allclose(Scan.read(tmp_path / "v.nii.gz").affine, sheared, atol=1e-6)


@pytest.mark.parametrize("kind", ["png", "bmp", "tif", "tiff"])
def test_grey_pictures_run_to_the_right_and_down(kind, tmp_path):
    rows = np.arange(15, dtype=np.uint8).reshape(3, 5)
    Image.fromarray(rows).save(tmp_path / f"p.{kind}")
    scan = Scan.read(tmp_path / f"p.{kind}")
    assert scan.shape == (5, 3)
    assert scan.image[0, 4, 1] == rows[1, 4]
    np.testing.assert_array_equal(scan.affine, np.eye(4))


def test_picture_modes(tmp_path):
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (6, 7, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(Scan.read(tmp_path / "rgba.png").image, rgba[..., :3].T)
    Image.fromarray(rgba[..., :2], mode="LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(Scan.read(tmp_path / "la.png").image, rgba[None, ..., 0].swapaxes(1, 2))

    palette = Image.fromarray(rgba[..., 0] % 4, mode="P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(Scan.read(tmp_path / "p.png").image, np.asarray(palette.convert("RGB")).T)

    deep = rng.integers(0, 65536, (6, 7), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(Scan.read(tmp_path / "deep.png").image[0], deep.T)

    import SimpleITK as sitk

    colour = rng.integers(0, 65536, (6, 7, 3), dtype=np.uint16)
    sitk.WriteImage(sitk.GetImageFromArray(colour, isVector=True), str(tmp_path / "colour.png"))
    np.testing.assert_array_equal(Scan.read(tmp_path / "colour.png").image, colour.T)

    Image.fromarray(rgba[..., :3]).save(tmp_path / "p.jpg", quality=95)
    assert Scan.read(tmp_path / "p.jpg").image.shape == (3, 7, 6)


def test_a_scan_remembers_its_source(tmp_path, ramp, write_itk):
    path = write_itk(tmp_path / "v.NRRD".lower(), ramp, AFFINE)
    scan = Scan.read(str(path))
    assert scan.source == path
    assert scan.series_uid is None
    assert scan.channels == 1
    assert scan.spacing == pytest.approx((1, 2, 3))


# ---- what cannot be read


def test_missing_unknown_and_empty_files(tmp_path):
    fails(tmp_path / "no.nii.gz", "does not exist")
    for name in ("a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.png", "a.dcm"):
        (tmp_path / name).touch()
        fails(tmp_path / name, "zero bytes")
    (tmp_path / "a.docx").write_bytes(b"hello")
    fails(tmp_path / "a.docx", "unknown type")
    with pytest.raises(ScanError):
        Scan.read("a\0b.nii")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the administrator may read everything")
def test_unreadable_file(tmp_path, ramp, write_itk):
    path = write_itk(tmp_path / "v.mha", ramp, AFFINE)
    path.chmod(0)
    fails(path, "cannot be opened")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.png", "a.jpg", "a.tif"])
def test_text_under_an_image_name(name, tmp_path):
    (tmp_path / name).write_text("This is not an image.\n" * 60)
    error = fails(tmp_path / name, "not gzip|not a NIfTI|damaged|not a picture")
    if name == "a.nii.gz":
        assert "not gzip-compressed" in error.message


def test_gzipped_text_under_a_nifti_name(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"This is not an image.\n" * 60))
    fails(tmp_path / "a.nii.gz", "not a NIfTI")


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.97])
@pytest.mark.parametrize("kind", ["nii", "nii.gz", "nrrd", "mha"])
def test_truncated_volumes(kind, part, tmp_path, write_itk, capfd):
    noise = np.random.default_rng(0).integers(-500, 500, (20, 20, 20)).astype(np.int16)
    path = write(kind, tmp_path, noise, AFFINE, write_itk, None)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    assert "Success" not in fails(path, "truncated|damaged|not a NIfTI").message
    assert capfd.readouterr() == ("", "")  # the libraries' own complaints stay off the console


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif"])
def test_truncated_pictures(kind, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 60), dtype=np.uint8)
    path = tmp_path / f"p.{kind}"
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for part in (0.01, 0.5, 0.9):
        path.write_bytes(whole[: max(1, int(len(whole) * part))])
        fails(path, "truncated|not a picture")


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "png", "mha", "dicom"])
def test_no_other_error_escapes_whatever_the_damage(kind, tmp_path, write_itk, write_dicom):
    noise = np.random.default_rng(0).integers(0, 200, (12, 12, 1 if kind == "dicom" else 4)).astype(np.int16)
    if kind == "png":
        path = tmp_path / "p.png"
        Image.fromarray(noise[..., 0].astype(np.uint8)).save(path)
    else:
        path = write(kind, tmp_path, noise, AFFINE, write_itk, write_dicom)
        path = next(path.iterdir()) if kind == "dicom" else path
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(20 if kind == "dicom" else 60):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 700), 6):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            scan = Scan.read(path)
        except ScanError:
            continue
        assert torch.isfinite(scan.image).all()


def test_detached_data_missing(tmp_path, ramp, write_itk):
    path = write_itk(tmp_path / "v.mhd", ramp, AFFINE)
    (tmp_path / "v.raw").unlink(missing_ok=True)
    (tmp_path / "v.zraw").unlink(missing_ok=True)
    fails(path, "missing")


def test_time_series(tmp_path, write_itk):
    import SimpleITK as sitk

    nib.save(nib.Nifti1Image(np.random.rand(4, 5, 6, 3).astype(np.float32), AFFINE), tmp_path / "t.nii.gz")
    error = fails(tmp_path / "t.nii.gz", r"has 4 dimensions \(4, 5, 6, 3\): a time series")
    assert "slicer[..., 0]" in error.hint
    nib.save(nib.Nifti1Image(np.random.rand(4, 5, 6, 1, 3).astype(np.float32), AFFINE), tmp_path / "five.nii.gz")
    fails(tmp_path / "five.nii.gz", "has 5 dimensions")
    for name in ("t.nrrd", "t.mha"):
        sitk.WriteImage(sitk.Image([4, 5, 6, 3], sitk.sitkFloat32), str(tmp_path / name))
        fails(tmp_path / name, "has 4 dimensions")
    header = (
        "NRRD0004\ntype: uint8\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 2 2 2\n"
        "space directions: none (1,0,0) (0,1,0) (0,0,1)\nkinds: list domain domain domain\nencoding: raw\n"
        "space origin: (0,0,0)\n\n"
    )
    (tmp_path / "sequence.nrrd").write_bytes(header.encode() + bytes(range(16)))  # as 3D Slicer saves one
    fails(tmp_path / "sequence.nrrd", "has 4 dimensions")
    pages = [Image.fromarray(np.full((4, 4), n, np.uint8)) for n in (1, 2, 3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    fails(tmp_path / "pages.tif", "3 pictures")


def nifti_with(path: Path, offset: int, packed: bytes, values=None) -> Path:
    """Write a NIfTI file and overwrite bytes of its header."""
    nib.save(
        nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5) if values is None else values, AFFINE), path
    )
    data = bytearray(path.read_bytes())
    data[offset : offset + len(packed)] = packed
    path.write_bytes(data)
    return path


def test_empty_volumes(tmp_path):
    fails(nifti_with(tmp_path / "e.nii", 44, struct.pack("<h", 0)), "is empty")
    mha = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 0\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    (tmp_path / "e.mha").write_text(mha)
    fails(tmp_path / "e.mha", "is empty")
    nrrd = "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 0\nencoding: raw\nendian: little\n\n"
    (tmp_path / "e.nrrd").write_text(nrrd)
    fails(tmp_path / "e.nrrd", "is empty")


def test_more_voxels_than_memory(tmp_path):
    most = struct.pack("<3h", 32767, 32767, 32767)
    fails(nifti_with(tmp_path / "m.nii", 42, most), r"\(32767, 32767, 32767\), which does not fit into memory")
    data = (tmp_path / "m.nii").read_bytes()
    (tmp_path / "m.nii.gz").write_bytes(gzip.compress(data))
    fails(tmp_path / "m.nii.gz", "does not fit into memory|truncated")


def test_not_finite_values_are_counted_and_placed(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    values[1, 2, 3] = np.nan
    values[3, 0, 0] = np.inf
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "n.nii.gz")
    fails(tmp_path / "n.nii.gz", r"2 of 120 values are NaN or Inf, the first at voxel \(1, 2, 3\)")


def test_constant_complex_and_huge_values(tmp_path):
    nib.save(nib.Nifti1Image(np.full((4, 5, 6), 7, np.int16), AFFINE), tmp_path / "c.nii.gz")
    fails(tmp_path / "c.nii.gz", "is constant: every voxel is 7")
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.complex64), AFFINE), tmp_path / "z.nii.gz")
    fails(tmp_path / "z.nii.gz", "complex")
    huge = np.arange(120.0).reshape(4, 5, 6)
    huge[0, 0, 1] = 1e300
    nib.save(nib.Nifti1Image(huge, AFFINE), tmp_path / "h.nii.gz")
    fails(tmp_path / "h.nii.gz", "1 of 120 values are NaN or Inf")


def test_singular_affines(tmp_path):
    fails(nifti_with(tmp_path / "s.nii", 280, struct.pack("<4f", 0, 0, 0, 0)), "singular")  # srow_x
    no_form, zero = struct.pack("<2h", 0, 0), struct.pack("<f", 0)  # at 252: qform_code, sform_code; at 88: pixdim[3]
    for name in ("p.nii", "p.nii.gz"):
        image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), None)
        image.header.set_zooms((1, 1, 2))
        nib.save(image, tmp_path / "p.nii")
        data = bytearray((tmp_path / "p.nii").read_bytes())
        data[252:256], data[88:92] = no_form, zero
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        fails(tmp_path / name, "spacing along axis 2 is zero, so the affine is singular")
    assert Scan.read(nifti_with(tmp_path / "q.nii", 88, zero)).spacing == (1, 2, 3)  # the sform says it
    fails(nifti_with(tmp_path / "n.nii", 280, struct.pack("<4f", np.nan, 0, 0, 0)), "NaN or Inf")
    for name, head in {
        "z.mha": "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementSpacing = 1 0 1\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n",
        "z.nrrd": "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\n"
        "space directions: (1,0,0) (0,0,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: raw\nendian: little\n\n",
        "p.nrrd": "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\n"
        "space directions: (1,0,0) (2,0,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: raw\nendian: little\n\n",
    }.items():
        (tmp_path / name).write_bytes(head.encode() + bytes(range(16)))
        fails(tmp_path / name, "singular")


def test_unusual_number_types(tmp_path):
    values = np.arange(60).reshape(3, 4, 5)
    for kind in ("u1", "i1", "u2", "i4", "u4", "f8", "i8"):
        image = nib.Nifti1Image(values.astype(kind), AFFINE, dtype=np.dtype(kind))
        nib.save(image, tmp_path / "v.nii")
        np.testing.assert_array_equal(Scan.read(tmp_path / "v.nii").image[0], values)
    fails(nifti_with(tmp_path / "b.nii", 70, struct.pack("<h", 1)), "NIfTI|damaged")  # 1-bit voxels


def test_a_series_of_a_file_that_is_not_dicom(tmp_path, ramp, write_itk):
    fails(write_itk(tmp_path / "v.mha", ramp, AFFINE), "not DICOM", series="1.2.3")


def test_reading_takes_little_memory(tmp_path):
    """Of each voxel there may be what the file holds, a float32, and little more: 1 GiB is ample for any chest CT."""
    values = np.zeros((256, 256, 64), np.int16)
    values[::3] = 4
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "v.nii")
    tracemalloc.start()
    try:
        Scan.read(tmp_path / "v.nii")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / values.size < 9  # bytes: int16, float32, and the bool mask of finite voxels
