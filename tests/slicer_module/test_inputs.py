"""Volumes and segmentations reach the engine with their voxels where they are in the patient."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.slicer_panel import bootstrapped

bootstrapped()

import slicer  # noqa: E402
import slicer.util  # noqa: E402
import vtk  # noqa: E402
from SlicerXAILib import inputs  # noqa: E402
from SlicerXAILib.inputs import (  # noqa: E402
    Plane,
    ScanFiles,
    affine_of,
    header_of,
    pixels_of,
    plane_affine,
    plane_of,
)
from SlicerXAILib.label_maps import label_job, segment_mask  # noqa: E402
from SlicerXAILib.problems import InputError  # noqa: E402

from camlime.scan import Scan, load_label_map  # noqa: E402
from camlime.worker.requests import HEADER  # noqa: E402


@pytest.fixture
def oblique(small_volume: Any) -> Any:
    """The small volume with axes that are not those of the patient."""
    angle = 0.4
    turned = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, -1]]
    small_volume.SetIJKToRASDirections(*np.ravel(turned))
    return small_volume


def test_the_file_holds_every_voxel_at_its_index(oblique, tmp_path):
    field = ScanFiles(tmp_path).job(oblique, None).write()
    array = np.load(field["array"])
    assert array.shape == (1, 12, 10, 8)
    for i, j, k in ((0, 0, 0), (11, 0, 3), (4, 9, 7)):
        assert array[0, i, j, k] == oblique.GetImageData().GetScalarComponentAsDouble(i, j, k, 0)
    scan = Scan.from_array(array, np.array(field["affine_ras"]))
    ras = [0.0, 0.0, 0.0, 1.0]
    matrix = vtk.vtkMatrix4x4()
    oblique.GetIJKToRASMatrix(matrix)
    matrix.MultiplyPoint([4, 9, 7, 1], ras)
    assert np.allclose(scan.voxel_to_ras((4, 9, 7)), ras[:3])


def test_a_parent_transform_is_not_in_the_affine(oblique, tmp_path):
    before = affine_of(oblique)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moved = vtk.vtkMatrix4x4()
    moved.SetElement(0, 3, 100)
    transform.SetMatrixTransformToParent(moved)
    oblique.SetAndObserveTransformNodeID(transform.GetID())
    assert np.array_equal(affine_of(oblique), before)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_lies_where_its_voxels_lie_in_the_volume(oblique, axis):
    plane = Plane(axis, 5)
    pixels, affine = plane_of(pixels_of(oblique), plane), plane_affine(affine_of(oblique), plane)
    others = [a for a in range(3) if a != axis]
    for a, b in ((0, 0), (3, 2), (7, 6)):
        index = np.zeros(3, dtype=int)
        index[axis], index[others[0]], index[others[1]] = 5, a, b
        assert pixels[0, a, b] == pixels_of(oblique)[(0, *index)]
        assert np.allclose(affine @ [a, b, 0, 1], affine_of(oblique) @ [*index, 1])


def test_colours_become_channels_and_opacity_goes(slicer_scene, tmp_path):
    node = slicer_scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    colours = np.arange(1 * 3 * 5 * 4, dtype=np.uint8).reshape(1, 3, 5, 4)
    slicer.util.updateVolumeFromArray(node, colours)
    array = np.load(ScanFiles(tmp_path).job(node, Plane(2, 0), channels=3).write()["array"])
    assert array.shape == (3, 5, 3)
    assert array[1, 4, 2] == colours[0, 2, 4, 1]


def test_a_volume_is_written_once_and_again_after_it_changed(small_volume, tmp_path):
    files = ScanFiles(tmp_path)
    first = files.job(small_volume, None).write()["array"]
    assert files.job(small_volume, None).write()["array"] == first
    slicer.util.arrayFromVolume(small_volume)[0, 0, 0] = 99
    slicer.util.arrayFromVolumeModified(small_volume)
    second = files.job(small_volume, None).write()["array"]
    assert second != first
    assert np.load(second)[0, 0, 0, 0] == 99


@pytest.mark.parametrize(
    ("uids", "is_open", "told"),
    [
        ("1.2 1.3", True, {"modality": "MR", "series_description": "Ax FLAIR", "protocol_name": "p" * 256}),
        ("1.9", True, None),
        ("1.2 1.3", False, None),
        ("", True, None),
        (None, True, None),
    ],
)
def test_of_a_dicom_header_only_what_tells_the_sequence_travels(
    small_volume, tmp_path, monkeypatch, uids, is_open, told
):
    header = {"0008,0060": "MR ", "0008,103E": "Ax\n  FLAIR\0", "0018,1030": "p" * 300, "0010,0010": "Doe^Jane"}
    values = {"1.2": header, "1.3": {"0008,0060": "CT"}}
    database = SimpleNamespace(isOpen=is_open, instanceValue=lambda uid, tag: values.get(uid, {}).get(tag, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    if uids is not None:
        small_volume.SetAttribute("DICOM.instanceUIDs", uids)
    field = ScanFiles(tmp_path).job(small_volume, Plane(2, 3)).write()
    assert field.get("header") == told
    assert "Doe" not in str(field)


def test_without_a_dicom_database_there_is_no_header(small_volume, monkeypatch):
    monkeypatch.delattr(slicer, "dicomDatabase", raising=False)
    small_volume.SetAttribute("DICOM.instanceUIDs", "1.2")
    assert header_of(small_volume) == {}


def test_the_header_has_the_workers_names():
    assert set(inputs._HEADER) == set(HEADER)


def test_an_empty_volume_and_a_slice_beyond_are_messages(slicer_scene, small_volume, tmp_path):
    empty = slicer_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    with pytest.raises(InputError, match="hollow"):
        ScanFiles(tmp_path).job(empty, None)
    with pytest.raises(InputError, match="8"):
        ScanFiles(tmp_path).job(small_volume, Plane(2, 8))


def test_segments_arrive_with_names_on_the_voxels_that_they_cover(oblique, slicer_scene, tmp_path):
    segmentation = slicer_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(oblique)
    masks = {"left lung": np.zeros((8, 10, 12), np.uint8), "empty": np.zeros((8, 10, 12), np.uint8)}
    masks["left lung"][2:5, 1:4, 6:9] = 1
    for name, mask in masks.items():
        segment = segmentation.GetSegmentation().AddEmptySegment("", name)
        if mask.any():
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, oblique)
    before = slicer_scene.GetNumberOfNodes()
    job = label_job(segmentation, oblique)
    assert [
        n.GetClassName() for n in map(slicer_scene.GetNthNode, range(before, slicer_scene.GetNumberOfNodes()))
    ] == []
    assert np.array_equal(job.labels, masks["left lung"].T)
    read, affine, read_names = load_label_map(job.write(tmp_path / "regions.seg.nrrd"))
    assert read_names == {1: "left lung"}
    assert np.array_equal(read, masks["left lung"].T)
    assert np.allclose(affine, affine_of(oblique), atol=1e-5)

    plane = Plane(0, 7)
    assert np.array_equal(
        segment_mask(segmentation, segmentation.GetSegmentation().GetNthSegmentID(0), oblique, plane), read[7] == 1
    )
    with pytest.raises(InputError, match="no voxel"):
        segment_mask(segmentation, segmentation.GetSegmentation().GetNthSegmentID(1), oblique)
    with pytest.raises(InputError, match="no longer"):
        segment_mask(segmentation, "gone", oblique)


def test_names_of_any_letters_arrive_and_a_segmentation_that_covers_nothing_is_a_message(
    small_volume, slicer_scene, tmp_path
):
    segmentation = slicer_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "hollow")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(small_volume)
    name = "Läsion := 3; a\\b"
    segment = segmentation.GetSegmentation().AddEmptySegment("", name)
    with pytest.raises(InputError, match="hollow"):
        label_job(segmentation, small_volume).write(tmp_path / "none.seg.nrrd")
    assert not list(tmp_path.iterdir())
    mask = np.zeros((8, 10, 12), np.uint8)
    mask[2, 3, 4] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, small_volume)
    assert load_label_map(label_job(segmentation, small_volume).write(tmp_path / "one.seg.nrrd"))[2] == {1: name}
