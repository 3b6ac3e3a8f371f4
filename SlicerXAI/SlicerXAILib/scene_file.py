"""Writes an explanation as a scene file, without Slicer's desktop: run in a process of its own by ``camlime export``.

A job is a JSON file:

- ``explanation``: a folder that ``camlime explain`` wrote; ``title``: of the folder in the scene;
- ``background``: ``file`` (``.npy``, ``(i, j, k)``, or ``(i, j, k, 3)`` for colours), ``name``, ``affine_ras`` (4x4,
  voxel index to RAS mm) and ``window`` (values of black and white);
- ``above``: 4x4 of a transform above the background, or null;
- ``output``: the ``.mrb`` to write.

What the user can act on goes to ``error.json`` beside the job (``message``, ``hint``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from camlime.errors import CamlimeError, OutputError
from SlicerXAILib import views
from SlicerXAILib.bare_scene import BareScene
from SlicerXAILib.result import Result
from SlicerXAILib.scene_nodes import SceneExplanation

_SIZE = (480, 480)
_ROOM = 2.0
"""Shorter edge of what slice views show of a volume, in longest edges of the maps, all of which are then in view."""

_NAMING = ("scan", "regions")
"""Entries of the provenance."""

_VIEW_DIRECTION = np.array([0.45, 0.85, 0.55])
"""From the strongest point to the camera of the 3D view, RAS: from the front, the right and above."""

_CAMERA_DISTANCE = 3.0
"""In longest edges of the maps."""


def main(job: str) -> int:
    """Do what a job says.

    Returns:
        The exit code: 0, or that of the error that went to ``error.json``.
    """
    file = Path(job)
    try:
        _write(json.loads(file.read_text(encoding="utf-8")), file.parent)
    except CamlimeError as error:
        words = {"message": error.message, "hint": error.hint}
        file.with_name("error.json").write_text(json.dumps(words), encoding="utf-8")
        return error.exit_code
    return 0


def _write(job: Mapping[str, Any], scratch: Path) -> None:
    result = _without_names(Result.from_folder(job["explanation"]))
    stage = BareScene(_SIZE)
    try:
        stage.allow_bundles(str(scratch))
        background = _add_background(stage.scene, job["background"])
        if job["above"] is not None:
            _put_below(background, np.array(job["above"]))
        explanation = SceneExplanation.begin(background, job["title"])
        explanation.complete(result)
        _arrange(stage, explanation)
        _save(stage.scene, job["output"])
    finally:
        stage.close()


def _without_names(result: Result) -> Result:
    """Names of files and the series UID, which may name a patient, stay out of a scene that is handed on."""
    kept = {key: value for key, value in result.provenance.items() if key not in _NAMING}
    return replace(result, provenance=kept)


def _add_background(scene: Any, told: Mapping[str, Any]) -> Any:
    values = np.load(told["file"], allow_pickle=False)
    colours = values.ndim == 4
    node = scene.AddNewNodeByClass(f"vtkMRML{'Vector' if colours else 'Scalar'}VolumeNode", told["name"])
    node.CreateDefaultDisplayNodes()
    axes = (2, 1, 0, 3)[: values.ndim]
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(values.transpose(axes)))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.array(told["affine_ras"])))
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*told["window"])
    return node


def _put_below(background: Any, matrix: np.ndarray) -> None:
    node = background.GetScene().AddNewNodeByClass("vtkMRMLLinearTransformNode", "Picture as viewers show it")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    background.SetAndObserveTransformNodeID(node.GetID())


def _arrange(stage: BareScene, explanation: SceneExplanation) -> None:
    """Layout, slice views centred on the strongest point and near enough, camera, and what other modules begin with."""
    background = explanation.input_node
    layout = stage.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    layout.SetViewArrangement(slice_layout(stage, background))
    bounds = np.zeros(6)
    (explanation.volume(explanation.summary["lead"]) or background).GetRASBounds(bounds)
    reach = float((bounds[1::2] - bounds[::2]).max())
    explanation.jump_to_strongest()
    if _is_flat(background):
        stage.fit()
    else:
        _come_near(stage, _ROOM * reach)
    focus = views.input_to_world(background, np.array(explanation.summary["strongest_point_ras"]))
    _aim(stage.scene, focus, _CAMERA_DISTANCE * reach)
    selection = stage.application.GetSelectionNode()
    selection.SetActiveVolumeID(background.GetID())
    if explanation.chart() is not None:
        selection.SetActivePlotChartID(explanation.chart().GetID())


def _come_near(stage: BareScene, edge: float) -> None:
    """Let the shorter edge of each slice view be so many mm, around where it is centred."""
    for logic in stage.slices.values():
        node = logic.GetSliceNode()
        width, height, depth = node.GetFieldOfView()
        scale = edge / min(width, height)
        node.SetFieldOfView(width * scale, height * scale, depth)


def _is_flat(background: Any) -> bool:
    return 1 in background.GetImageData().GetDimensions()


def slice_layout(stage: BareScene, background: Any) -> int:
    """Slicer's number of the layout: all views for a volume; for a single slice the view that faces it."""
    layouts = slicer.vtkMRMLLayoutNode
    size = background.GetImageData().GetDimensions()
    if not _is_flat(background):
        return int(layouts.SlicerLayoutFourUpView)
    axis = size.index(1) if size[2] != 1 else 2
    origin, step = (views.input_to_world(background, end) for end in _along(background, axis))
    facing = ("Yellow", "Green", "Red")[int(np.argmax(np.abs(step - origin)))]
    stage.slices[facing].GetSliceNode().RotateToVolumePlane(background)
    return int(getattr(layouts, f"SlicerLayoutOneUp{facing}SliceView"))


def _along(background: Any, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The first voxel and the next on an axis, in the volume's own RAS frame."""
    affine = views.ijk_to_ras(background)
    return affine[:3, 3], affine[:3, 3] + affine[:3, axis]


def _aim(scene: Any, focus: np.ndarray, distance: float) -> None:
    """The camera of the first 3D view."""
    view = scene.GetFirstNodeByClass("vtkMRMLViewNode")
    camera = scene.AddNewNodeByClass("vtkMRMLCameraNode", "Camera")
    camera.SetLayoutName(view.GetLayoutName() if view is not None else "1")
    direction = _VIEW_DIRECTION / np.linalg.norm(_VIEW_DIRECTION)
    camera.SetFocalPoint(*focus)
    camera.SetPosition(*(focus + distance * direction))
    camera.SetViewUp(0.0, 0.0, 1.0)


def _save(scene: Any, path: str) -> None:
    messages = slicer.vtkMRMLMessageCollection()
    written = scene.WriteToMRB(path, None, messages)
    if not written or messages.GetNumberOfMessagesOfType(vtk.vtkCommand.ErrorEvent):
        said = " ".join(messages.GetAllMessagesAsString().split())
        raise OutputError(
            f"3D Slicer's libraries could not write the scene: {said}", hint="is there space left on the disk?"
        )
