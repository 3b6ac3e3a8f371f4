"""An explanation as DICOM: valid, on the patient, and read back by other software to the same voxels."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_case import GEOMETRIES, SERIES_UID, SOURCE_SHAPE, affine_of, explanation_of, write_series

from camlime.bundle.model_input import ModelInput
from camlime.errors import OutputError, RequestError, ScanError
from camlime.explanation import Explanation
from camlime.export.dicom import export_dicom
from camlime.export.dicom.codes import described
from camlime.levels import case_levels
from camlime.regions import Regions
from camlime.scan import Scan

hd = pytest.importorskip("highdicom", reason="needs highdicom: pip install camlime[dicom]")
pydicom = pytest.importorskip("pydicom")

FILES = ["segmentation", "gradcam", "lime", "lime_std", "fused", "fused_std", "report", "overview"]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(params=GEOMETRIES)
def geometry(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Exports of each geometry, made once."""
    done: dict[str, tuple[Explanation, Path, Path]] = {}

    def export(geometry: str) -> tuple[Explanation, Path, Path]:
        if geometry not in done:
            root = tmp_path_factory.mktemp("dicom")
            source = write_series(root / "source", geometry)
            explanation = explanation_of(geometry)
            files = export_dicom(explanation, source, root / "out")
            assert [file.stem for file in files] == FILES
            assert sorted(p.name for p in (root / "out").iterdir()) == sorted(file.name for file in files)
            done[geometry] = (explanation, source, root / "out")
        return done[geometry]

    return export


