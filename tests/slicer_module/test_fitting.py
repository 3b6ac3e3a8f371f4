"""The bundle that the panel begins with: one for the volume, unless the user has chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.slicer_panel import bootstrapped

bootstrapped()

import slicer  # noqa: E402
import slicer.util  # noqa: E402
from SlicerXAILib.bundles import BundleInfo  # noqa: E402
from SlicerXAILib.fitting import Traits, best, remember, remembered, traits_of  # noqa: E402


def info(name: str, dims: int, channels: int, modality: str = "") -> BundleInfo:
    return BundleInfo(name, name, "", ("no", "yes"), dims, channels, modality, False, ())


ALL = (info("brain", 2, 1, "MR"), info("colon", 2, 3, "histology"), info("lung", 3, 1, "CT"), info("any", 2, 1))
KNOWN = {each.name: each for each in ALL}


@pytest.mark.parametrize(
    ("traits", "last", "expected"),
    [
        (Traits(1, False, "CT"), [], "lung"),
        (Traits(1, False, "MR"), [], "brain"),
        (Traits(1, False, ""), [], "lung"),
        (Traits(3, True, ""), [], "colon"),
        (Traits(3, False, ""), [], "colon"),
        (Traits(1, True, ""), [], "brain"),
        (Traits(1, True, "CT"), [], "any"),
        (Traits(1, False, "CT"), ["lung", "any"], "any"),
        (Traits(1, False, "CT"), ["lung", "brain"], "lung"),
        (Traits(3, True, ""), ["any"], "colon"),
        (None, [], "brain"),
        (None, ["colon", "gone"], "colon"),
    ],
)
def test_the_bundle_to_begin_with(traits, last, expected):
    assert best(KNOWN, traits, last) == expected


def test_of_none_there_is_none():
    assert best({}, Traits(1, False, ""), ["lung"]) == ""


def volume(array: np.ndarray, kind: str = "Scalar") -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass(f"vtkMRML{kind}VolumeNode")
    slicer.util.updateVolumeFromArray(node, array)
    return node


def say_modality(node: Any, modality: str) -> None:
    """As Slicer's DICOM module does when it loads a series."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = tree.CreateItem(tree.GetSceneItemID(), node)
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    tree.SetItemAttribute(item, name, modality)


def test_what_is_known_of_a_volume(slicer_scene):
    air = np.full((4, 5, 6), -1000, np.int16)
    assert traits_of(volume(air)) == Traits(1, False, "CT")
    assert traits_of(volume(air + 1000)) == Traits(1, False, "")
    assert traits_of(volume(np.zeros((1, 5, 6, 4), np.uint8), "Vector")) == Traits(3, True, "")
    told = volume(air + 1000)
    say_modality(told, "MR")
    assert traits_of(told) == Traits(1, False, "MR")
    assert traits_of(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")) is None


def test_another_volume_gets_another_bundle_until_the_user_has_chosen(ready, monkeypatch):
    monkeypatch.setattr("SlicerXAILib.inputs_panel.remembered", list)
    panel, parameters = ready.panel, ready.panel.parameters
    parameters.bundle = ""
    parameters.volume = volume(np.full((4, 5, 6), -1000, np.int16))
    assert parameters.bundle == "lung_nodule_ct"
    told = volume(np.zeros((4, 5, 6), np.int16))
    say_modality(told, "MR")
    parameters.volume = told
    assert parameters.bundle == "brain_tumor_mr"
    panel.inputs.open_bundle("lung_nodule_ct")
    parameters.volume = None
    parameters.volume = told
    assert parameters.bundle == "lung_nodule_ct"


def test_what_the_user_chose_is_remembered_the_last_last(slicer_scene):
    before = remembered()
    for name in ("one", "two", "one"):
        remember(name)
    assert remembered()[-2:] == ["two", "one"]
    for name in [f"n{i}" for i in range(20)]:
        remember(name)
    assert len(remembered()) == 8
    slicer.app.userSettings().setValue("SlicerXAI/LastBundles", "\n".join(before))
