"""How long the 3D Slicer module keeps its views waiting: maps of 9 million voxels, from the first preview to the end.

    QT_QPA_PLATFORM=offscreen python benchmarks/slicer_blocks.py

The panel and the scene are the module's own, on the MRML of slicer-core; the worker's place is taken by one that says
at once what a worker would say, so that nothing but the module works in this process. A heartbeat asks between any two
turns of the event loop how long the last one took. Three slice views and a 3D view with Slicer's own logics and
displayable managers are there and hear of every change; where off-screen OpenGL works they are drawn after each turn in
which something was done, each drawing a turn of its own, as in Slicer. On software OpenGL a drawing takes the processor
where Slicer has the graphics card.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import slicer_harness  # noqa: E402

slicer = slicer_harness.bootstrap(os.environ.get("SLICER_PYTHON"))

import vtk  # noqa: E402
from slicer.util import updateVolumeFromArray  # noqa: E402
from support.slicer_desk import can_draw  # noqa: E402
from support.slicer_drawing import SliceView, View3D  # noqa: E402

from camlime.levels import agreement_levels, evidence_levels  # noqa: E402

SHAPE = (256, 256, 140)
VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
VIEW_SIZE = (480, 400)
FOCUS = np.array([128.0, 128.0, 105.0])
SOMETHING = 0.002
"""Seconds of a turn in which something was done that has to be drawn."""
BLOCK = 16
METHODS = {"gradcam": "Grad-CAM", "lime": "LIME", "fused": "Fused"}
READY = {
    "event": "ready",
    "id": None,
    "devices": [{"name": "cpu", "title": "CPU", "memory_bytes": None}],
    "bundles": [
        {
            "name": "whole",
            "title": "Whole volume",
            "class_names": ["benign", "malignant"],
            "spatial_dims": 3,
            "input_channels": 1,
            "needs_point": False,
        }
    ],
}


class Replay:
    """Takes the place of the worker's client: says at once what a worker says of one explanation."""

    running = False
    pid = None
    last = ""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self._events = events
        self._said: list[dict[str, Any]] = []
        self._count = 0

    def start(self) -> None:  # noqa: D102
        self.running = True
        self._said += [{"event": "hello", "id": None, "packages": {}}, READY]

    def send(self, request: str, **fields: Any) -> str:  # noqa: D102
        self._count += 1
        if request == "explain":
            self._said += [{**event, "id": str(self._count)} for event in self._events]
        return str(self._count)

    def poll(self) -> list[dict[str, Any]]:  # noqa: D102
        said, self._said = self._said[:1], self._said[1:]
        for event in said:
            self.last = " ".join(str(event.get(key, "")) for key in ("event", "method"))
        return said

    def cancel(self, name: str) -> None: ...  # noqa: D102

    def log(self) -> str:  # noqa: D102
        return ""

    def close(self, grace: float = 2.0) -> None:  # noqa: D102
        self.running = False


def maps() -> dict[str, np.ndarray]:
    """Two blobs for the class and one against it: smooth, and in blocks as regions are."""
    index = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in SHAPE], indexing="ij"))
    smooth = np.zeros(SHAPE, np.float32)
    for centre, width, weight in (((90, 80, 60), 22, 2.0), ((170, 160, 90), 12, 1.2), ((150, 70, 40), 18, -1.1)):
        squared = sum((axis - at) ** 2 for axis, at in zip(index, centre, strict=True))
        smooth += weight * np.exp(-squared / (2 * width**2))
    coarse = smooth[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK]
    blocks = coarse.repeat(BLOCK, 0).repeat(BLOCK, 1).repeat(BLOCK, 2)
    pad = [(0, max(0, n - have)) for n, have in zip(SHAPE, blocks.shape, strict=True)]
    blocks = np.pad(blocks, pad, mode="edge")[tuple(slice(n) for n in SHAPE)]
    return {"gradcam": smooth, "lime": blocks, "fused": (0.5 * smooth + 0.5 * blocks).astype(np.float32)}


def written(folder: Path, name: str, array: np.ndarray) -> dict[str, Any]:
    """A file as an event names it."""
    np.save(folder / f"{name}.npy", np.ascontiguousarray(array))
    return {"file": str(folder / f"{name}.npy"), "shape": list(array.shape), "dtype": array.dtype.name}


