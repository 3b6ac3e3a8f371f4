"""An explanation in the scene: one folder, saved and loaded, below its input's transforms, gone without a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs the slicer extra: slicer-core")

import slicer
import slicer.util
import vtk
from SlicerXAILib import folder, frame, views
from SlicerXAILib.result import Preview
from SlicerXAILib.scene_nodes import Following, SceneExplanation

from camlime.levels import GROUP_NAMES
from slicer_display.grids import GRIDS, grid

OBLIQUE = GRIDS["oblique, anisotropic"]
PLACED = ("lime", "gradcam", "lime.std", "agreement")


def scan(desk: Any) -> Any:
    return desk.add_volume(np.zeros((30, 31, 32), np.int16), grid((1, 1, 1.5), (3, 4, 5), flips=(-1, -1, 1)))


def explain(ct: Any, result: Any, title: str = "Why malignant?") -> SceneExplanation:
    explanation = SceneExplanation.begin(ct, title)
    explanation.complete(result)
    return explanation


def transform(desk: Any, matrix: np.ndarray) -> Any:
    node = desk.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def tree(desk: Any) -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(desk.scene)


def world_affine(node: Any) -> np.ndarray:
    matrix = np.eye(4)
    for column in range(4):
        point = views.ijk_to_ras(node)[:3, 3] + (views.ijk_to_ras(node)[:3, column] if column < 3 else 0)
        matrix[:3, column] = views.input_to_world(node, point)
    matrix[:3, :3] -= matrix[:3, 3:]
    return matrix


def test_everything_is_in_one_folder_beside_the_input(desk: Any, make_result: Callable[..., Any]) -> None:
    ct = scan(desk)
    patient = tree(desk).CreateFolderItem(tree(desk).GetSceneItemID(), "Patient")
    tree(desk).CreateItem(patient, ct)
    explanation = explain(ct, make_result(OBLIQUE))
    item = folder.find_folder(desk.scene, explanation.hub.GetAttribute(folder.MARK))
    assert explanation.title == tree(desk).GetItemName(item) == "Why malignant?"
    assert tree(desk).GetItemParent(item) == patient
    inside = vtk.vtkIdList()
    tree(desk).GetItemChildren(item, inside, False)
    names = {tree(desk).GetItemName(inside.GetId(i)) for i in range(inside.GetNumberOfIds())}
    assert {"LIME", "Grad-CAM", "Uncertainty of LIME", *GROUP_NAMES.values(), "Regions", "Prediction"} <= names
    assert any("removal" in name for name in names)


def test_removal_leaves_no_node_behind(desk: Any, make_result: Callable[..., Any]) -> None:
    ct = scan(desk)
    before = desk.nodes()
    explanation = explain(ct, make_result(OBLIQUE))
    explanation.look = replace(explanation.look, maps=PLACED, segments=("evidence", "agreement"))
    assert len(desk.nodes()) > len(before)
    explanation.remove()
    assert desk.nodes() == before
    assert not explanation.alive
    explanation.remove()
    assert SceneExplanation.all_in(desk.scene) == []
    items = vtk.vtkIdList()
    tree(desk).GetItemChildren(tree(desk).GetSceneItemID(), items, True)
    assert all(tree(desk).GetItemDataNode(items.GetId(i)) is not None for i in range(items.GetNumberOfIds()))


def test_what_the_user_put_into_the_folder_stays(desk: Any, make_result: Callable[..., Any]) -> None:
    ct = scan(desk)
    explanation = explain(ct, make_result(OBLIQUE))
    own = desk.scene.AddNewNodeByClass("vtkMRMLModelNode", "mine")
    item = folder.find_folder(desk.scene, explanation.hub.GetAttribute(folder.MARK))
    tree(desk).CreateItem(item, own)
    explanation.remove()
    assert own.GetScene() is desk.scene
    assert tree(desk).GetItemParent(tree(desk).GetItemByDataNode(own)) == tree(desk).GetSceneItemID()


def test_runs_sit_side_by_side_and_go_one_by_one(desk: Any, make_result: Callable[..., Any]) -> None:
    ct, other = scan(desk), scan(desk)
    first = explain(ct, make_result(OBLIQUE), "first")
    alone = desk.nodes()
    second = explain(ct, make_result(OBLIQUE), "second")
    third = explain(other, make_result(OBLIQUE), "third")
    assert [each.title for each in SceneExplanation.of(ct)] == ["first", "second"]
    third.remove()
    second.remove()
    assert desk.nodes() == alone
    first.present()
    assert desk.slices["Red"].GetSliceCompositeNode().GetForegroundVolumeID() == first.volume("lime").GetID()


def test_showing_one_hides_the_others(desk: Any, make_result: Callable[..., Any]) -> None:
    ct = scan(desk)
    first, second = explain(ct, make_result(OBLIQUE), "first"), explain(ct, make_result(OBLIQUE), "second")
    first.present()
    assert first.segmentation("evidence").GetDisplayNode().GetVisibility()
    assert not second.segmentation("evidence").GetDisplayNode().GetVisibility()
    assert second.look.segments == ("evidence",)  # what was chosen is not forgotten
    second.present()
    composite = desk.slices["Green"].GetSliceCompositeNode()
    assert composite.GetForegroundVolumeID() == second.volume("lime").GetID()
    assert not first.segmentation("evidence").GetDisplayNode().GetVisibility()


def test_previews_update_nodes_in_place(desk: Any, make_result: Callable[..., Any]) -> None:
    ct, result = scan(desk), make_result(OBLIQUE)
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.update(Preview(OBLIQUE, "malignant", result.maps["gradcam"]))
    assert explanation.look.maps == ("gradcam",)
    explanation.update(Preview(OBLIQUE, "malignant", replace(result.maps["lime"], std=None)))
    assert explanation.look.maps == ("lime",)
    nodes, lime = desk.nodes(), explanation.volume("lime")
    half = replace(result.maps["lime"], values=result.maps["lime"].values / 2, std=None)
    explanation.update(Preview(OBLIQUE, "malignant", half))
    assert desk.nodes() == nodes and explanation.volume("lime") is lime
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(lime).transpose(2, 1, 0), half.values)
    explanation.look = replace(explanation.look, maps=("gradcam",))
    explanation.update(Preview(OBLIQUE, "malignant", result.maps["lime"]))
    assert explanation.look.maps == ("gradcam",)  # the user's choice stays
    explanation.complete(replace(result, maps={"lime": result.maps["lime"]}, levels={}, evidence={}))
    assert explanation.volume("gradcam") is None and explanation.volume("lime") is lime
    assert [choice.key for choice in explanation.choices()] == ["lime", "lime.std"]
    explanation.remove()
    assert [node for node in desk.nodes() if "Storage" in node or "ColorTableNode1" in node] == []


@pytest.mark.parametrize("suffix", [".mrml", ".mrb"])
def test_it_survives_saving_and_loading_the_scene(
    desk: Any, make_result: Callable[..., Any], tmp_path: Path, suffix: str
) -> None:
    ct, result = scan(desk), make_result(OBLIQUE)
    above = transform(desk, grid((1, 1, 1), (10, 0, 30), origin=(5, 6, 7)))
    ct.SetAndObserveTransformNodeID(above.GetID())
    explanation = explain(ct, result)
    explanation.look = replace(
        explanation.look, maps=("lime", "gradcam"), threshold=0.4, opacity=0.35, segments=("evidence",)
    )
    before = {key: (voxels(explanation.volume(key)), world_affine(explanation.volume(key))) for key in PLACED}
    summary, look, choices = explanation.summary, explanation.look, explanation.choices()
    count = len(desk.nodes())
    save_and_load(desk, tmp_path, suffix)
    (again,) = SceneExplanation.all_in(desk.scene)
    assert (again.summary, again.look, again.choices()) == (summary, look, choices)
    assert again.title == "Why malignant?" and again.input_node.GetName() == "CT"
    assert again.supported("lime") is False
    for key, (values, affine) in before.items():
        np.testing.assert_allclose(voxels(again.volume(key)), values, atol=1e-6)
        np.testing.assert_allclose(world_affine(again.volume(key)), affine, atol=1e-4)
    assert set(again.segmentation("evidence").GetSegmentation().GetSegmentIDs()) == {
        "strong_for",
        "moderate_for",
        "against",
    }
    assert again.table("regions").GetNumberOfRows() == 3
    assert again.chart().GetNumberOfPlotSeriesNodes() == 4
    again.present()
    assert desk.slices["Red"].GetSliceCompositeNode().GetForegroundVolumeID() == again.volume("lime").GetID()
    assert desk.slices["Red"].GetSliceCompositeNode().GetNthLayerOpacity(3) == pytest.approx(0.35)
    again.jump_to_strongest()
    again.remove()
    leftovers = [node for node in desk.nodes() if "SlicerXAI" in (desk.scene.GetNodeByID(node).GetName() or "")]
    assert leftovers == [] and len(desk.nodes()) < count


def voxels(node: Any) -> np.ndarray:
    return slicer.util.arrayFromVolume(node).copy()


def save_and_load(desk: Any, folder_path: Path, suffix: str) -> None:
    """As Slicer's save dialogue does it: every node that can be stored, then the scene."""
    if suffix == ".mrb":
        path = folder_path / "scene.mrb"
        desk.allow_bundles(str(folder_path))
        assert desk.scene.WriteToMRB(str(path))
        desk.scene.Clear(0)
        assert desk.scene.ReadFromMRB(str(path))
        return
    desk.scene.SetRootDirectory(str(folder_path))
    count = desk.scene.GetNumberOfNodes()
    for node in [desk.scene.GetNthNode(i) for i in range(count)]:
        if isinstance(node, slicer.vtkMRMLStorableNode) and node.GetSaveWithScene() and "Default" not in node.GetID():
            store(node, folder_path)
    desk.scene.SetURL(str(folder_path / "scene.mrml"))
    assert desk.scene.Commit()
    desk.scene.Clear(0)
    assert desk.scene.Connect()


