from typing import Annotated

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class XAIDemo(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("XAI Demo")
        self.parent.categories = ["Classification"]


@parameterNodeWrapper
class XAIDemoParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    opacity: Annotated[float, WithinRange(0, 1)] = 0.5
    invert: bool = False
    method: Annotated[str, Choice(["Grad-CAM", "LIME"])] = "Grad-CAM"


class XAIDemoWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self._parameterNode = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        ui = slicer.util.loadUI(self.resourcePath("UI/XAIDemo.ui"))
        self.layout.addWidget(ui)
        self.ui = slicer.util.childWidgetVariables(ui)
        ui.setMRMLScene(slicer.mrmlScene)
        self.logic = XAIDemoLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self._parameterNode = self.logic.getParameterNode()
        self._tag = self._parameterNode.connectGui(self.ui)
        self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.checkCanApply)
        self.checkCanApply()

    def checkCanApply(self, caller=None, event=None):
        self.ui.applyButton.enabled = self._parameterNode.inputVolume is not None

    def onApply(self):
        p = self._parameterNode
        if not p.outputVolume:
            p.outputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "heat")
        self.logic.process(p.inputVolume, p.outputVolume, p.opacity, p.invert)


class XAIDemoLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return XAIDemoParameterNode(super().getParameterNode())

    def process(self, inputVolume, outputVolume, opacity, invert):
        a = slicer.util.arrayFromVolume(inputVolume).astype(np.float32)
        a = (a - a.min()) / max(float(np.ptp(a)), 1e-6)
        slicer.util.updateVolumeFromArray(outputVolume, 1 - a if invert else a)
        outputVolume.CopyOrientation(inputVolume)
        slicer.util.setSliceViewerLayers(background=inputVolume, foreground=outputVolume, foregroundOpacity=opacity)
