"""Make the pictures of the 3D Slicer module anew: ``python docs/make_slicer_pictures.py`` (extra ``slicer``).

They show the phantom that the project makes itself, explained by a shipped bundle, in Slicer's own slice and 3D views,
drawn off screen: what a view shows is Slicer's, the coloured bars above the views are drawn here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "SlicerXAI")]

import slicer  # noqa: E402
from SlicerXAILib import side_by_side  # noqa: E402
from SlicerXAILib.marks import Marks, unsupported_views  # noqa: E402
from SlicerXAILib.result import Result  # noqa: E402
from SlicerXAILib.scene_nodes import SceneExplanation  # noqa: E402
from support.slicer_desk import Desk  # noqa: E402
from support.slicer_drawing import SliceView, View3D, allow_points, draw_chart  # noqa: E402

from camlime.scan import Scan  # noqa: E402

SIZE = (480, 400)
CHART_SIZE = (720, 420)
FIELD_MM = (96.0, 80.0)
PLACE_MM = (192.0, 160.0)
BAR = 8
GAP = 4
BARS = {"Red": (243, 74, 51), "Green": (110, 176, 75), "Yellow": (237, 213, 76), "3D": (116, 116, 187)}
LUNG_WINDOW = (-1350, 150)


def main() -> None:
    """Explain the phantom, or take an explanation that is there, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, help="a folder that camlime demo wrote; by default it is run")
    parser.add_argument("--other", type=Path, help="with --demo: the same scan explained for the other class")
    asked = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    if asked.demo is not None:
        draw(asked.demo, asked.other)
        return
    with tempfile.TemporaryDirectory() as folder:
        demo, other = Path(folder, "demo"), Path(folder, "other")
        camlime("demo", "--output", demo)
        place = [str(x) for x in point_of(demo)]
        why_not = ("--bundle", "lung_nodule_ct", "--point", *place, "--class", "benign")
        camlime("explain", demo / "scan.nii.gz", *why_not, "--output", other)
        draw(demo, other)


def camlime(command: str, *arguments: object) -> None:
    """Run the command line."""
    words = [sys.executable, "-m", "camlime", command, *map(str, arguments), "--seed", "0", "--device", "cpu"]
    subprocess.run(words, check=True, cwd=ROOT)


def point_of(demo: Path) -> np.ndarray:
    """The nodule's place, RAS mm."""
    return np.array(json.loads((demo / "explanation.json").read_text())["provenance"]["point_ras_mm"])


def draw(demo: Path, other: Path | None = None) -> None:
    """All pictures of one explanation, and of another of the same scan if there is one."""
    result = Result.from_folder(demo)
    desk = Desk(SIZE)
    for i in range(4):
        desk.add_slice_view(f"{side_by_side.VIEWS}{i}", "Axial")
    allow_points(desk)
    views = {name: SliceView(desk, name, points=True) for name in desk.slices}
    view_3d = View3D(desk, SIZE)
    scan = Scan.read(demo / "scan.nii.gz")
    ct = desk.add_volume(scan.image[0].numpy(), scan.affine)
    ct.GetDisplayNode().AutoWindowLevelOff()
    ct.GetDisplayNode().SetWindowLevelMinMax(*LUNG_WINDOW)
    marks = Marks(views.get)
    place(desk, views, ct, point_of(demo))
    explanation = SceneExplanation.begin(ct, f"Why {result.explained_class}?")
    explanation.complete(result)
    explanation.look = replace(explanation.look, maps=("fused",), segments=("evidence",), threshold=0.25)
    desk.fit()
    explanation.jump_to_strongest()
    for logic in desk.slices.values():
        node = logic.GetSliceNode()
        node.SetFieldOfView(*FIELD_MM, node.GetFieldOfView()[2])

    focus = np.array(result.strongest_point_ras)
    slices = {name: views[name].draw() for name in ("Red", "Green", "Yellow")}
    save("slicer_overlay", [[slices["Red"], in_3d(desk, view_3d, focus)], [slices["Green"], slices["Yellow"]]])
    explanation.look = replace(explanation.look, maps=("fused.std",))
    save("slicer_uncertainty", [[views["Red"].draw(), views["Green"].draw()]], bars=("Red", "Green"))
    explanation.look = replace(explanation.look, maps=(), segments=("agreement",), fill=0.3)
    save("slicer_agreement", [[views["Red"].draw(), views["Green"].draw()]], bars=("Red", "Green"))
    explanation.look = replace(explanation.look, maps=("gradcam", "lime", "fused"), segments=(), side_by_side=True)
    marks.put(unsupported_views(explanation), "NOT SUPPORTED")
    beside = [views[f"{side_by_side.VIEWS}{i}"].draw() for i in range(4)]
    save("slicer_side_by_side", [beside[:2], beside[2:]], bars=("Red",) * 4)
    explanation.look = replace(explanation.look, maps=("gradcam",), side_by_side=False)
    marks.put(unsupported_views(explanation), "NOT SUPPORTED")
    save("slicer_not_supported", [[views["Red"].draw(), views["Green"].draw()]], bars=("Red", "Green"))
    Image.fromarray(draw_chart(explanation.chart(), CHART_SIZE)).save(IMAGES / "slicer_chart.png", optimize=True)
    if other is not None:
        against(desk, views, ct, Result.from_folder(other), marks)


