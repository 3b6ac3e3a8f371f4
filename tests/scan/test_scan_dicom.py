"""DICOM: which series, and do its slices really make one volume?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from camlime.errors import ScanError
from camlime.scan import Scan

AFFINE = np.array([[-1.5, 0, 0, 5], [0, -1.5, 0, 6], [0, 0, 3.0, 7], [0, 0, 0, 1]])


def fails(path: Path, match: str, **options) -> ScanError:
    with pytest.raises(ScanError, match=match) as caught:
        Scan.read(path, **options)
    assert caught.value.hint
    return caught.value


def test_slope_and_intercept_of_each_slice(tmp_path, ramp, write_dicom):
    def own_slope(k, ds):
        ds.RescaleSlope = 1 if k == 0 else 0.25 * k
        ds.RescaleIntercept = -1024

    write_dicom(tmp_path, ramp, AFFINE, change=own_slope)
    slopes = np.array([1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5])
    np.testing.assert_allclose(Scan.read(tmp_path).image[0], ramp * slopes - 1024)


def test_several_series_are_listed_and_chosen(tmp_path, ramp, write_dicom):
    one, two = generate_uid(), generate_uid()
    files = write_dicom(tmp_path / "a", ramp, AFFINE, uid=one, description="Sch\u00e4del", modality="MR")
    write_dicom(tmp_path / "b", ramp[:, :, :4] + 1, AFFINE, uid=two, description="thin", modality="CT")
    error = fails(tmp_path, "2 series")
    for part in (one, two, "'thin', 4 slices", "7 slices", "CT", "MR"):
        assert part in error.message
    scan = Scan.read(tmp_path, series=two)
    assert scan.series_uid == two
    np.testing.assert_array_equal(scan.image[0], ramp[:, :, :4] + 1)
    for unknown in ("1.2.3", two[:-1]):
        assert one in fails(tmp_path, f"no series {unknown}", series=unknown).message
    assert Scan.read(files[3]).shape == (9, 8, 7)
    fails(files[3], "belongs to series", series=two)


def test_one_file_stands_for_its_series(tmp_path, ramp, write_dicom):
    other = generate_uid()
    files = write_dicom(tmp_path, ramp, AFFINE)
    write_dicom(tmp_path, ramp[:, :, :3], AFFINE, uid=other)
    scan = Scan.read(files[2])
    assert scan.shape == (9, 8, 7)
    assert scan.source == files[2]
    bare = files[2].rename(tmp_path / "IM0001")  # many exports have no suffix
    np.testing.assert_array_equal(Scan.read(bare).image, scan.image)


def test_a_single_slice(tmp_path, ramp, write_dicom):
    files = write_dicom(tmp_path, ramp[:, :, :1], AFFINE, thickness=4)
    scan = Scan.read(files[0])
    assert scan.shape == (9, 8, 1)
    assert scan.spacing == pytest.approx((1.5, 1.5, 4))


def test_uniform_gaps_larger_than_the_thickness(tmp_path, ramp, write_dicom):
    write_dicom(tmp_path, ramp, AFFINE, thickness=1.0)
    assert Scan.read(tmp_path).spacing == pytest.approx((1.5, 1.5, 3.0))


def test_a_tilted_gantry_shears_the_affine(tmp_path, ramp, write_dicom):
    sheared = AFFINE.copy()
    sheared[1, 2] = -0.7
    write_dicom(tmp_path, ramp, sheared)
    scan = Scan.read(tmp_path)
    np.testing.assert_allclose(scan.affine, sheared, atol=1e-6)
    np.testing.assert_array_equal(scan.image[0], ramp)


def test_jitter_within_the_tolerance(tmp_path, ramp, write_dicom):
    def jitter(k, ds):
        ds.ImagePositionPatient[2] = 7 + 3 * k + (0.05 if k == 3 else 0)

    write_dicom(tmp_path, ramp, AFFINE, change=jitter)
    assert Scan.read(tmp_path).spacing[2] == pytest.approx(3)


def test_a_missing_slice_is_placed(tmp_path, ramp, write_dicom):
    write_dicom(tmp_path, ramp, AFFINE, change=lambda k, ds: k != 4)
    error = fails(tmp_path, r"not evenly spaced: 6\.00 mm between 16\.00 mm .* and 22\.00 mm")
    assert "1 slice was missing" in error.message
    assert "5%" in error.message


def test_uneven_slices(tmp_path, ramp, write_dicom):
    def move(k, ds):
        ds.ImagePositionPatient[2] = 7 + 3 * k + (0.4 if k == 3 else 0)

    write_dicom(tmp_path, ramp, AFFINE, change=move)
    assert "missing" not in fails(tmp_path, r"not evenly spaced: 3\.40 mm").message


def test_a_slice_off_the_line(tmp_path, ramp, write_dicom):
    def move(k, ds):
        ds.ImagePositionPatient[0] = -5 + (2 if k == 3 else 0)

    write_dicom(tmp_path, ramp, AFFINE, change=move)
    fails(tmp_path, "off the line")


def test_a_localizer_in_the_series(tmp_path, ramp, write_dicom):
    def turn(k, ds):
        if k == 2:
            ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    write_dicom(tmp_path / "turned", ramp, AFFINE, change=turn)
    fails(tmp_path / "turned", "different orientations: 6 with .*, 1 with|different orientations: 1 with .*, 6 with")
    uid = generate_uid()
    write_dicom(tmp_path / "sized", ramp, AFFINE, uid=uid)
    large = (np.arange(12 * 12).reshape(12, 12, 1)).astype(np.int16)
    folder = write_dicom(tmp_path / "more", large, AFFINE, uid=uid)
    folder[0].rename(tmp_path / "sized" / "large.dcm")
    fails(tmp_path / "sized", "different sizes: .*7 of 9x8")
    write_dicom(
        tmp_path / "zoomed", ramp, AFFINE, change=lambda k, ds: setattr(ds, "PixelSpacing", [1.5, 1.5 + 0.1 * k])
    )
    fails(tmp_path / "zoomed", "different pixel spacings")


def test_positions_that_occur_twice(tmp_path, ramp, write_dicom):
    uid = generate_uid()
    write_dicom(tmp_path / "a", ramp, AFFINE, uid=uid)
    write_dicom(tmp_path / "b", ramp, AFFINE, uid=uid, change=lambda k, ds: setattr(ds, "AcquisitionNumber", 2))
    fails(tmp_path, r"7 of 14 slices lie where another one lies, .* 2 acquisition number\(s\)")


def test_a_file_that_is_there_twice(tmp_path, ramp, write_dicom):
    files = write_dicom(tmp_path, ramp, AFFINE, change=lambda k, ds: setattr(ds, "AcquisitionTime", f"10100{k}"))
    (tmp_path / "copies").mkdir()
    copy = tmp_path / "copies" / files[3].name
    copy.write_bytes(files[3].read_bytes())
    error = fails(tmp_path, "the same image twice")
    assert f"{files[3]} and {copy}" in error.message
    assert "acquisition" not in error.message


def test_positions_at_two_times(tmp_path, ramp, write_dicom):
    uid = generate_uid()
    write_dicom(tmp_path / "a", ramp, AFFINE, uid=uid, change=lambda k, ds: setattr(ds, "AcquisitionTime", "101000"))
    write_dicom(tmp_path / "b", ramp, AFFINE, uid=uid, change=lambda k, ds: setattr(ds, "AcquisitionTime", "111000"))
    fails(tmp_path, "7 of 14 slices lie where another one lies, .* taken at different times")


def test_slices_without_a_position(tmp_path, ramp, write_dicom):
    def drop(k, ds):
        del ds.ImagePositionPatient

    write_dicom(tmp_path, ramp, AFFINE, change=drop)
    fails(tmp_path, "does not say where it lies")


def test_zero_pixel_spacing_and_broken_orientation(tmp_path, ramp, write_dicom):
    write_dicom(tmp_path / "a", ramp, AFFINE, change=lambda k, ds: setattr(ds, "PixelSpacing", [0, 0]))
    fails(tmp_path / "a", "singular")
    same = [1, 0, 0, 1, 0, 0]
    write_dicom(tmp_path / "b", ramp, AFFINE, change=lambda k, ds: setattr(ds, "ImageOrientationPatient", same))
    fails(tmp_path / "b", "singular")


def test_slices_without_a_pixel_spacing(tmp_path, ramp, write_dicom):
    files = write_dicom(tmp_path / "a", ramp, AFFINE, change=lambda k, ds: delattr(ds, "PixelSpacing"))
    fails(tmp_path / "a", r"does not say how large its pixels are \(PixelSpacing\), so 7 slices")
    alone = tmp_path / "alone"
    alone.mkdir()
    scan = Scan.read(files[0].rename(alone / "a.dcm"))
    assert scan.spacing == (1, 1, 1)
    assert scan.notes == ("a.dcm does not say how large its pixels are (PixelSpacing): they are taken for 1 mm",)

    def scanned_film(k, ds):
        ds.NominalScannedPixelSpacing = ds.PixelSpacing
        del ds.PixelSpacing

    write_dicom(tmp_path / "b", ramp, AFFINE, change=scanned_film)
    assert Scan.read(tmp_path / "b").spacing == pytest.approx((1.5, 1.5, 3))


@pytest.mark.filterwarnings("error")
def test_absurd_numbers(tmp_path, ramp, write_dicom, capfd):
    for name, key, match, value in (
        ("gap", "ImagePositionPatient", r"lies 1e\+09 mm", lambda k: [0, 0, 1e9 * k]),
        ("far", "ImagePositionPatient", r"lies 1e\+300 mm", lambda k: [0, 1e300, k]),
        ("long", "ImagePositionPatient", r"7 voxels of 5e\+03 mm along axis 2 make 35 m", lambda k: [0, 0, 5000 * k]),
        ("wide", "PixelSpacing", r"spacing is 1e\+30 mm", lambda k: [1e30, 1e30]),
        ("fine", "PixelSpacing", "spacing along axis 0 is 8e-07 mm", lambda k: [8e-7, 8e-7]),
        ("turned", "ImageOrientationPatient", "right angles", lambda k: [1e200, 0, 0, 0, 1e200, 0]),
    ):
        write_dicom(tmp_path / name, ramp, AFFINE, change=lambda k, ds, key=key, of=value: setattr(ds, key, of(k)))
        capfd.readouterr()
        fails(tmp_path / name, match)
        assert capfd.readouterr() == ("", "")


def test_folders_without_dicom(tmp_path):
    fails(tmp_path, "no DICOM")
    (tmp_path / "notes.txt").write_text("hello")
    fails(tmp_path, "no DICOM")
    (tmp_path / "fake.dcm").write_text("hello" * 100)
    fails(tmp_path, "is not a DICOM file")


@pytest.mark.parametrize("part", [0.2, 0.6, 0.99])
def test_truncated_slice(part, tmp_path, ramp, write_dicom, capfd):
    files = write_dicom(tmp_path, ramp, AFFINE)
    whole = files[3].read_bytes()
    files[3].write_bytes(whole[: int(len(whole) * part)])
    error = fails(tmp_path, "truncated")
    assert files[3].name in error.message
    files[3].write_bytes(b"")
    if part == 0.2:
        assert files[3].name in fails(tmp_path, "zero bytes").message
    assert capfd.readouterr() == ("", "")


def test_reports_beside_the_slices_are_passed_over(tmp_path, ramp, write_dicom):
    files = write_dicom(tmp_path, ramp, AFFINE)
    report = pydicom.dcmread(files[0])
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated"):
        delattr(report, name)
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.Modality = "SR"
    report.save_as(tmp_path / "report.dcm")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    assert Scan.read(tmp_path).shape == (9, 8, 7)


def test_multi_frame_files_are_refused(tmp_path, ramp, write_dicom):
    def frames(k, ds):
        ds.NumberOfFrames = 7
        ds.PixelData = np.ascontiguousarray(ramp.T).tobytes()

    write_dicom(tmp_path, ramp[:, :, :1], AFFINE, change=frames)
    fails(tmp_path, "multi-frame .* 7 frames")


# ---- real data


@pytest.mark.data
def test_public_oblique_mr(dicom_data):
    folder = dicom_data / "brain_mr"
    error = fails(folder, "4 series")
    assert error.message.count("22 slices") == 4
    for series in sorted(folder.iterdir()):
        files = sorted(series.glob("*.dcm"))
        scan = Scan.read(series)
        headers = [pydicom.dcmread(file) for file in files]
        assert scan.shape == (headers[0].Columns, headers[0].Rows, len(files))
        for header in headers[::5]:  # each slice's own header says where its pixels lie
            cosines = np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
            row, column = 131, 77
            step_y, step_x = map(float, header.PixelSpacing)
            lps = np.array(header.ImagePositionPatient, dtype=float)
            lps += cosines[0] * step_x * column + cosines[1] * step_y * row
            index = scan.ras_to_voxel(lps * (-1, -1, 1))
            np.testing.assert_allclose(index[:2], (column, row), atol=1e-2)
            assert abs(index[2] - round(index[2])) < 1e-2
            value = header.pixel_array[row, column] * float(getattr(header, "RescaleSlope", 1))
            value += float(getattr(header, "RescaleIntercept", 0))
            i, j, k = np.rint(index).astype(int)
            assert scan.image[0, i, j, k] == pytest.approx(value)


@pytest.mark.data
def test_public_chest_ct(dicom_data):
    scan = Scan.read(dicom_data / "chest_ct")
    assert scan.shape == (512, 512, 99)
    assert scan.spacing == pytest.approx((0.564453125, 0.564453125, 3.0))
    assert scan.image.min() >= -1024
    assert len(np.unique(scan.image[0, ::50, ::50].numpy())) > 100
