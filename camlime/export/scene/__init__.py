"""An explanation as a scene of 3D Slicer, shown as the module shows it."""

from camlime.export.scene.writing import export_scene

__all__ = ["export_scene"]
