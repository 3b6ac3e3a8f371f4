from __future__ import annotations

import os
import sys
import tempfile
import types

from PySide6 import QtCore, QtWidgets


class ModuleParent:
    """qSlicerScriptedLoadableModule as the Python module object sees it."""

    _ALLOWED = frozenset(
        [
            "title",
            "categories",
            "dependencies",
            "contributors",
            "helpText",
            "acknowledgementText",
            "icon",
            "index",
            "hidden",
            "widgetRepresentationCreationEnabled",
            "path",
            "associatedNodeTypes",
        ]
    )

    def __init__(self, name, path):
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "path", path)

    def __setattr__(self, attr, value):
        if attr not in self._ALLOWED:
            raise AttributeError(f"qSlicerScriptedLoadableModule has no property '{attr}'")
        object.__setattr__(self, attr, value)

    def logic(self):
        return None


class ModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def module(self, name):
        import slicer

        return getattr(slicer.modules, name.lower(), None)


class App(QtWidgets.QApplication):
    startupCompleted = QtCore.Signal()
    temporaryPath = property(lambda self: tempfile.gettempdir())
    slicerHome = property(lambda self: "")
    slicerUserSettingsFilePath = property(lambda self: os.path.join(self.__dict__["_folder"], "Slicer.ini"))
    majorVersion = property(lambda self: 5)
    minorVersion = property(lambda self: 13)
    documentationBaseUrl = property(lambda self: "https://slicer.readthedocs.io")

    def translate(self, context, text):
        """What a catalogue of translations would say; tests put one in the place of ``catalogue``."""
        return self.__dict__.get("catalogue", lambda text: text)(text)

    def testingEnabled(self):
        return True

    def commandOptions(self):
        return types.SimpleNamespace(testingEnabled=True, noMainWindow=True)

    def moduleManager(self):
        return self.__dict__["_manager"]

    def layoutManager(self):
        return None

    def mrmlScene(self):
        return self.__dict__["_scene"]

    def applicationLogic(self):
        return self.__dict__["_logic"]

    def settings(self):
        return QtCore.QSettings(os.path.join(self.__dict__["_folder"], "Slicer.ini"), QtCore.QSettings.IniFormat)

    userSettings = settings

    def moduleDocumentationUrl(self, name):
        return ""

    def pauseRender(self):
        pass

    def resumeRender(self):
        pass


def install(slicer, qt):
    QtCore.QCoreApplication.setOrganizationName("harness")
    QtCore.QSettings.setPath(QtCore.QSettings.NativeFormat, QtCore.QSettings.UserScope, tempfile.mkdtemp())
    app = App(sys.argv[:1])
    import vtk

    vtk.vtkObject.GlobalWarningDisplayOff()
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene, slicer.app = scene, app
    cache, data = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    app.__dict__["_folder"] = tempfile.mkdtemp()
    cache.SetRemoteCacheDirectory(app.__dict__["_folder"])
    cache.SetMRMLScene(scene)
    data.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(data)  # reads scenes in one file (.mrb)
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    app.__dict__.update(_manager=ModuleManager(), _scene=scene, _logic=logic)
    slicer.modules = types.ModuleType("slicer.modules")
    slicer.moduleNames = types.ModuleType("slicer.moduleNames")
    sys.modules["slicer.modules"], sys.modules["slicer.moduleNames"] = slicer.modules, slicer.moduleNames
    for name, cls in {
        "colors": "vtkSlicerColorLogic",
        "volumes": "vtkSlicerVolumesLogic",
        "segmentations": "vtkSlicerSegmentationsModuleLogic",
        "terminologies": "vtkSlicerTerminologiesModuleLogic",
        "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
        "plots": "vtkSlicerPlotsLogic",
        "volumerendering": "vtkSlicerVolumeRenderingLogic",
    }.items():
        real = getattr(slicer, cls)()
        if hasattr(real, "SetMRMLApplicationLogic"):
            real.SetMRMLApplicationLogic(logic)
        real.SetMRMLScene(scene)
        parent = ModuleParent(name, "")
        object.__setattr__(parent, "logic", (lambda r: lambda: r)(real))
        setattr(slicer.modules, name, parent)
    vtk.vtkObject.GlobalWarningDisplayOn()
