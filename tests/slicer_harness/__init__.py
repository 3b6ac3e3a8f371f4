"""Run a Slicer scripted module without Slicer: slicer-core (real MRML) + PySide6 dressed as PythonQt.

bootstrap(source) takes a checkout of Slicer's ``Base/Python/slicer`` folder; nothing of it is copied. Without one,
small stand-ins written here take the place of its files (standin.py).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys


def bootstrap(slicerPython=None, extraPaths=()):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    import slicer

    if getattr(slicer, "_shimReady", False):
        return slicer
    from . import pythonqt

    qt = pythonqt.install()[0]
    if slicerPython is None:
        from . import standin

        standin.install(slicer)
    else:
        slicer.__path__.append(slicerPython)  # after slicer-core's own folder: its util.py wins
    from . import app, uiloader, widgets

    qt.QUiLoader = uiloader.UiLoader
    widgets.install(slicer)
    app.install(slicer, qt)
    sys.path[:0] = list(extraPaths)
    slicer._shimReady = True
    return slicer


def loadModule(path):
    """Import a scripted module file, make its module, widget (with setup()) and return (module, widget)."""
    import qt
    import slicer

    from . import app

    name = os.path.splitext(os.path.basename(path))[0]
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code
    spec.loader.exec_module(code)
    parent = app.ModuleParent(name, os.path.abspath(path))
    setattr(slicer.modules, name.lower(), parent)
    instance = getattr(code, name)(parent)
    setattr(slicer.modules, name + "Instance", instance)
    widget = None
    if hasattr(code, name + "Widget"):
        frame = slicer.qMRMLWidget()
        frame.setLayout(qt.QVBoxLayout())
        frame.setMRMLScene(slicer.mrmlScene)
        frame.__dict__["isEntered"] = True
        widget = getattr(code, name + "Widget")(frame)
        setattr(slicer.modules, name + "Widget", widget)
        widget.setup()
    return code, instance, widget
