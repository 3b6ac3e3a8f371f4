"""ctk and qMRML widget classes: names from the C++ headers (qtclasses.json), behaviour by hand for the common ones."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

from PySide6 import QtCore, QtWidgets

from . import drawing, pythonqt

TABLE = json.loads(Path(__file__).with_name("qtclasses.json").read_text(encoding="utf-8"))
DEFAULTS = {"bool": False, "int": 0, "double": 0.0, "QString": "", "QStringList": []}
PYTYPE = {"bool": bool, "int": int, "double": float, "QString": str, "QStringList": list}
_made: dict = {}


class NotShimmed(NotImplementedError):
    """The C++ class has this method, but the harness has no behaviour for it."""


def _storedProperty(name, info):
    ctype = PYTYPE.get(info["type"], object)
    default = DEFAULTS.get(info["type"])

    def get(self):
        v = self.__dict__.get("_shim_" + name, default)
        return tuple(v) if info["type"] == "QStringList" else v  # PythonQt gives string lists as tuples

    def put(self, value):
        if ctype in (int, float, bool) and not isinstance(value, (int, float, bool)):
            raise AttributeError(f"Property '{name}' of type '{info['type']}' does not accept {type(value).__name__}")
        if ctype is list and isinstance(value, str):
            raise AttributeError(f"Property '{name}' of type 'QStringList' does not accept a str")
        value = ctype(value) if ctype is not object and value is not None else value
        old = get(self)
        self.__dict__["_shim_" + name] = value
        hook = getattr(self, "_shimChanged", None)
        if hook and old != value:
            hook(name, value)

    # PySide needs a C++ visible type for QUiLoader to set it
    visible = ctype if ctype is not object else "QVariant"
    return QtCore.Property(visible, get, put if info["write"] or info["set"] else None), get, put


def make(name):
    if name in _made:
        return _made[name]
    entry = TABLE[name]
    baseName = entry["base"].split("::")[-1]
    if baseName in TABLE:
        base = make(baseName)
    else:
        base = getattr(QtWidgets, baseName, None) or getattr(QtCore, baseName, QtWidgets.QWidget)
        if base is QtWidgets.QAbstractButton:
            base = QtWidgets.QPushButton
    body = {"_shimSignals": set(), "_shimProps": {}, "__module__": "ctk" if name.startswith("ctk") else "slicer"}
    behaviour = BEHAVIOUR.get(name, {})
    for sig, forms in entry["signals"].items():
        n = max(f.count(",") + 1 if not f.endswith("()") else 0 for f in forms)
        simple = [PYTYPE.get(a, object) for a in forms[0].split("(")[1][:-1].split(",") if a]
        body[sig] = QtCore.Signal(*(simple[:n] if len(simple) == n else [object] * n))
        body["_shimSignals"].update(forms)
    for prop, info in entry["properties"].items():
        p, get, put = _storedProperty(prop, info)
        body[prop] = p
        body["_shimProps"][prop] = (get, put if info["write"] or info["set"] else None)
        if info["set"]:
            body[info["set"]] = (lambda put: lambda self, value: put(self, value))(put)
        if info["read"] and info["read"] != prop:
            body[info["read"]] = (lambda get: lambda self: get(self))(get)
    for method in entry["methods"]:
        if method in body or hasattr(base, method):
            continue

        def stub(self, *args, _m=method, **kw):
            raise NotShimmed(f"{type(self).__name__}.{_m}")

        body[method] = stub
    for key, value in behaviour.items():
        body[key] = value[0] if isinstance(value, tuple) else value
        if isinstance(value, tuple):
            body["_shimProps"][key] = value[1:]
    cls = type(base)(name, (base,), body)
    _made[name] = pythonqt.native(cls)
    return cls


# ---- behaviours ------------------------------------------------------------------------------


def _slider_changed(self, name, value):
    if name in ("minimum", "maximum"):
        self.setValue(min(max(self.value, self.minimum), self.maximum))
    if name == "value":
        clipped = min(max(value, self.minimum), self.maximum)
        if clipped != value:
            self.__dict__["_shim_value"] = clipped
        self.valueChanged.emit(self.value)


def _slider_init(self, parent=None):
    QtWidgets.QWidget.__init__(self, parent)
    self.__dict__.update(_shim_maximum=99.0, _shim_singleStep=1.0, _shim_decimals=2)


def _setRange(self, lo, hi):
    self.minimum, self.maximum = lo, hi


def _collapsible_changed(self, name, value):
    if name == "collapsed":
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not value)
        self.contentsCollapsed.emit(value)


def _path_changed(self, name, value):
    if name == "currentPath":
        self.currentPathChanged.emit(value)


def _setScene(self, scene):
    self.__dict__["_shim_scene"] = scene
    self.mrmlSceneChanged.emit(scene)


def _scene(self):
    return self.__dict__.get("_shim_scene")


class _Combo:
    """qMRMLNodeComboBox over a real vtkMRMLScene."""

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        self.__dict__.update(
            _shim_node=None,
            _shim_tags=[],
            _shim_addEnabled=True,
            _shim_removeEnabled=True,
            _shim_noneEnabled=False,
            _shim_selectNodeUponCreation=True,
            _shim_showChildNodeTypes=True,
        )

    def setMRMLScene(self, scene):
        old = _scene(self)
        for tag in self.__dict__["_shim_tags"]:
            old.RemoveObserver(tag)
        self.__dict__["_shim_scene"], self.__dict__["_shim_tags"] = scene, []
        if scene is not None:
            self.__dict__["_shim_tags"] = [
                scene.AddObserver(scene.NodeAddedEvent, self._shimSceneChanged),
                scene.AddObserver(scene.NodeRemovedEvent, self._shimSceneChanged),
            ]
        self._shimSceneChanged()

    def _shimSceneChanged(self, caller=None, event=None):
        nodes = self.nodes()
        if self.__dict__["_shim_node"] not in nodes:
            self._shimSelect(None if self.noneEnabled or not nodes else nodes[0])

    def _shimSelect(self, node):
        if node is not self.__dict__["_shim_node"]:
            self.__dict__["_shim_node"] = node
            self.currentNodeChanged.emit(node)
            self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def nodes(self):
        scene = _scene(self)
        if scene is None:
            return []
        found = []
        for t in self.nodeTypes:
            for i in range(scene.GetNumberOfNodesByClass(t)):
                node = scene.GetNthNodeByClass(i, t)
                if (
                    (self.showHidden or not node.GetHideFromEditors())
                    and (self.showChildNodeTypes or node.GetClassName() == t)
                    and node not in found
                ):
                    found.append(node)
        return found

    def nodeCount(self):
        return len(self.nodes())

    def currentNode(self):
        return self.__dict__["_shim_node"]

    def setCurrentNode(self, node):
        self._shimSelect(node if node in self.nodes() else None)

    def setCurrentNodeID(self, nodeID):
        self.setCurrentNode(_scene(self).GetNodeByID(nodeID) if nodeID else None)

    def addNode(self, nodeType=None):
        node = _scene(self).AddNewNodeByClass(nodeType or self.nodeTypes[0], self.baseName)
        if self.selectNodeUponCreation:
            self._shimSelect(node)
        return node

    def addAttribute(self, nodeType, name, value=None):
        self.__dict__.setdefault("_shim_attributes", []).append((nodeType, name, value))

    def removeCurrentNode(self):
        _scene(self).RemoveNode(self.currentNode())


COMBO = {k: v for k, v in vars(_Combo).items() if callable(v)}


def _getID(self):
    return self.currentNode().GetID() if self.currentNode() else ""


def _setID(self, value):
    self.setCurrentNodeID(value)


COMBO["currentNodeID"] = COMBO["currentNodeId"] = (QtCore.Property(str, _getID, _setID), _getID, _setID)
COMBO["mrmlScene"] = _scene
COMBO.update(drawing.looks(drawing.draw_combo))


SLIDER = {
    "__init__": _slider_init,
    "_shimChanged": _slider_changed,
    "setRange": _setRange,
    **drawing.looks(drawing.draw_slider),
}
BEHAVIOUR = {
    "ctkSliderWidget": SLIDER,
    "ctkDoubleSpinBox": SLIDER,
    "ctkDoubleSlider": SLIDER,
    "ctkCollapsibleButton": {
        "_shimChanged": _collapsible_changed,
        **drawing.looks(drawing.draw_section, drawing.HEADER),
    },
    "ctkPathLineEdit": {
        "_shimChanged": _path_changed,
        "addCurrentPathToHistory": lambda self: None,
        **drawing.looks(drawing.draw_path),
    },
    "qMRMLWidget": {"setMRMLScene": _setScene, "mrmlScene": _scene},
    "qSlicerWidget": {"setMRMLScene": _setScene, "mrmlScene": _scene},
    "qMRMLNodeComboBox": COMBO,
    "qMRMLSegmentationShow3DButton": {
        "setSegmentationNode": lambda self, node: self.__dict__.update(_shim_segmentation=node),
        "segmentationNode": lambda self: self.__dict__.get("_shim_segmentation"),
    },
}


class LazyModule(types.ModuleType):
    """ctk, and the widget part of slicer: a class comes to be when first asked for."""

    def __getattr__(self, name):
        if name in TABLE and name.startswith(("ctk",)):
            return make(name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def install(slicer):
    sys.modules["ctk"] = LazyModule("ctk")
    for name in TABLE:
        if name.startswith(("qMRML", "qSlicer")) and not hasattr(slicer, name):
            try:
                setattr(slicer, name, make(name))
            except Exception as exc:  # multiple inheritance, non-QWidget bases: not needed here
                if os.environ.get("SHIM_DEBUG"):
                    print("not shimmed:", name, exc)