def store(node: Any, folder_path: Path) -> None:
    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode()
    storage = node.GetStorageNode()
    if storage is None:
        return
    name = f"{node.GetID()}.{storage.GetDefaultWriteFileExtension()}"
    storage.SetFileName(str(folder_path / name))
    assert storage.WriteData(node), node.GetName()


def test_it_follows_the_inputs_transform(desk: Any, make_result: Callable[..., Any]) -> None:
    ct = scan(desk)
    first = transform(desk, grid((1, 1, 1), (0, 0, 30), origin=(1, 2, 3)))
    ct.SetAndObserveTransformNodeID(first.GetID())
    following = Following(desk.scene)
    explanation = explain(ct, make_result(OBLIQUE))
    nodes = frame.placed(explanation.hub)
    assert len(nodes) == 6
    assert {node.GetTransformNodeID() for node in nodes} == {first.GetID()}
    second = transform(desk, grid((1, 1, 1), (40, 0, 0)))
    ct.SetAndObserveTransformNodeID(second.GetID())
    assert {node.GetTransformNodeID() for node in nodes} == {second.GetID()}
    ct.SetAndObserveTransformNodeID(None)
    assert {node.GetTransformNodeID() for node in nodes} == {None}
    following.stop()
    ct.SetAndObserveTransformNodeID(first.GetID())
    assert {node.GetTransformNodeID() for node in nodes} == {None}
    Following(desk.scene).stop()  # one that starts brings what it missed
    assert {node.GetTransformNodeID() for node in nodes} == {first.GetID()}


