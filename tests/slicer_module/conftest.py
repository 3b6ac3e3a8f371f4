"""The real panel with a real worker, opened once; each test gets an empty scene with three slice views."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.slicer_panel import MODULE, bootstrapped, until

POINT = "Nodule"


class Answers:
    """A user who answers at once: takes the place of ``Dialogs``."""

    def __init__(self) -> None:
        self.folder = ""
        self.zip = ""
        self.yes = False
        self.asked: list[str] = []
        self.clipboard = ""

    def choose_folder(self, title: str) -> str:
        return self.folder

    def choose_zip(self, title: str) -> str:
        return self.zip

    def confirm(self, text: str) -> bool:
        self.asked.append(text)
        return self.yes

    def copy(self, text: str) -> None:
        self.clipboard = text


@pytest.fixture(scope="session")
def slicer() -> Any:
    return bootstrapped()


@pytest.fixture
def slicer_scene(slicer: Any) -> Any:
    """The scene, emptied."""
    slicer.mrmlScene.Clear()
    return slicer.mrmlScene


@pytest.fixture(scope="session")
def opened(slicer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module, opened, with a worker that is starting; ended at the end of the session."""
    import slicer_harness
    from SlicerXAILib import dialogs
    from SlicerXAILib.sample_data import SAMPLE  # noqa: F401  the module's package can be imported

    answers = Answers()
    dialogs.Dialogs = lambda: answers
    sys.modules.pop("SlicerXAILib.widget", None)
    widget = slicer_harness.loadModule(str(MODULE))[2]
    widget.enter()
    yield SimpleNamespace(widget=widget, panel=widget.panel, ui=widget.panel.ui, answers=answers)
    widget.cleanup()


@pytest.fixture
def desk(opened: Any, slicer: Any, slicer_scene: Any) -> Any:
    """An empty scene, no message, no errors in slots before or after."""
    from slicer_harness import pythonqt

    for name in ("Red", "Green", "Yellow"):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
        node.SetLayoutName(name)
        node.SetName(name)
        node.SetOrientation({"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}[name])
    opened.panel.messages.clear()
    opened.answers.__init__()
    pythonqt.errors.clear()
    yield opened
    assert pythonqt.errors == []


@pytest.fixture
def ready(desk: Any) -> Any:
    """The same, with an engine that is ready and has described the shipped bundles."""
    until(lambda: desk.panel.engine.state == "ready" and desk.panel.engine.bundles)
    assert desk.panel.parameters.bundle in desk.panel.engine.bundles  # one is chosen to begin with
    desk.panel.inputs.open_bundle("lung_nodule_ct")
    return desk


@pytest.fixture(scope="session")
def phantom_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample chest CT as the module's maker writes it."""
    from SlicerXAILib.make_phantom import main

    folder = tmp_path_factory.mktemp("phantom")
    main(folder)
    return folder


@pytest.fixture
def phantom(desk: Any, phantom_files: Path) -> Any:
    """The sample in the scene: its volume and its point."""
    from SlicerXAILib.sample_data import load_files

    volume, point = load_files(phantom_files)
    return SimpleNamespace(volume=volume, point=point)


@pytest.fixture
def small_volume(slicer: Any, slicer_scene: Any) -> Any:
    """12 x 10 x 8 voxels with numbers that say where they are."""
    import slicer.util

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "small")
    slicer.util.updateVolumeFromArray(node, np.arange(960, dtype=np.int16).reshape(8, 10, 12))
    node.SetSpacing(1, 2, 3)
    node.SetOrigin(-5, 7, 11)
    return node


@pytest.fixture
def slicer_module_copy(slicer: Any) -> Any:
    """Another widget of the module, as after 'Reload'."""
    import slicer_harness

    return slicer_harness.loadModule(str(MODULE))[2]
