"""3D Slicer's scene, slice views and 3D views without its desktop: the real MRML of slicer-core, drawn off screen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
"""As in Slicer."""


def can_draw() -> bool:
    """Whether off-screen OpenGL works. VTK ends the process where the library is missing: another one tries it."""
    code = "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.SetMultiSamples(0); w.Render()"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    return tried.returncode == 0 and b"failed" not in tried.stderr.lower()


class Desk:
    """A scene with what Slicer puts into it: colours, slice views, a layout, a crosshair.

    Args:
        size: width and height of each view in pixels.
    """

    def __init__(self, size: tuple[int, int] = (240, 200)) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.size = size
        self.application = slicer.vtkMRMLApplicationLogic()
        self.application.SetMRMLScene(self.scene)
        self.application.SetSliceLogics(vtk.vtkCollection())
        self.application.SetHomeDirectory(str(Path(slicer.__file__).parent))
        self.application.SetShareDirectory("share")  # there is none: Slicer's colour files are not in the package
        self.logics = [self.application]
        for kind in ("Color", "Segmentations", "Markups", "SubjectHierarchy", "Volumes", "Transform"):
            self._start(kind)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        self.layout_logic = slicer.vtkMRMLLayoutLogic()
        self.layout_logic.SetMRMLScene(self.scene)
        self.slices: dict[str, Any] = {}
        for name, orientation in VIEWS.items():
            self.add_slice_view(name, orientation)

    def allow_bundles(self, cache: str) -> None:
        """Let the scene be read from an .mrb file, which Slicer unpacks in a cache folder."""
        remote = slicer.vtkMRMLRemoteIOLogic()
        remote.SetMRMLScene(self.scene)
        remote.AddDataIOToScene()
        remote.GetCacheManager().SetRemoteCacheDirectory(cache)
        self.logics.append(remote)

    def _start(self, kind: str) -> None:
        name = next(n for n in (f"vtkSlicer{kind}Logic", f"vtkSlicer{kind}ModuleLogic") if hasattr(slicer, n))
        logic = getattr(slicer, name)()
        logic.SetMRMLApplicationLogic(self.application)
        logic.SetMRMLScene(self.scene)
        if kind == "Color":
            self.application.SetModuleLogic("Colors", logic)
        self.logics.append(logic)

    def add_slice_view(self, name: str, orientation: str) -> Any:
        """A slice view's logic, with its slice and composite nodes."""
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self.application)
        node = self.scene.GetSingletonNode(name, "vtkMRMLSliceNode")
        if node is None:
            node = self.scene.CreateNodeByClass("vtkMRMLSliceNode")
            node.UnRegister(None)
            node.SetName(name)
            node.SetLayoutName(name)
            node.SetSingletonTag(name)
            node = self.scene.AddNode(node)
        logic.SetMRMLScene(self.scene)
        logic.SetSliceNode(node)
        if logic.GetSliceCompositeNode() is None:
            raise RuntimeError(f"no composite node for {name}")
        node.SetOrientation(orientation)
        node.SetDimensions(*self.size, 1)
        self.slices[name] = logic
        self.application.GetSliceLogics().AddItem(logic)
        return logic

    def add_volume(self, values: np.ndarray, affine_ras: np.ndarray, name: str = "CT") -> Any:
        """A scalar volume node; ``values`` has axes (i, j, k)."""
        node = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node.CreateDefaultDisplayNodes()
        slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(values.transpose(2, 1, 0)))
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine_ras))
        return node

    def fit(self) -> None:
        """Show the whole background in every slice view."""
        for logic in self.slices.values():
            logic.FitSliceToBackground()

    def layer(self, view: str, number: int = 1) -> np.ndarray:
        """Values of a layer's volume in a slice view, axes (y, x), as they are before colours; NaN outside."""
        logic = self.slices[view]
        layer = logic.GetNthLayer(number)
        reslice = layer.GetReslice()
        reslice.SetBackgroundLevel(-1e9)
        reslice.Update()
        image = reslice.GetOutput()
        values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[1::-1])
        return np.where(values <= -1e8, np.nan, values)

    def picture(self, view: str) -> np.ndarray:
        """What a slice view shows of its volumes, axes (y, x, 3), uint8, y upwards: no outlines, no legends."""
        logic = self.slices[view]
        logic.UpdateImageData()
        source = logic.GetImageDataConnection().GetProducer()
        source.Update()
        image = source.GetOutputDataObject(0)
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[..., :3]

    def to_ras(self, view: str, x: float, y: float) -> np.ndarray:
        """World RAS mm at the centre of a pixel, as Slicer maps it."""
        return np.array(self.slices[view].GetSliceNode().GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))[:3])

    def close(self) -> None:
        """Take everything apart in the order in which nothing is missed."""
        self.layout_logic.SetMRMLScene(None)
        self.application.SetSliceLogics(None)
        self.slices = {}
        self.scene.Clear(1)

    def nodes(self) -> list[str]:
        """IDs of all nodes in the scene, to see whether any is left behind."""
        return sorted(self.scene.GetNthNode(i).GetID() for i in range(self.scene.GetNumberOfNodes()))
