"""A scene file, opened by 3D Slicer's own MRML: what is in it, where it lies, how it is shown; and its errors."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs the slicer extra: slicer-core")
pytest.importorskip("pydicom", reason="needs the dicom extra: pydicom")

import slicer.util
from support.dicom_case import affine_of, explanation_of, write_series
from support.report_case import evidence, picture_explanation
from support.slicer_desk import Desk

from camlime.errors import OutputError, RequestError
from camlime.explanation import Explanation
from camlime.export.scene import export_scene, process, writing
from camlime.levels import GROUP_NAMES, GROUPS, LEVELS, case_levels
from camlime.scan import Scan, save_volume

HOTTEST = (11, 4, 2)


def case(geometry: str = "oblique", **changes: Any) -> Explanation:
    """Of a part of a series; the fused map is hottest at one voxel and speaks against the class around another."""
    made = explanation_of(geometry, **changes)
    index = np.stack(np.indices(made.input.spatial_shape), axis=-1)
    blob = 2 * np.exp(-((index - HOTTEST) ** 2).sum(axis=-1) / 6) - np.exp(-((index - (3, 9, 2)) ** 2).sum(axis=-1) / 6)
    fused = replace(
        made.attributions["fused"], values=blob.astype(np.float32), std=np.full(blob.shape, 0.1, np.float32)
    )
    name = made.explained_class
    return replace(made, attributions={**made.attributions, "fused": fused}, evidence={"fused": evidence(name)})


def point_of(explanation: Explanation) -> np.ndarray:
    return (explanation.input.affine @ [*HOTTEST, 1.0])[:3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The explanation of an oblique series, beside that series."""
    root = tmp_path_factory.mktemp("scene")
    case().save(root / "explanation")
    write_series(root / "series", "oblique")
    return root


@pytest.fixture(scope="module")
def opened(folder: Path) -> Iterator[Desk]:
    """The scene with the whole scan, opened."""
    file = export_scene(folder / "explanation", folder / "Öffnen.mrb", scan=folder / "series")
    assert file == folder / "Öffnen.mrb" and sorted(p.name for p in folder.iterdir()) == sorted(
        ["explanation", "series", file.name]
    )
    desk = opened_in_slicer(file)
    yield desk
    desk.close()


def opened_in_slicer(file: Path) -> Desk:
    desk = Desk((200, 160))
    cache = file.parent.parent / f"cache {file.stem}"
    cache.mkdir(exist_ok=True)
    desk.allow_bundles(str(cache))
    assert desk.scene.ReadFromMRB(str(file))
    return desk


def explained(desk: Desk) -> Any:
    from SlicerXAILib.scene_nodes import SceneExplanation

    (found,) = SceneExplanation.all_in(desk.scene)
    return found


def voxels(node: Any) -> np.ndarray:
    return slicer.util.arrayFromVolume(node).transpose(2, 1, 0)


def affine(node: Any) -> np.ndarray:
    from SlicerXAILib.views import ijk_to_ras

    return ijk_to_ras(node)


def test_the_whole_scan_lies_below_with_its_own_voxels_and_place(opened: Desk, folder: Path) -> None:
    scan, node = Scan.read(folder / "series"), explained(opened).input_node
    np.testing.assert_array_equal(voxels(node), scan.image[0].numpy())
    assert voxels(node).dtype == np.int16
    np.testing.assert_allclose(affine(node), affine_of("oblique"), atol=1e-4)
    assert node.GetName() == "Scan" and node.GetParentTransformNode() is None
    seen = scan.image[0].numpy()[4:13, 3:10, 2:7]  # where the network looked, voxel by voxel
    window = node.GetDisplayNode().GetWindowLevelMin(), node.GetDisplayNode().GetWindowLevelMax()
    np.testing.assert_allclose(window, np.percentile(seen, [0.5, 99.5]), atol=60)


