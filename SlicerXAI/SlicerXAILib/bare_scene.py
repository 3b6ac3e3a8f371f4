"""3D Slicer's scene, logics, slice views and layout without its desktop: the real MRML of the package slicer-core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
"""As in Slicer."""


class BareScene:
    """A scene with what Slicer puts into it: colours, slice views, a layout.

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
        """Let the scene be read from and written to .mrb files, which Slicer packs and unpacks in a cache folder."""
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

    def close(self) -> None:
        """Take everything apart in the order in which nothing is missed."""
        self.layout_logic.SetMRMLScene(None)
        self.application.SetSliceLogics(None)
        self.slices = {}
        self.scene.Clear(1)
