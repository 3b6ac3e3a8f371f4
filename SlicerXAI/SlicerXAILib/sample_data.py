"""Sample data for the tutorial: a chest CT phantom with one nodule, made on the spot, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
import slicer.util
from slicer.i18n import tr as _

from SlicerXAILib.background import Background
from SlicerXAILib.places import engine_folder, python_program

CATEGORY = "SlicerXAI"
SAMPLE = "ChestCTPhantom"
POINT = "Nodule"
_WAY_SECONDS = 0.005
_MAKER = Path(__file__).with_name("make_phantom.py")


def register(icon: str) -> None:
    """Offer the sample in Slicer's Sample Data module.

    Args:
        icon: path of its picture.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE,
        uris=[],
        fileNames=[],
        nodeNames=[],
        thumbnailFileName=icon,
        customDownloader=lambda source: SampleMaker().start(),
    )


class SampleMaker:
    """Makes the sample in a process of its own and puts it into the scene when it is there.

    Args:
        done: called with the volume and the point node, for those who wait.
    """

    _under_way: set[Any] = set()  # noqa: RUF012
    """Keeps makers alive until they are done: nobody else holds them."""

    def __init__(self, done: Callable[[Any, Any], None] | None = None) -> None:
        self._done = done
        self._background = Background()
        self._timer = qt.QTimer()
        self._timer.setInterval(100)
        self._timer.connect("timeout()", self._tick)

    def start(self) -> None:
        """Begin; returns at once."""
        slicer.util.showStatusMessage(_("Making the sample chest CT; it takes some seconds ..."))
        self._under_way.add(self)
        self._background.run(make_files, self._put, self._fail)
        self._timer.start()

    def _tick(self) -> None:
        self._background.give_way(_WAY_SECONDS)
        self._background.poll()

    def _put(self, folder: Path) -> None:
        self._end()
        slicer.util.showStatusMessage(_("The sample chest CT is loaded."), 3000)
        volume, point = load_files(folder)
        if self._done is not None:
            self._done(volume, point)

    def _fail(self, error: Exception) -> None:
        self._end()
        slicer.util.errorDisplay(
            _("The sample cannot be made: {reason}\n\nIs all there, by the module's section 'Set-up'?").format(
                reason=error
            )
        )

    def _end(self) -> None:
        self._timer.stop()
        self._under_way.discard(self)


def make_files() -> Path:
    """Run the program that makes the phantom; returns the folder that holds it.

    Raises:
        RuntimeError: it failed; says the last line that it wrote.
    """
    folder = Path(tempfile.mkdtemp(prefix="slicerxai-sample-"))
    path = os.pathsep.join(filter(None, [str(engine_folder()), os.environ.get("PYTHONPATH")]))
    ran = subprocess.run(
        [python_program(), str(_MAKER), str(folder)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows would open a console
    )
    if ran.returncode:
        lines = ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"]
        raise RuntimeError(lines[-1])
    return folder


def load_files(folder: Path) -> tuple[Any, Any]:
    """Put the phantom and the nodule's place into the scene; returns volume and point node."""
    words = json.loads((folder / "scan.json").read_text(encoding="utf-8"))
    array = np.load(folder / "scan.npy")
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", SAMPLE)
    slicer.util.updateVolumeFromArray(volume, np.ascontiguousarray(array.T))
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.array(words["affine_ras"])))
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(1400, -500)  # the usual lung window
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", POINT)
    point.CreateDefaultDisplayNodes()
    point.AddControlPoint(*words["nodule_ras_mm"], POINT)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume, point