def test_all_views_open_with_the_fused_map_over_the_scan(opened: Desk) -> None:
    found = explained(opened)
    assert (found.title, found.look.maps, found.look.segments) == ("Why malig\\nant <b>?", ("fused",), ("evidence",))
    for logic in opened.slices.values():
        composite = logic.GetSliceCompositeNode()
        assert composite.GetBackgroundVolumeID() == found.input_node.GetID()
        assert composite.GetForegroundVolumeID() == found.volume("fused").GetID()
        assert composite.GetForegroundOpacity() == pytest.approx(found.look.opacity)
    layout = opened.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert layout.GetViewArrangement() == layout.SlicerLayoutFourUpView
    assert opened.scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 1
    camera = opened.scene.GetFirstNodeByClass("vtkMRMLCameraNode")
    np.testing.assert_allclose(camera.GetFocalPoint(), point_of(case()), atol=1e-3)


def test_the_hottest_pixel_is_warm_and_where_it_belongs_in_every_view(opened: Desk) -> None:
    explanation = case()
    point = point_of(explanation)
    for view, logic in opened.slices.items():
        offset = logic.GetSliceNode().GetSliceToRAS().MultiplyPoint((0, 0, 0, 1))[:3]
        np.testing.assert_allclose(offset, point, atol=1e-3)  # opens there, without a jump
        values = opened.layer(view)
        y, x = np.unravel_index(np.nanargmax(values), values.shape)
        pixel = np.linalg.norm(opened.to_ras(view, 1, 1) - opened.to_ras(view, 0, 0))
        assert np.nanmax(values) == pytest.approx(2.0, abs=0.2)
        assert np.linalg.norm(opened.to_ras(view, x, y) - point) <= pixel
        red, green, blue = opened.picture(view)[y, x].astype(int)
        assert red > green > blue


def test_maps_and_deviations_are_the_saved_ones_on_their_own_grid(opened: Desk) -> None:
    explanation, found = case(), explained(opened)
    for key, attribution in explanation.attributions.items():
        np.testing.assert_array_equal(voxels(found.volume(key)), attribution.values)
        np.testing.assert_allclose(affine(found.volume(key)), explanation.input.affine, atol=1e-4)
        if attribution.std is not None:
            np.testing.assert_array_equal(voxels(found.volume(f"{key}.std")), attribution.std)
    assert [choice.key for choice in found.choices()][:3] == ["gradcam", "lime", "fused"]


def test_segments_are_the_levels_in_name_colour_order_and_ml(opened: Desk) -> None:
    explanation, found = case(), explained(opened)
    labels = case_levels(explanation).label_maps()
    millilitres = abs(np.linalg.det(explanation.input.affine[:3, :3])) / 1000
    rows = []
    for which, levels in GROUPS.items():
        node = found.segmentation(which)
        assert node.GetName() == GROUP_NAMES[which]
        assert bool(node.GetDisplayNode().GetVisibility()) == (which == "evidence")
        there = [level for level in levels if (labels[which] == level.label).any()]
        assert list(node.GetSegmentation().GetSegmentIDs()) == [level.key for level in there]
        for level in there:
            segment = node.GetSegmentation().GetSegment(level.key)
            assert segment.GetName() == level.name
            np.testing.assert_allclose(np.array(segment.GetColor()) * 255, level.colour, atol=0.6)
            rows.append((level.name, (labels[which] == level.label).sum() * millilitres))
    assert found.segmentation("evidence").GetSegmentation().ContainsRepresentation("Closed surface")
    table = found.table("segments").GetTable()
    assert [table.GetValue(i, 0).ToString() for i in range(table.GetNumberOfRows())] == [name for name, _ in rows]
    assert [row["key"] for row in found.summary["legend"]] == [x.key for x in LEVELS if x.name in dict(rows)]
    for i, (_, ml) in enumerate(rows):
        assert table.GetValue(i, 1).ToDouble() == pytest.approx(ml)
    centre = np.array(found.segmentation("evidence").GetSegmentCenterRAS("strong_for"))
    assert np.linalg.norm(centre - point_of(explanation)) < 1.0


