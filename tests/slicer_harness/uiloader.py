"""QUiLoader that knows ctk/qMRML classes, checks .ui property names and makes the <connections> itself."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import pythonqt, widgets


class UiError(RuntimeError):
    pass


def check(root):
    problems = []
    for w in root.iter("widget"):
        cls = w.get("class")
        if cls == "Line":  # Designer's own name for a QFrame
            continue
        if cls in widgets.TABLE:
            known = widgets.make(cls)
        elif not hasattr(QtWidgets, cls):
            problems.append(f"{w.get('name')}: class {cls} is in neither Qt, CTK nor Slicer headers")
            continue
        else:
            known = getattr(QtWidgets, cls)
        for p in w.findall("property"):
            name = p.get("name")
            if p.get("stdset") == "0" or hasattr(p, "dynamic"):
                continue
            if known.staticMetaObject.indexOfProperty(name) < 0:
                problems.append(f"{w.get('name')} ({cls}): no property '{name}'")
    return problems


def value(element):
    """The Python value of a <property>'s child element."""
    child = element[0]
    readers = {
        "bool": lambda: child.text == "true",
        "number": lambda: int(child.text),
        "double": lambda: float(child.text),
        "string": lambda: child.text or "",
        "stringlist": lambda: [s.text or "" for s in child.findall("string")],
    }
    return readers.get(child.tag, lambda: child.text)()


class UiLoader(QtUiTools.QUiLoader):
    def createWidget(self, className, parent=None, name=""):
        if className in widgets.TABLE:
            made = widgets.make(className)(parent)
            made.setObjectName(name)
            self.__dict__.setdefault("_shimKeep", []).append(made)
            return made
        return QtUiTools.QUiLoader.createWidget(self, className, parent, name)

    def load(self, device, parent=None):
        data = bytes(device.readAll().data())
        root = ET.fromstring(data)
        problems = check(root)
        if problems:
            raise UiError("; ".join(problems))
        later = []
        for w in root.iter("widget"):
            if w.get("class") in widgets.TABLE:
                for p in w.findall("property"):
                    try:
                        pythonqt.accessors(widgets.make(w.get("class")), p.get("name"))
                    except AttributeError:
                        continue
                    later.append((w.get("name"), p.get("name"), value(p)))
                    w.remove(p)
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        top = QtUiTools.QUiLoader.load(self, buffer, parent)
        if top is None:
            raise UiError("QUiLoader: " + self.errorString())
        byName = {w.objectName: w for w in [top, *top.findChildren(QtCore.QObject)]}
        for widget, prop, v in later:
            try:
                setattr(byName[widget], prop, v)
            except (AttributeError, TypeError, ValueError) as exc:
                raise UiError(f"{widget}.{prop}: {exc}") from exc
        for c in connections if connections is not None else []:
            f = {k: c.find(k).text for k in ("sender", "signal", "receiver", "slot")}
            for end in ("sender", "receiver"):
                if f[end] not in byName:
                    raise UiError(f"connection names an unknown {end} '{f[end]}'")
            receiver, slot = byName[f["receiver"]], f["slot"].split("(")[0]
            if not hasattr(receiver, slot):
                raise UiError(f"{f['receiver']} has no slot {f['slot']}")
            pythonqt.connect(byName[f["sender"]], f["signal"], getattr(receiver, slot))
        return top
