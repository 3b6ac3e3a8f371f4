"""Make the pictures of the 3D Slicer module anew: ``python docs/make_slicer_pictures.py`` (extra ``slicer``).

They show the phantom that the project makes itself, explained by a shipped bundle, in Slicer's own slice and 3D views,
drawn off screen: what a view shows is Slicer's, the coloured bars above the views are drawn here.
"""

from __future__ import annotations

import argparse
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

from SlicerXAILib import side_by_side  # noqa: E402
from SlicerXAILib.result import Result  # noqa: E402
from SlicerXAILib.scene_nodes import SceneExplanation  # noqa: E402
from support.slicer_desk import Desk  # noqa: E402
from support.slicer_drawing import SliceView, View3D  # noqa: E402

from camlime.scan import Scan  # noqa: E402

SIZE = (480, 400)
FIELD_MM = (96.0, 80.0)
BAR = 8
GAP = 4
BARS = {"Red": (243, 74, 51), "Green": (110, 176, 75), "Yellow": (237, 213, 76), "3D": (116, 116, 187)}
LUNG_WINDOW = (-1350, 150)


def main() -> None:
    """Explain the phantom, or take an explanation that is there, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, help="a folder that camlime demo wrote; by default it is run")
    demo = parser.parse_args().demo
    IMAGES.mkdir(exist_ok=True)
    if demo is not None:
        draw(demo)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "camlime", "demo", "--output", folder, "--seed", "0", "--device", "cpu"]
        subprocess.run(command, check=True, cwd=ROOT)
        draw(Path(folder))


def draw(demo: Path) -> None:
    """All pictures of one explanation."""
    result = Result.from_folder(demo)
    desk = Desk(SIZE)
    for i in range(4):
        desk.add_slice_view(f"{side_by_side.VIEWS}{i}", "Axial")
    views = {name: SliceView(desk, name) for name in desk.slices}
    view_3d = View3D(desk, SIZE)
    scan = Scan.read(demo / "scan.nii.gz")
    ct = desk.add_volume(scan.image[0].numpy(), scan.affine)
    ct.GetDisplayNode().AutoWindowLevelOff()
    ct.GetDisplayNode().SetWindowLevelMinMax(*LUNG_WINDOW)
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
    beside = [views[f"{side_by_side.VIEWS}{i}"].draw() for i in range(4)]
    save("slicer_side_by_side", [beside[:2], beside[2:]], bars=("Red",) * 4)


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