def test_tables_chart_and_words_are_there_and_no_name_of_a_file(opened: Desk, folder: Path) -> None:
    found = explained(opened)
    assert found.table("regions").GetNumberOfRows() == 3
    prediction = found.table("prediction").GetTable()
    assert prediction.GetValue(0, 0).ToString() == "malig\\nant <b>"
    assert prediction.GetValue(0, 1).ToDouble() == pytest.approx(0.93)
    assert found.chart().GetNumberOfPlotSeriesNodes() == 4 and found.supported("fused") is True
    assert found.summary["agreement"]["badge"] == "concordant" and found.summary["provenance"]["seed"] == 3
    with zipfile.ZipFile(folder / "Öffnen.mrb") as bundle:
        text = bundle.read(next(name for name in bundle.namelist() if name.endswith(".mrml"))).decode()
    for name in ("Doe", explanation_of("oblique").provenance["scan"]["series_uid"], str(folder)):
        assert name not in text


def test_what_nobody_confirmed_is_shown_as_evidence_and_with_its_condition(tmp_path: Path) -> None:
    made = case()
    told = replace(made.prediction, presumes="a tumour", unconfirmed=True)
    replace(made, prediction=told).save(tmp_path / "explanation")
    desk = opened_in_slicer(export_scene(tmp_path / "explanation", tmp_path / "scenes" / "unconfirmed.mrb"))
    found = explained(desk)
    assert found.title == "Evidence for malig\\nant <b>"
    assert found.table("prediction").GetTable().GetColumnName(1) == "Probability, if a tumour is there"
    assert found.chart().GetYAxisTitle() == "Probability of malig\\nant <b>, if a tumour is there"
    desk.close()


def test_outside_the_training_domain_a_scene_has_no_probabilities(tmp_path: Path) -> None:
    made = case()
    told = replace(made.prediction, outside_because="unlike the training data")
    replace(made, prediction=told).save(tmp_path / "explanation")
    desk = opened_in_slicer(export_scene(tmp_path / "explanation", tmp_path / "scenes" / "outside.mrb"))
    found = explained(desk)
    assert found.title == "Evidence for malig\\nant <b>"
    assert found.table("prediction").GetTable().GetNumberOfRows() == 0
    assert found.chart() is None
    desk.close()


def test_a_picture_stands_as_viewers_show_it(tmp_path: Path) -> None:
    """Its rows run down and its columns to the right of the axial view, in colour, with the map where it belongs."""
    explanation = picture_explanation()
    explanation.save(tmp_path / "explanation")
    desk = opened_in_slicer(export_scene(tmp_path / "explanation", tmp_path / "scenes" / "picture.mrb"))
    found = explained(desk)
    layout = desk.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert layout.GetViewArrangement() == layout.SlicerLayoutOneUpRedSliceView
    assert found.input_node.GetImageData().GetNumberOfScalarComponents() == 3
    assert found.volume("fused").GetParentTransformNode() is found.input_node.GetParentTransformNode() is not None
    values = desk.layer("Red")  # axes (y, x), y upwards
    y, x = np.argwhere(values >= 1.9).mean(axis=0)
    inside = np.argwhere(~np.isnan(values))
    (bottom, left), (top, right) = inside.min(axis=0), inside.max(axis=0)
    assert (x - left) / (right - left) == pytest.approx(24.5 / 32, abs=0.02)
    assert (top - y) / (top - bottom) == pytest.approx(4.5 / 24, abs=0.02)
    found.look = replace(found.look, maps=())
    red, green, blue = desk.picture("Red")[round(y), round(x)].astype(int)
    assert red > 200 and green < 60 and blue < 60
    desk.close()


