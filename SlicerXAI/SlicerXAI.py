"""The 3D Slicer module SlicerXAI: why did a classifier answer as it did? Everything is in SlicerXAILib."""

import importlib
import sys
from pathlib import Path

import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class SlicerXAI(ScriptedLoadableModule):
    """What Slicer's module list says of the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("XAI: explain a classifier")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = []
        self.parent.contributors = ["The SlicerXAI developers"]
        self.parent.helpText = _(
            "Shows, on the patient's own volume, what speaks for and against the answer of a MONAI classifier: "
            "Grad-CAM, LIME, and the two fused, with a test of whether the model uses what the map shows.<br>"
            "For research, not for diagnosis."
        )
        self.parent.acknowledgementText = _("Built on MONAI, PyTorch, grad-cam and lime. Apache License 2.0.")
        slicer.app.connect("startupCompleted()", self._register_sample)

    def _register_sample(self):
        from SlicerXAILib import sample_data

        sample_data.register(str(Path(__file__).parent / "Resources" / "Icons" / "SlicerXAI.png"))


class SlicerXAIWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Slicer's side of the panel: the parameter node, the scene's events, and the panel's life."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._gui = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from SlicerXAILib.widget import Panel

        page = slicer.util.loadUI(self.resourcePath("UI/SlicerXAI.ui"))
        self.layout.addWidget(page)
        page.setMRMLScene(slicer.mrmlScene)
        self.logic = SlicerXAILogic()
        self.panel = Panel(slicer.util.childWidgetVariables(page))
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._scene_closing)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._take_parameters)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self._take_parameters)
        self._take_parameters()

    def enter(self):
        self._take_parameters()
        self.panel.enter()

    def cleanup(self):
        self._leave_parameters()
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()

    def onReload(self):
        for name in [name for name in sys.modules if name.partition(".")[0] == "SlicerXAILib"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        ScriptedLoadableModuleWidget.onReload(self)

    def _scene_closing(self, caller=None, event=None):
        self.panel.scene_closing()
        self._leave_parameters()

    def _take_parameters(self, caller=None, event=None):
        if slicer.mrmlScene.IsClosing() or slicer.mrmlScene.IsImporting():
            return
        self._leave_parameters()
        parameters = self.logic.getParameterNode()
        self._gui = parameters, parameters.connectGui(self.panel.ui)
        self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._refresh)
        self.panel.set_parameters(parameters)

    def _leave_parameters(self):
        if self._gui is not None:
            parameters, connection = self._gui
            self._gui = None
            parameters.disconnectGui(connection)
            self.removeObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._refresh)
            self.panel.set_parameters(None)

    def _refresh(self, caller=None, event=None):
        self.panel.parameters_changed()


class SlicerXAILogic(ScriptedLoadableModuleLogic):
    """Gives the parameter node; the work is done by SlicerXAILib and the worker's process."""

    def getParameterNode(self):
        from SlicerXAILib.parameters import Parameters

        return Parameters(ScriptedLoadableModuleLogic.getParameterNode(self))


class SlicerXAITest(ScriptedLoadableModuleTest):
    """Slicer's self test: the sample is made, explained by the shipped model, and shown."""

    def runTest(self):
        from SlicerXAILib.self_test import run

        slicer.mrmlScene.Clear()
        run()