def test_it_follows_when_the_inputs_transform_is_hardened(desk: Any, make_result: Callable[..., Any]) -> None:
    ct, result = scan(desk), make_result(OBLIQUE)
    explanation = explain(ct, result)
    following = Following(desk.scene)
    matrix = grid((1, 1, 1), (10, 20, 30), origin=(4, 5, 6))
    ct.SetAndObserveTransformNodeID(transform(desk, matrix).GetID())
    ct.HardenTransform()
    for key in PLACED:
        node = explanation.volume(key)
        assert node.GetTransformNodeID() is None
        np.testing.assert_allclose(views.ijk_to_ras(node), matrix @ result.affine_ras, atol=1e-6)
    centre = np.array(explanation.segmentation("evidence").GetSegmentCenterRAS("strong_for"))
    expected = (matrix @ np.append(result.strongest_point_ras, 1.0))[:3]
    assert np.linalg.norm(centre - expected) < 3.0
    explanation.jump_to_strongest()
    shown = slicer.util.arrayFromVTKMatrix(desk.slices["Red"].GetSliceNode().GetSliceToRAS())[:3, 3]
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    explanation.complete(result)  # as when a run ends after the input was moved
    np.testing.assert_allclose(views.ijk_to_ras(explanation.volume("lime")), matrix @ result.affine_ras, atol=1e-6)
    following.stop()


def test_another_image_in_the_same_node_moves_nothing(desk: Any, make_result: Callable[..., Any]) -> None:
    ct, result = scan(desk), make_result(OBLIQUE)
    explanation, following = explain(ct, result), Following(desk.scene)
    ct.SetOrigin(1, 2, 3)
    slicer.util.updateVolumeFromArray(ct, np.zeros((5, 6, 7), np.int16))  # cropped in place
    ct.SetOrigin(100, 200, 300)
    np.testing.assert_allclose(views.ijk_to_ras(explanation.volume("lime")), result.affine_ras, atol=1e-9)
    following.stop()


def test_those_who_list_explanations_hear_of_changes(desk: Any, make_result: Callable[..., Any]) -> None:
    heard: list[int] = []
    following = Following(desk.scene, lambda: heard.append(len(SceneExplanation.all_in(desk.scene))))
    ct = scan(desk)
    assert heard == []
    explanation = explain(ct, make_result(OBLIQUE))
    assert heard == [1]
    explanation.remove()
    assert heard == [1, 0]
    following.stop()


def test_nodes_that_the_user_deletes_do_no_harm(desk: Any, make_result: Callable[..., Any]) -> None:
    ct, result = scan(desk), make_result(OBLIQUE)
    explanation, following = explain(ct, result), Following(desk.scene)
    desk.scene.RemoveNode(explanation.volume("gradcam"))
    desk.scene.RemoveNode(explanation.segmentation("evidence"))
    desk.scene.RemoveNode(explanation.table("regions"))
    assert [choice.key for choice in explanation.choices()] == ["lime", "lime.std", "agreement"]
    explanation.look = replace(explanation.look, maps=("gradcam", "lime"))
    with pytest.raises(KeyError):
        explanation.jump_to_region(1)
    desk.scene.RemoveNode(ct)
    assert explanation.input_node is None
    explanation.look = replace(explanation.look, opacity=0.2)
    explanation.jump_to_strongest()
    explanation.complete(result)
    explanation.remove()
    following.stop()
    desk.scene.Clear(0)
    assert not explanation.alive
