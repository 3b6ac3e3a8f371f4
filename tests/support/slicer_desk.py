"""3D Slicer's slice views and 3D views without its desktop, drawn off screen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
sys.path.append(str(Path(__file__).parents[2] / "SlicerXAI"))

from SlicerXAILib.bare_scene import BareScene
from vtk.util.numpy_support import vtk_to_numpy


def can_draw() -> bool:
    """Whether off-screen OpenGL works. VTK ends the process where the library is missing: another one tries it."""
    code = "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.SetMultiSamples(0); w.Render()"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    return tried.returncode == 0 and b"failed" not in tried.stderr.lower()


class Desk(BareScene):
    """A scene whose views can be looked at.

    Args:
        size: width and height of each view in pixels.
    """

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

    def nodes(self) -> list[str]:
        """IDs of all nodes in the scene, to see whether any is left behind."""
        return sorted(self.scene.GetNthNode(i).GetID() for i in range(self.scene.GetNumberOfNodes()))