@pytest.mark.parametrize("facing", ["Red", "Yellow", "Green"])
def test_a_single_slice_opens_in_the_view_that_faces_it(facing: str) -> None:
    from SlicerXAILib.scene_file import slice_layout

    desk = Desk()
    normal = {"Red": (0, 1, 2), "Yellow": (1, 2, 0), "Green": (2, 0, 1)}[facing]  # the last axis
    turned = np.linalg.qr(np.eye(3) + 0.2 * np.random.default_rng(0).normal(size=(3, 3)))[0]
    tilted = np.eye(4)
    tilted[:3, :3] = turned[:, list(normal)]
    node = desk.add_volume(np.zeros((8, 7, 1), np.int16), tilted)
    layout = desk.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert slice_layout(desk, node) == getattr(layout, f"SlicerLayoutOneUp{facing}SliceView")
    view = slicer.util.arrayFromVTKMatrix(desk.slices[facing].GetSliceNode().GetSliceToRAS())
    assert abs(view[:3, 2] @ tilted[:3, 2]) == pytest.approx(1.0, abs=1e-6)
    desk.close()


def test_another_scan_is_refused(folder: Path, tmp_path: Path) -> None:
    scan = Scan.read(folder / "series")
    case(series_uid=None).save(tmp_path / "explanation")
    for name, shift, words in (("other.nii.gz", 0.0, "is not the scan"), ("Doe_Jane.nii", 90.0, "does not hold all")):
        place = scan.affine.copy()
        place[:3, 3] += shift
        save_volume(tmp_path / name, scan.image[0].numpy(), place)
        record = json.loads((tmp_path / "explanation" / "explanation.json").read_text())
        record["provenance"]["scan"]["name"] = "Doe_Jane.nii"
        (tmp_path / "explanation" / "explanation.json").write_text(json.dumps(record))
        with pytest.raises(RequestError, match=words) as caught:
            export_scene(tmp_path / "explanation", tmp_path / "x.mrb", scan=tmp_path / name)
        assert "--source" in caught.value.hint
    assert not (tmp_path / "x.mrb").exists()


def test_what_is_missing_is_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match=r"does not end in \.mrb"):
        export_scene(folder / "explanation", tmp_path / "scene.zip")
    monkeypatch.setattr(process, "_PLACES", (tmp_path,))
    with pytest.raises(OutputError, match="module is missing from this installation"):
        export_scene(folder / "explanation", tmp_path / "scene.mrb")
    find = process.importlib.util.find_spec
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None if name == "slicer_core" else find(name))
    with pytest.raises(OutputError, match="slicer-core is needed") as caught:
        export_scene(folder / "explanation", tmp_path / "scene.mrb")
    assert 'pip install "camlime[slicer]"' in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.abort()", "ended with code -?[0-9]+"),
        ("raise SystemError('no library')", "ended with code 1: SystemError: no library"),
        ("", "could not be written whole"),
        ("open({output!r}, 'wb').write(b'PK half')", "could not be written whole"),
    ],
)
def test_a_failing_process_leaves_what_was_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    read = "import json, sys; output = json.load(open(sys.argv[2]))['output']; "
    monkeypatch.setattr(process, "_RUN", read + code.replace("{output!r}", "output"))
    (tmp_path / "scene.mrb").write_bytes(b"earlier")
    with pytest.raises(OutputError, match=words):
        export_scene(folder / "explanation", tmp_path / "scene.mrb")
    assert (tmp_path / "scene.mrb").read_bytes() == b"earlier" and len(list(tmp_path.iterdir())) == 1


def test_the_process_hands_on_what_the_user_can_act_on(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"explanation\.json is missing") as caught:
        process.write_scene({"explanation": str(tmp_path)}, tmp_path)
    assert caught.value.hint == "choose a folder that camlime explain wrote"


def test_a_folder_in_the_way_is_not_replaced(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(job: dict[str, Any], scratch: Path) -> None:
        with zipfile.ZipFile(job["output"], "w") as bundle:
            bundle.writestr("scene.mrml", "")

    monkeypatch.setattr(writing, "write_scene", written)
    (tmp_path / "scene.mrb").mkdir()
    with pytest.raises(OutputError, match="is a folder") as caught:
        export_scene(folder / "explanation", tmp_path / "scene.mrb")
    assert "--slicer" in caught.value.hint and "--output" not in caught.value.hint
    assert list((tmp_path / "scene.mrb").iterdir()) == []
