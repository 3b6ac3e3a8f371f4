"""In the place of Slicer's own Python files, where no checkout of Slicer is given: enough for modules like this one.

``install`` makes the modules ``slicer.i18n``, ``slicer.ScriptedLoadableModule`` and ``slicer.parameterNodeWrapper``.
They are written for these tests, from what Slicer's developer guide says of them, and know no more than is used here:
a text is translated by ``slicer.app``, and a parameter is a text, a number, a truth value or a node. What they cannot
do is an error. Whether a module behaves the same on Slicer's own files is seen with ``SLICER_PYTHON``.
"""

from __future__ import annotations

import os
import sys
import types
import typing

TYPES = (bool, int, float, str)
PROPERTY = "SlicerParameterName"


class Choice:
    """One of these values."""

    def __init__(self, choices):
        self.choices = list(choices)

    def check(self, value):
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


class WithinRange:
    """A number from one to the other, both included."""

    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def check(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value!r} is not within {self.minimum} and {self.maximum}")


class Parameter:
    """One attribute of the wrapper, kept in the parameter node: nodes as references, all else as text."""

    def __init__(self, name, kind, checks, default):
        self.name, self.kind, self.checks = name, kind, checks
        self.isNode = kind not in TYPES
        choice = next((check.choices[0] for check in checks if isinstance(check, Choice)), None)
        self.default = default if default is not None else choice if self.isNode or choice is not None else kind()

    def __get__(self, wrapper, owner=None):
        if wrapper is None:
            return self
        node = wrapper.parameterNode
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        return text == "True" if self.kind is bool else self.kind(text)

    def __set__(self, wrapper, value):
        node = wrapper.parameterNode
        if self.isNode:
            if value is not None and not value.IsA(self.kind.__name__):
                raise TypeError(f"{self.name} takes a {self.kind.__name__}, not a {value.GetClassName()}")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        if not isinstance(value, (int, float) if self.kind is float else self.kind):
            raise TypeError(f"{self.name} takes a {self.kind.__name__}, not {value!r}")
        for check in self.checks:
            check.check(value)
        node.SetParameter(self.name, str(self.kind(value)))


def parameterNodeWrapper(cls):
    """Make each annotated attribute of a class a parameter of the node that its constructor is given."""
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        kind, *checks = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
        setattr(cls, name, Parameter(name, kind, checks, getattr(cls, name, None)))
    return type(cls.__name__, (Wrapper, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})


class Wrapper:
    """What every wrapped parameter node has."""

    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._guis = {}
        for name, parameter in self._parameters().items():
            if not parameter.isNode and not parameterNode.GetParameterNames().count(name):
                setattr(self, name, parameter.default)

    @classmethod
    def _parameters(cls):
        found = {}
        for base in reversed(cls.__mro__):
            found |= {name: value for name, value in vars(base).items() if isinstance(value, Parameter)}
        return found

    def __getattr__(self, name):
        if name in ("StartModify", "EndModify", "AddObserver", "RemoveObserver", "Modified"):
            return getattr(self.parameterNode, name)
        raise AttributeError(name)

    def connectGui(self, gui):
        """Keep the controls whose property ``SlicerParameterName`` names a parameter in step with it."""
        import vtk

        links = []
        for widget in vars(gui).values():
            name = widget.property(PROPERTY)
            if name:
                if name not in self._parameters():
                    raise ValueError(f"{widget.objectName} names an unknown parameter '{name}'")
                links.append(Link(self, name, widget))

        def show(caller=None, event=None):
            for link in links:
                link.show()

        show()
        tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, show)
        self._guis[tag] = links
        return tag

    def disconnectGui(self, tag):
        self.RemoveObserver(tag)
        for link in self._guis.pop(tag):
            link.end()


class Link:
    """One control and one parameter."""

    def __init__(self, wrapper, name, widget):
        self.wrapper, self.name, self.widget = wrapper, name, widget
        self.attribute, self.signal = self._kind()
        widget.connect(self.signal, self.take)

    def _kind(self):
        ways = {
            "qMRMLNodeComboBox": ("", "currentNodeChanged(vtkMRMLNode*)"),
            "QCheckBox": ("checked", "stateChanged(int)"),
            "QSpinBox": ("value", "valueChanged(int)"),
            "QComboBox": ("currentText", "currentTextChanged(QString)"),
            "ctkSliderWidget": ("value", "valueChanged(double)"),
            "QLineEdit": ("text", "textChanged(QString)"),
        }
        for base in type(self.widget).__mro__:
            if base.__name__ in ways:
                return ways[base.__name__]
        raise TypeError(f"{self.widget.objectName}: no way to link a {type(self.widget).__name__}")

    def show(self):
        value = getattr(self.wrapper, self.name)
        if not self.attribute:
            self.widget.setCurrentNode(value)
        elif getattr(self.widget, self.attribute) != value:
            setattr(self.widget, self.attribute, value)

    def take(self):
        value = self.widget.currentNode() if not self.attribute else getattr(self.widget, self.attribute)
        if value != getattr(self.wrapper, self.name):
            setattr(self.wrapper, self.name, value)

    def end(self):
        self.widget.disconnect(self.signal, self.take)


class ScriptedLoadableModule:
    """The module as Slicer's list of modules knows it."""

    def __init__(self, parent):
        import qt

        self.parent, self.moduleName = parent, type(self).__name__
        icon = self.resourcePath(f"Icons/{self.moduleName}.png")
        if os.path.isfile(icon):
            parent.icon = qt.QIcon(icon)

    def resourcePath(self, filename):
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)


class ScriptedLoadableModuleWidget:
    """The module's page, on a widget that Slicer gives."""

    def __init__(self, parent=None):
        import slicer

        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent, self.layout = parent, parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._unloaded)

    def resourcePath(self, filename):
        import slicer

        path = getattr(slicer.modules, self.moduleName.lower()).path
        return os.path.join(os.path.dirname(path), "Resources", filename)

    def setup(self):
        pass

    def cleanup(self):
        pass

    def onReload(self):
        import slicer.util

        slicer.util.reloadScriptedModule(self.moduleName)

    def _unloaded(self, name):
        if name == self.moduleName:
            self.cleanup()


class ScriptedLoadableModuleLogic:
    """Knows the module's one parameter node in the scene."""

    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self):
        import slicer

        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
            node.SetName(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest:
    """A module's self test."""

    def runTest(self):
        raise NotImplementedError


def install(slicer):
    """Make the three modules, so that ``import`` finds them."""
    parts = {
        "i18n": {
            "tr": lambda text, context=None: slicer.app.translate(context, text),
            "translate": lambda context, text: slicer.app.translate(context, text),
        },
        "ScriptedLoadableModule": [
            ScriptedLoadableModule,
            ScriptedLoadableModuleWidget,
            ScriptedLoadableModuleLogic,
            ScriptedLoadableModuleTest,
        ],
        "parameterNodeWrapper": [Choice, WithinRange, parameterNodeWrapper],
    }
    for name, content in parts.items():
        module = types.ModuleType(f"slicer.{name}")
        named = content if isinstance(content, dict) else {each.__name__: each for each in content}
        vars(module).update(named)
        setattr(slicer, name, module)
        sys.modules[f"slicer.{name}"] = module