def place(desk: Desk, views: dict[str, SliceView], ct: Any, point: np.ndarray) -> None:
    """The volume as it is loaded, and the point in the nodule."""
    for each in desk.slices.values():
        each.GetSliceCompositeNode().SetBackgroundVolumeID(ct.GetID())
    desk.fit()
    for each in desk.slices.values():
        each.GetSliceNode().SetFieldOfView(*PLACE_MM, each.GetSliceNode().GetFieldOfView()[2])
    node = desk.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Nodule")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetTextScale(4)
    node.AddControlPoint(*(float(x) for x in point), "Nodule")
    centred = slicer.vtkMRMLSliceNode.CenteredJumpSlice
    slicer.vtkMRMLSliceNode.JumpAllSlices(desk.scene, *(float(x) for x in point), centred)
    save("slicer_place", [[views["Red"].draw(), views["Green"].draw()]], bars=("Red", "Green"))
    desk.scene.RemoveNode(node)


def against(desk: Desk, views: dict[str, SliceView], ct: Any, result: Result, marks: Marks) -> None:
    """The other class: what speaks against it is blue, and a segment of its own."""
    explanation = SceneExplanation.begin(ct, f"Why {result.explained_class}?")
    explanation.complete(result)
    explanation.look = replace(explanation.look, maps=("fused",), segments=("evidence",), threshold=0.25)
    explanation.present()
    marks.put(unsupported_views(explanation), "NOT SUPPORTED")
    save("slicer_against", [[views["Red"].draw(), views["Green"].draw()]], bars=("Red", "Green"))


def in_3d(desk: Any, view: View3D, focus: np.ndarray) -> np.ndarray:
    """The surfaces over an axial slice below them and before a coronal slice behind them."""
    offsets = {}
    for name, shift in (("Red", -9.0), ("Green", -16.0)):
        node = desk.slices[name].GetSliceNode()
        offsets[name] = node.GetSliceOffset()
        node.SetSliceVisible(True)
        node.SetSliceOffset(offsets[name] + shift)
        desk.slices[name].UpdateImageData()
    picture = view.draw(focus, 95.0, np.array([0.45, 0.85, 0.55]))
    for name, offset in offsets.items():
        desk.slices[name].GetSliceNode().SetSliceVisible(False)
        desk.slices[name].GetSliceNode().SetSliceOffset(offset)
    return picture


def save(name: str, rows: list[list[np.ndarray]], *, bars: tuple[str, ...] = ("Red", "3D", "Green", "Yellow")) -> None:
    """Write views in rows, each below a bar in its colour, as in Slicer."""
    colours = iter(bars)
    height, width = rows[0][0].shape[:2]
    page = np.zeros((len(rows) * (height + BAR + GAP) - GAP, len(rows[0]) * (width + GAP) - GAP, 3), np.uint8)
    for i, row in enumerate(rows):
        for j, view in enumerate(row):
            top, left = i * (height + BAR + GAP), j * (width + GAP)
            page[top : top + BAR, left : left + width] = BARS[next(colours)]
            page[top + BAR : top + BAR + height, left : left + width] = view
    Image.fromarray(page).save(IMAGES / f"{name}.png", optimize=True)
    print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