def nearest_voxel_values(volume: np.ndarray, affine: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Slow and obvious: each source voxel's centre looked up in the other grid, 0 outside; (columns, rows, slices)."""
    result = np.zeros(SOURCE_SHAPE, dtype=volume.dtype)
    back = np.linalg.inv(affine)
    for index in np.ndindex(*SOURCE_SHAPE):
        at = (back @ target @ [*index, 1.0])[:3]
        nearest = np.floor(at + 0.5 - 1e-9).astype(int)
        if (at >= -0.5 - 1e-9).all() and (at <= np.array(volume.shape) - 0.5 + 1e-9).all():
            result[index] = volume[tuple(np.clip(nearest, 0, np.array(volume.shape) - 1))]
    return result


def linear_values(volume: np.ndarray, affine: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Slow and obvious trilinear interpolation, edge voxels continued to their outer edge; (columns, rows, slices)."""
    result = np.zeros(SOURCE_SHAPE)
    back = np.linalg.inv(affine)
    top = np.array(volume.shape) - 1
    for index in np.ndindex(*SOURCE_SHAPE):
        at = (back @ target @ [*index, 1.0])[:3]
        if (at < -0.5 - 1e-9).any() or (at > top + 0.5 + 1e-9).any():
            continue
        at = np.clip(at, 0, top)
        low = np.minimum(np.floor(at).astype(int), np.maximum(top - 1, 0))
        share = at - low
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(corner, share, 1 - share))
            result[index] += weight * volume[tuple(np.minimum(low + corner, top))]
    return result


def placed(positions: np.ndarray, geometry: str) -> list[int]:
    """Which source slice each LPS position belongs to; every one must be one's own."""
    target = LPS @ affine_of(geometry)
    own = np.array([target[:3] @ [0, 0, k, 1] for k in range(SOURCE_SHAPE[2])])
    distance = np.linalg.norm(positions[:, None] - own[None], axis=-1)
    assert distance.min(axis=1).max() < 1e-4
    return distance.argmin(axis=1).tolist()


def test_segments_lie_where_the_levels_are(exported: Any, geometry: str) -> None:
    explanation, _, out = exported(geometry)
    dataset = hd.seg.segread(out / "segmentation.dcm")
    levels = case_levels(explanation)
    assert levels is not None and levels.agreement is not None
    affine, target = explanation.input.affine, affine_of(geometry)
    truth = {label: nearest_voxel_values(levels.evidence, affine, target) == label for label in (1, 2, 3)}
    truth |= {label: nearest_voxel_values(levels.agreement, affine, target) == label for label in (4, 5)}
    found = {label: np.zeros(SOURCE_SHAPE, dtype=bool) for label in truth}
    for frame, functional in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        label = functional.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = np.array([functional.PlanePositionSequence[0].ImagePositionPatient], dtype=float)
        found[label][:, :, placed(position, geometry)[0]] |= frame.T > 0
    assert sum(mask.sum() for mask in truth.values()) > 100
    for label, mask in truth.items():
        np.testing.assert_array_equal(found[label], mask)


def test_maps_hold_the_interpolated_values(exported: Any, geometry: str) -> None:
    explanation, _, out = exported(geometry)
    for name in ("gradcam", "fused", "fused_std"):
        dataset = hd.pm.ParametricMap.from_dataset(pydicom.dcmread(out / f"{name}.dcm"))
        attribution = explanation.attributions[name.removesuffix("_std")]
        values = attribution.std if name.endswith("_std") else attribution.values
        truth = linear_values(np.asarray(values, dtype=float), explanation.input.affine, affine_of(geometry))
        positions = np.array(
            [f.PlanePositionSequence[0].ImagePositionPatient for f in dataset.PerFrameFunctionalGroupsSequence],
            dtype=float,
        )
        slices = placed(positions, geometry)
        assert slices == [2, 3, 4, 5, 6]
        np.testing.assert_allclose(dataset.pixel_array.transpose(2, 1, 0), truth[:, :, slices], atol=1e-5)


def test_all_belong_to_the_patient_and_refer_to_the_series(exported: Any) -> None:
    _, source, out = exported("oblique")
    header = pydicom.dcmread(next(source.iterdir()), stop_before_pixels=True)
    slices = {pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID for file in source.iterdir()}
    objects = {name: pydicom.dcmread(out / f"{name}.dcm") for name in FILES}
    for dataset in objects.values():
        for key in ("PatientID", "PatientName", "StudyInstanceUID"):
            assert dataset[key].value == header[key].value
        assert dataset.SeriesInstanceUID != SERIES_UID
    assert len({dataset.SOPInstanceUID for dataset in objects.values()}) == len(objects)
    assert len({dataset.SeriesInstanceUID for dataset in objects.values()}) == 4
    for name in ("segmentation", "fused"):
        assert objects[name].FrameOfReferenceUID == header.FrameOfReferenceUID
        assert objects[name].ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES_UID
        for functional in objects[name].PerFrameFunctionalGroupsSequence:
            [image] = functional.DerivationImageSequence[0].SourceImageSequence
            assert image.ReferencedSOPInstanceUID in slices
    referred = objects["report"].CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {SERIES_UID, objects["segmentation"].SeriesInstanceUID} == {one.SeriesInstanceUID for one in referred}


def test_all_say_of_identity_what_the_source_says(tmp_path: Path) -> None:
    def change(ds: Any) -> None:
        ds.PatientIdentityRemoved, ds.DeidentificationMethod = "YES", "by hand"
        ds.LongitudinalTemporalInformationModified = "MODIFIED"

    source = write_series(tmp_path / "source", "straight", change=change)
    for file in export_dicom(explanation_of("straight"), source, tmp_path / "out"):
        dataset = pydicom.dcmread(file)
        assert (dataset.PatientIdentityRemoved, dataset.DeidentificationMethod) == ("YES", "by hand"), file
        assert dataset.LongitudinalTemporalInformationModified == "MODIFIED"


def test_a_report_of_work_that_was_stopped_is_partial(tmp_path: Path) -> None:
    source = write_series(tmp_path / "source", "straight")
    stopped = dataclasses.replace(explanation_of("straight"), complete=False)
    files = {file.stem: file for file in export_dicom(stopped, source, tmp_path / "out")}
    report = pydicom.dcmread(files["report"])
    assert report.CompletionFlag == "PARTIAL"
    assert "stopped on the way" in report.to_json()


def test_the_objects_of_one_slice_lie_on_it(tmp_path: Path) -> None:
    """Of an oblique series, one 2D slice: its own frame in each object, and no other slice in the report."""
    source = write_series(tmp_path / "source", "oblique")
    whole, k = explanation_of("oblique"), 4
    affine = affine_of("oblique")
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    affine[:3, 3] = affine[:3] @ [4.0, 3.0, k, 1.0]
    affine[:3, :2] *= 0.5
    affine[:3, 2] = normal / np.linalg.norm(normal) * np.sign(normal @ affine_of("oblique")[:3, 2])
    flat = dataclasses.replace(
        whole,
        input=ModelInput(whole.input.image[..., 0], affine, whole.input.valid[..., 0], whole.input.spacing[:2]),
        regions=Regions(whole.regions.labels[..., 0]),
        attributions={
            name: dataclasses.replace(one, values=one.values[..., 0], std=None if one.std is None else one.std[..., 0])
            for name, one in whole.attributions.items()
        },
    )
    files = {file.stem: file for file in export_dicom(flat, source, tmp_path / "out")}
    assert set(files) == set(FILES)
    for name in ("segmentation", "gradcam", "fused"):
        groups = pydicom.dcmread(files[name]).PerFrameFunctionalGroupsSequence
        positions = np.array([g.PlanePositionSequence[0].ImagePositionPatient for g in groups], dtype=float)
        assert set(placed(positions, "oblique")) == {k}
    [prediction] = hd.sr.srread(files["report"]).content.get_image_measurement_groups()
    assert sum(item.ValueType == "IMAGE" for item in prediction[0].ContentSequence) == 1


def test_segments_say_what_they_are(exported: Any) -> None:
    _, _, out = exported("oblique")
    dataset = hd.seg.segread(out / "segmentation.dcm")
    assert dataset.segment_numbers == [1, 2, 3, 4, 5]
    first = dataset.get_segment_description(1)
    assert first.segment_label == "Strong evidence for"
    assert (first.segmented_property_type.value, first.segmented_property_type.scheme_designator) == (
        "strong_for",
        "99CAMLIME",
    )
    assert first.segmented_property_category.scheme_designator == "SCT"
    assert dataset.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99CAMLIME"


@pytest.mark.parametrize(
    ("outside", "unconfirmed", "comment"),
    [
        ("'Ax FLAIR' speaks of flair", False, "Outside the training domain ('Ax FLAIR' speaks of flair): no class."),
        (None, True, "No class: nobody said that the image shows a nodule."),
        (None, False, "Presumes that the image shows a nodule."),
    ],
)
def test_the_report_has_no_class_where_there_is_none(
    exported: Any, tmp_path: Path, outside: str | None, unconfirmed: bool, comment: str
) -> None:
    explanation, source, _ = exported("oblique")
    prediction = dataclasses.replace(explanation.prediction, outside_because=outside, presumes="a nodule")
    prediction = dataclasses.replace(prediction, unconfirmed=unconfirmed)
    told = dataclasses.replace(explanation, prediction=prediction)
    files = {file.stem: file for file in export_dicom(told, source, tmp_path / "out")}
    [group] = hd.sr.srread(files["report"]).content.get_image_measurement_groups()
    said = {q.name.meaning for q in group.get_qualitative_evaluations()}
    assert ("Predicted class" in said) is prediction.has_class
    assert len(group.get_measurements()) == (2 if prediction.has_class else 0)
    comments = [i.value for i in group[0].ContentSequence if i.ValueType == "TEXT" and i.name.meaning == "Comment"]
    assert comments[1] == comment
    about = [q.name.meaning for q in group.get_qualitative_evaluations() if q.name.value == "explained"]
    without = "Class that the maps are about; the image was given no class"
    assert about == ["Explained class" if prediction.has_class else without]


@pytest.mark.parametrize(
    "name", ["bright", "a name that is longer than any list of series in a viewer shows to its reader"]
)
@pytest.mark.parametrize("unconfirmed", [False, True])
def test_every_series_says_where_there_is_no_class(exported: Any, tmp_path: Path, name: str, unconfirmed: bool) -> None:
    explanation, source, _ = exported("oblique")
    prediction = dataclasses.replace(explanation.prediction, presumes="a nodule", unconfirmed=unconfirmed)
    prediction = dataclasses.replace(prediction, probabilities={"dark": 0.2, name: 0.8}, most_probable=name)
    told = dataclasses.replace(explanation, prediction=prediction, explained_class=name)
    datasets = {f.stem: pydicom.dcmread(f) for f in export_dicom(told, source, tmp_path / "out")}
    said = {stem: dataset.SeriesDescription for stem, dataset in datasets.items()}
    said |= {f"{stem} content": d.ContentDescription for stem, d in datasets.items() if "ContentDescription" in d}
    assert {"segmentation content", "fused_std content"} <= set(said)
    for text in said.values():
        assert len(text) <= 64
        assert f" for {name[:6]}" in text
        assert text.endswith(", no class") is unconfirmed, text
    assert ("prediction" in said["report"]) is not unconfirmed
    if name == "bright" and unconfirmed:
        assert said["report"] == "camlime evidence for bright, no class"
        assert said["fused_std content"] == "Fused, one SD for bright, no class"


def test_a_method_with_an_endless_name_leaves_room_for_what_matters() -> None:
    """Names of methods are read from a folder, which anybody may have written."""
    explanation = explanation_of("straight")
    unseen = dataclasses.replace(explanation.prediction, unconfirmed=True)
    said = described("m" * 200, dataclasses.replace(explanation, prediction=unseen))
    assert len(said) <= 64
    assert said.endswith(", no class")


def test_the_report_holds_prediction_levels_and_regions(exported: Any) -> None:
    explanation, _, out = exported("oblique")
    report = hd.sr.srread(out / "report.dcm").content
    [prediction] = report.get_image_measurement_groups()
    probabilities = {m.name.meaning: m.value for m in prediction.get_measurements()}
    assert probabilities == {"Probability of benign": 0.07, "Probability of malig/nant <b>": 0.93}
    said = {q.name.meaning: q.value.meaning for q in prediction.get_qualitative_evaluations()}
    assert said["Predicted class"] == "malig/nant <b>"
    assert said["Agreement of CAM and masked images"] == "concordant"
    texts = [(i.name.meaning, i.value) for i in prediction[0].ContentSequence if i.ValueType == "TEXT"]
    assert ("Algorithm Name", "Test") in texts and ("Algorithm Version", "1.0") in texts  # the model, not this program
    comments = [value for name, value in texts if name == "Comment"]
    assert comments == ["For research, not for diagnosis.", "the answer means <nothing>"]
    images = [i for i in prediction[0].ContentSequence if i.ValueType == "IMAGE"]
    assert len(images) == 5  # the slices that the network saw, no others
    groups = report.get_volumetric_roi_measurement_groups()
    levels = [group for group in groups if group.finding_type.value != "region"]
    regions = [group for group in groups if group.finding_type.value == "region"]
    assert [g.finding_type.value for g in levels] == ["strong_for", "against", "agreement", "conflict"]
    rows = sorted(explanation.region_table(), key=lambda row: -abs(row["weight"]))
    for group, row in zip(regions, rows, strict=True):
        measured = [m.value for m in group.get_measurements()]
        assert measured == pytest.approx([row["weight"], row["standard_error"], row["volume_ml"]], rel=1e-5)
        [centre] = group.roi.graphic_data
        np.testing.assert_allclose(LPS[:3, :3] @ centre, row["centre_ras_mm"], atol=1e-4)


def test_nothing_names_the_scan_but_the_patient_module(exported: Any) -> None:
    _, source, out = exported("oblique")
    for name in FILES:
        dataset = pydicom.dcmread(out / f"{name}.dcm")
        text = str(dataset)
        assert "Doe_Jane" not in text and str(source) not in text
    assert pydicom.dcmread(out / "overview.dcm").BurnedInAnnotation == "NO"


@pytest.mark.parametrize("name", FILES)
def test_dciodvfy_finds_no_error(exported: Any, name: str) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy: apt-get install dicom3tools")
    for geometry in ("oblique", "tilted gantry"):
        _, _, out = exported(geometry)
        done = subprocess.run(["dciodvfy", str(out / f"{name}.dcm")], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert "Error" not in said, said
        warnings = [line for line in said.splitlines() if line.startswith("Warning")]
        # A private scheme; PS3.3 C.8.32.2 has QUANTITY, dicom3tools has not; the source does not say which side it is.
        known = ("99CAMLIME", "<QUANTITY>", "<Laterality>")
        assert [line for line in warnings if not any(one in line for one in known)] == []


def test_dcmqi_reads_the_same_voxels(exported: Any, geometry: str, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    segments, maps = tool("segimage2itkimage"), tool("paramap2itkimage")
    if segments is None or maps is None:
        pytest.skip("needs dcmqi: pip install camlime[test]")
    if geometry == "tilted gantry":
        pytest.skip("dcmqi makes ITK images, which cannot be sheared")
    explanation, _, out = exported(geometry)
    levels = case_levels(explanation)
    assert levels is not None
    run = [segments, "--inputDICOM", out / "segmentation.dcm", "--outputDirectory", tmp_path]
    subprocess.run([*map(str, run), "--outputType", "nrrd", "--prefix", "seg"], capture_output=True, check=True)
    affine, target = explanation.input.affine, affine_of(geometry)
    for label in (1, 3):
        image = sitk.ReadImage(str(tmp_path / f"seg-{label}.nrrd"))
        assert voxels_on_source(sitk.GetArrayFromImage(image).T, image, geometry) == set(
            map(tuple, np.argwhere(nearest_voxel_values(levels.evidence, affine, target) == label))
        )
    run = [maps, "--inputDICOM", out / "gradcam.dcm", "--outputDirectory", tmp_path]
    subprocess.run([*map(str, run), "--outputType", "nrrd", "--prefix", "map"], capture_output=True, check=True)
    image = sitk.ReadImage(str(tmp_path / "map-pmap.nrrd"))
    truth = linear_values(explanation.attributions["gradcam"].values.astype(float), affine, target)
    found = sitk.GetArrayFromImage(image).T
    for index in np.argwhere(np.abs(found) > 0):
        at = on_source(index, image, geometry)
        assert found[tuple(index)] == pytest.approx(truth[at], abs=1e-5)
    assert np.count_nonzero(found) == np.count_nonzero(np.abs(truth) > 0)


@pytest.mark.data
def test_a_real_oblique_series_comes_back_from_dcmqi(data_dir: Path, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    source, maps = data_dir / "dicom" / "brain_mr" / "11_T1post_18670", tool("paramap2itkimage")
    if not source.is_dir() or maps is None:
        pytest.skip(f"needs dcmqi and {source}")
    scan = Scan.read(source)
    made = explanation_of("straight", series_uid=scan.series_uid)
    inner = scan.affine.copy()
    inner[:3, 3] = scan.voxel_to_ras([100, 120, 8])  # the scan's own voxels: nothing is interpolated
    moved = dataclasses.replace(made, input=dataclasses.replace(made.input, affine=inner))
    export_dicom(moved, source, tmp_path / "out")
    if shutil.which("dciodvfy") is not None:
        for name in FILES:
            run = ["dciodvfy", str(tmp_path / "out" / f"{name}.dcm")]
            assert "Error" not in subprocess.run(run, capture_output=True, text=True, check=False).stderr
    run = [maps, "--inputDICOM", str(tmp_path / "out" / "gradcam.dcm"), "--outputDirectory", str(tmp_path)]
    subprocess.run([*run, "--outputType", "nrrd", "--prefix", "map"], capture_output=True, check=True)
    image = sitk.ReadImage(str(tmp_path / "map-pmap.nrrd"))
    values, back = made.attributions["gradcam"].values, sitk.GetArrayFromImage(image).T
    for index in np.ndindex(*values.shape):
        point = (LPS @ inner @ [*index, 1.0])[:3]
        at = image.TransformPhysicalPointToIndex(point.tolist())
        assert back[tuple(at)] == pytest.approx(values[index], abs=1e-6)


def tool(name: str) -> str | None:
    """A program of the package dcmqi: beside this Python, or on the path."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def on_source(index: np.ndarray, image: Any, geometry: str) -> tuple[int, ...]:
    """The source voxel whose centre a voxel of an ITK image has."""
    point = np.array([*image.TransformIndexToPhysicalPoint([int(i) for i in index]), 1.0])
    at = (np.linalg.inv(LPS @ affine_of(geometry)) @ point)[:3]
    assert np.abs(at - np.rint(at)).max() < 1e-3
    return tuple(int(i) for i in np.rint(at))


def voxels_on_source(array: np.ndarray, image: Any, geometry: str) -> set[tuple[int, ...]]:
    return {on_source(index, image, geometry) for index in np.argwhere(array)}


def test_an_explanation_without_maps_still_has_a_prediction(tmp_path: Path) -> None:
    source = write_series(tmp_path / "source", "straight")
    files = export_dicom(explanation_of("straight", complete=False), source, tmp_path / "out")
    assert [file.stem for file in files] == ["report", "overview"]
    assert len(hd.sr.srread(files[0]).content.get_image_measurement_groups()) == 1


@pytest.mark.parametrize(
    ("series_uid", "part", "error", "said"),
    [
        (None, 9, ScanError, "not of a DICOM series"),
        ("1.2.3", 9, ScanError, "no series 1.2.3"),
        (SERIES_UID, 3, ScanError, "cover only"),
    ],
)
def test_the_wrong_series_is_refused(
    tmp_path: Path, series_uid: str | None, part: int, error: type[Exception], said: str
) -> None:
    source = write_series(tmp_path / "source", "straight")
    for file in sorted(source.iterdir(), key=lambda f: pydicom.dcmread(f).ImagePositionPatient[2])[part:]:
        file.unlink()
    with pytest.raises(error, match=said):
        export_dicom(explanation_of("straight", series_uid=series_uid), source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_headers_that_lack_what_is_needed_are_refused(tmp_path: Path) -> None:
    source = write_series(tmp_path / "source", "straight", change=lambda ds: ds.__delitem__("FrameOfReferenceUID"))
    with pytest.raises(ScanError, match="FrameOfReferenceUID"):
        export_dicom(explanation_of("straight"), source, tmp_path / "out")


def test_the_source_folder_is_kept_clean(tmp_path: Path) -> None:
    source = write_series(tmp_path / "source", "straight")
    with pytest.raises(RequestError, match="source series"):
        export_dicom(explanation_of("straight"), source, source / "out")


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    source = write_series(tmp_path / "source", "straight")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.dcm").mkdir()
    with pytest.raises(OutputError, match=r"report\.dcm"):
        export_dicom(explanation_of("straight"), source, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["report.dcm"]
