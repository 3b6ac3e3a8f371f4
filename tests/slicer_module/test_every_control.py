"""No control without a test: what the user can move is moved by one, what is said to the user is looked at by one.

The panel's ``.ui`` is read for its controls, the tests' source for what they do with them: a control that is added and
forgotten fails here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.slicer_panel import ROOT

UI = sorted((ROOT / "SlicerXAI" / "Resources" / "UI").glob("*.ui"))
TESTS = sorted(Path(__file__).parent.glob("test_*.py"))

MOVED = {
    "QPushButton": {"click"},
    "QCheckBox": {"click", "checked"},
    "QComboBox": {"choose", "setCurrentIndex"},
    "QSpinBox": {"value"},
    "ctkSliderWidget": {"value"},
    "ctkCollapsibleButton": {"collapsed"},
    "ctkPathLineEdit": {"currentPath"},
    "qMRMLNodeComboBox": {"setCurrentNode"},
    "qMRMLColorTableComboBox": {"setCurrentNode"},
}
"""By class, what a test does with it as the user would; ``choose`` is a helper that takes the control."""

CLICKED = {"predictionTable", "regionsTable"}
"""Tables whose rows lead somewhere."""

SHOWN = {"QLabel", "QProgressBar", "QPlainTextEdit", "QTableWidget"}
"""Classes that say something; labels with words of their own in the ``.ui`` say always the same and are left out."""

FRAMES = {"qMRMLWidget", "QFrame", "Line"}
"""Classes that only hold others."""


def controls() -> Iterator[tuple[str, str, bool]]:
    """Name and class of each control, and whether it has words of its own."""
    for path in UI:
        for widget in ElementTree.parse(path).iter("widget"):
            said = widget.find("property[@name='text']/string")
            yield widget.get("name", ""), widget.get("class", ""), said is not None and bool(said.text)


def done_with(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each ``control.action()``, ``control.action = ...``, ``control.cellClicked.emit()`` and ``choose(control)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield from ((each.attr, node.func.id) for each in node.args if isinstance(each, ast.Attribute))
            elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Attribute):
                inner = node.func.value
                yield inner.attr, node.func.attr
                if node.func.attr == "emit" and isinstance(inner.value, ast.Attribute):
                    yield inner.value.attr, inner.attr
        elif isinstance(node, ast.Assign):
            targets = [each for target in node.targets for each in ast.walk(target)]
            for each in targets:
                if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Attribute):
                    yield each.value.attr, each.attr


def looked_at(tree: ast.AST) -> Iterator[str]:
    """Each attribute that a test asserts something of, or waits for."""
    for node in ast.walk(tree):
        waits = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "until"
        if isinstance(node, ast.Assert) or waits:
            yield from (each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute))


TREES = [ast.parse(path.read_text()) for path in TESTS if path != Path(__file__)]
DONE = {pair for tree in TREES for pair in done_with(tree)}
LOOKED_AT = {name for tree in TREES for name in looked_at(tree)}


def forgotten(found: list[tuple[str, str, bool]], done: set[tuple[str, str]], seen: set[str]) -> list[str]:
    """Names of controls that nothing is done with, or that nothing is asserted of."""
    names = []
    for name, kind, has_words in found:
        actions = MOVED.get(kind, {"cellClicked"} if name in CLICKED else set())
        if actions and not any((name, action) in done for action in actions):
            names.append(f"{name} is moved by no test")
        if kind in SHOWN and not has_words and name not in seen:
            names.append(f"{name} is looked at by no test")
    return names


def test_every_control_is_moved_or_looked_at_by_a_test():
    assert forgotten(list(controls()), DONE, LOOKED_AT) == []


@pytest.mark.parametrize("kind", sorted({kind for _, kind, _ in controls()}))
def test_every_class_is_known_here(kind):
    assert kind in MOVED or kind in SHOWN or kind in FRAMES


def test_a_control_that_is_only_mentioned_is_found():
    lines = ("assert ui.a.enabled", "ui.b.click()", "ui.c.value, ui.d.value = 1, 2", "choose(ui.e, '')")
    tree = ast.parse("\n".join(lines))
    found = [("a", "QPushButton", True), ("b", "QPushButton", True), ("c", "QSpinBox", False), ("d", "QSpinBox", False)]
    found += [("e", "QComboBox", False), ("f", "QLabel", False), ("g", "QLabel", True)]
    told = forgotten(found, set(done_with(tree)), set(looked_at(tree)))
    assert told == ["a is moved by no test", "f is looked at by no test"]
