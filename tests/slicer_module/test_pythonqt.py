"""PythonQt to the letter, where PySide6, on which the tests run, takes more: read off the source and the ``.ui``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.slicer_panel import ROOT

MODULE = ROOT / "SlicerXAI"
SOURCES = sorted(MODULE.rglob("*.py"))
SIGNATURE = re.compile(r"[a-z]\w*\((?:[\w:]+\*?(?:,[\w:]+\*?)*)?\)")
NOT_THERE = {"Signal", "Slot", "Property", "QtCore", "QtGui", "QtWidgets"}
"""Names of PySide6 that the module ``qt`` of Slicer does not have."""


def chain(node: ast.AST) -> list[str]:
    """``qt.Qt.UserRole`` as its names; empty for what is no chain of names."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def mistakes(tree: ast.AST) -> Iterator[str]:
    """What PythonQt would not take."""
    for node in ast.walk(tree):
        names = chain(node) if isinstance(node, ast.Attribute) else []
        if names[:1] == ["qt"]:
            if len(names) > 3:
                yield f"{'.'.join(names)}: enums have no scope of their own"
            if names[1] in NOT_THERE:
                yield f"{'.'.join(names)} is not there"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            if (module or "").startswith(("PySide", "PyQt")):
                yield f"{module} is not in Slicer"
        if not isinstance(node, ast.Call):
            continue
        called = chain(node.func)
        if called[:1] == ["qt"] and node.keywords:
            yield f"{'.'.join(called)}: keywords are not taken"
        if isinstance(node.func, ast.Attribute) and node.func.attr == "connect" and len(node.args) == 2:
            signal = node.args[0]
            if isinstance(signal, ast.Constant) and not SIGNATURE.fullmatch(str(signal.value)):
                yield f"{signal.value!r} is no signature"
        if isinstance(node.func, ast.Attribute) and node.func.attr == "exec" and not node.args:
            yield "exec() is exec_()"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_qt_is_spoken_as_pythonqt_takes_it(path: Path) -> None:
    assert list(mistakes(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "line",
    [
        "qt.QTimer(interval=50)",
        "item.data(qt.Qt.ItemDataRole.UserRole)",
        "changed = qt.Signal(int)",
        "from PySide6 import QtCore",
        "button.connect('clicked', f)",
        "button.connect('clicked( bool )', f)",
        "dialog.exec()",
    ],
)
def test_what_only_pyside_takes_is_found(line: str) -> None:
    assert len(list(mistakes(ast.parse(line)))) == 1


UI = ElementTree.parse(MODULE / "Resources" / "UI" / "SlicerXAI.ui").getroot()


def test_every_control_of_slicer_gets_the_scene_from_the_page() -> None:
    top = UI.find("widget")
    assert top is not None and top.get("class") == "qMRMLWidget"
    wanted = {w.get("name") for w in top.iter("widget") if w is not top and w.get("class", "").startswith("qMRML")}
    got = {
        found.findtext("receiver")
        for found in UI.iter("connection")
        if (found.findtext("sender"), found.findtext("signal"), found.findtext("slot"))
        == (top.get("name"), "mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(vtkMRMLScene*)")
    }
    assert got == wanted


def test_every_class_that_is_not_qts_is_declared_with_its_header() -> None:
    used = {widget.get("class", "") for widget in UI.iter("widget")}
    declared = {one.findtext("class"): one.findtext("header") for one in UI.iter("customwidget")}
    assert {name for name in used if not name.startswith("Q") and name != "Line"} <= set(declared)
    assert all(header == f"{name}.h" for name, header in declared.items())


def test_no_two_controls_share_a_name() -> None:
    names = [widget.get("name") for widget in UI.iter("widget")]
    assert len(names) == len(set(names))