def events_of(folder: Path) -> list[dict[str, Any]]:
    """Prediction, two previews of each method and the result."""
    values = maps()
    everywhere = np.ones(SHAPE, bool)
    std = {key: None if key == "gradcam" else np.full(SHAPE, 0.05, np.float32) for key in values}
    prediction = {"class": "malignant", "probabilities": {"benign": 0.1, "malignant": 0.9}, "logits": {}}
    affine = np.diag([1.0, 1.0, 1.5, 1.0]).tolist()
    events: list[dict[str, Any]] = [
        {"event": "prediction", "prediction": prediction, "explained_class": "malignant", "shape": list(SHAPE)}
    ]
    told = {}
    for key, title in METHODS.items():
        told[key] = {
            "title": title,
            "unit": "log-odds",
            "values": written(folder, key, values[key]),
            "std": None if std[key] is None else written(folder, f"{key}_std", std[key]),
        }
        preview = {"event": "preview", "method": key, "explained_class": "malignant", "affine_ras": affine}
        events += [{**preview, **told[key], "final": final} for final in (False, True)]
    agreed = agreement_levels(values["gradcam"], values["lime"], everywhere)
    levels = {
        "evidence": written(folder, "levels_evidence", evidence_levels(values["fused"], everywhere)),
        "agreement": written(folder, "levels_agreement", agreed),
        "legend": [],
    }
    centre = [90.0, 80.0, 90.0]
    row = {"name": None, "volume_ml": 1.0, "centre_ras_mm": centre, "interval_95": [0, 1]}
    rows = [{**row, "id": n + 1, "weight": 1 / (n + 1)} for n in range(200)]
    regions = (np.indices(SHAPE, dtype=np.int32).sum(axis=0) // 16 + 1).astype(np.int32)
    events.append(
        {
            "event": "result",
            "complete": True,
            "prediction": prediction,
            "explained_class": "malignant",
            "lead": "fused",
            "affine_ras": affine,
            "maps": told,
            "levels": levels,
            "regions": {"labels": written(folder, "regions", regions), "table": rows},
            "strongest_point_ras_mm": centre,
            "agreement": None,
            "evidence": {},
            "warnings": [],
            "provenance": {},
        }
    )
    return events


def main() -> None:
    """Explain once and print the longest block."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=int, default=8, help="how many of the longest blocks to print")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), asked.most)


def measure(folder: Path, most: int) -> None:
    """Run the panel on the replayed events and print its longest blocks."""
    client = Replay(events_of(folder))
    sys.path.insert(0, str(ROOT / "SlicerXAI"))
    from SlicerXAILib import widget as panel_code

    panel_code.make_client = lambda: client
    widget = slicer_harness.loadModule(str(ROOT / "SlicerXAI" / "SlicerXAI.py"))[2]
    panel = widget.panel
    desk = Views()
    windows = desk.windows() if can_draw() else {}
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    volume.CreateDefaultDisplayNodes()
    updateVolumeFromArray(volume, np.zeros(SHAPE[::-1], np.int16))
    volume.SetSpacing(1.0, 1.0, 1.5)
    panel.parameters.volume = volume
    panel.parameters.bundle = "whole"
    widget.enter()
    wait(lambda: panel.ui.explainButton.enabled)
    panel.ui.explainButton.click()
    for logic in desk.slices.values():
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        logic.FitSliceToBackground()
    turns = wait(lambda: not panel.run.running, client, windows)
    assert panel.shown is not None and panel.ui.messageLabel.text == "", panel.ui.messageLabel.text
    print(f"maps of {np.prod(SHAPE) / 1e6:.1f} million voxels; the longest turns of the event loop:")
    drawn = [turn for turn in turns if turn[2].startswith("drawing")]
    for title, found in (("of the module", [turn for turn in turns if turn not in drawn]), ("of drawing", drawn)):
        print(
            f"{title}, {len(found)} turns\n  own time    wall time  what it was, or the last that the worker had said"
        )
        for own, wall, said in sorted(found, reverse=True)[:most]:
            print(f"  {1000 * own:5.0f} ms   {1000 * wall:7.0f} ms  {said}")
    if not windows:
        print("nothing was drawn: there is no off-screen OpenGL")
    widget.cleanup()


class Views:
    """Slice views and a 3D view on the application's scene, with the logics that Slicer gives them."""

    def __init__(self) -> None:
        self.scene, self.application = slicer.mrmlScene, slicer.app.applicationLogic()
        self.application.SetSliceLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        self.slices = {name: self._slice_view(name, orientation) for name, orientation in VIEWS.items()}
        self.scene.AddNewNodeByClass("vtkMRMLViewNode", "View1").SetLayoutName("1")

    def _slice_view(self, name: str, orientation: str) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self.application)
        node = slicer.vtkMRMLSliceNode()
        node.SetName(name)
        node.SetLayoutName(name)
        node.SetSingletonTag(name)
        node = self.scene.AddNode(node)
        logic.SetMRMLScene(self.scene)
        logic.SetSliceNode(node)
        node.SetOrientation(orientation)
        node.SetDimensions(*VIEW_SIZE, 1)
        self.application.GetSliceLogics().AddItem(logic)
        return logic

    def windows(self) -> dict[str, Callable[[], object]]:
        """Draws each view, by what it is."""
        drawn: dict[str, Callable[[], object]] = {name: SliceView(self, name).draw for name in self.slices}
        in_3d = View3D(self, VIEW_SIZE)
        return {**drawn, "3D": lambda: in_3d.draw(FOCUS, 500.0, np.array([0.5, 0.8, 0.5]))}


Turn = tuple[float, float, str]
"""Own processor time, wall time, and what it was."""


def timed(work: Callable[[], object], what: Callable[[], str]) -> Turn:
    own, wall = time.thread_time(), time.perf_counter()
    work()
    return time.thread_time() - own, time.perf_counter() - wall, what()


def wait(
    condition: Callable[[], Any], client: Replay | None = None, windows: dict[str, Callable[[], object]] | None = None
) -> list[Turn]:
    """Turn Qt's event loop until a condition holds, and draw where something was done; each turn that there was."""
    turns: list[Turn] = []
    deadline = time.monotonic() + 300
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("it does not end")
        turns.append(timed(slicer.app.processEvents, lambda: "" if client is None else client.last))
        if turns[-1][0] > SOMETHING:
            turns += [timed(draw, lambda name=name: f"drawing {name}") for name, draw in (windows or {}).items()]
        time.sleep(0.001)
    return turns


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # PySide may abort while Python takes everything apart
