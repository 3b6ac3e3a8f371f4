"""Colour nodes for maps, made from the engine's tables, in which small magnitudes are transparent.

A slice view shows a voxel whose colour has an alpha of 0 as transparent, and any other as opaque
(``vtkMRMLScalarVolumeDisplayNode`` joins threshold and alpha by a logical and). A hole in the middle of a diverging
table is thus a threshold on magnitude for both signs at once; the volume's own threshold is one interval and cannot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from camlime.levels import Level
from camlime.palette import evidence_table, for_table, spread_table

TABLES = {"signed": evidence_table, "for": for_table, "spread": spread_table}
_NAMES = {"signed": "For and against", "for": "For", "spread": "Uncertainty"}
_SIZE = 256


def add_colours(scene: Any, kind: str) -> Any:
    """A colour node of 256 colours for one kind of map: ``"signed"``, ``"for"`` or ``"spread"``."""
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", f"SlicerXAI {_NAMES[kind]}")
    node.SetTypeToUser()
    node.SetNumberOfColors(_SIZE)
    node.SetAttribute("Category", "SlicerXAI")
    paint(node, TABLES[kind]())
    return node


def paint(node: Any, table: np.ndarray, *, hidden: np.ndarray | None = None) -> None:
    """Set all colours of a node.

    Args:
        node: a colour table node of 256 colours.
        table: ``(256, 3)``, 0 to 1.
        hidden: ``(256,)``, true where the colour is transparent; none by default.
    """
    alpha = np.ones(_SIZE) if hidden is None else 1.0 - hidden
    modifying = node.StartModify()
    for i, (red, green, blue) in enumerate(table):
        node.SetColor(i, f"{i}", float(red), float(green), float(blue), float(alpha[i]))
    node.EndModify(modifying)


def below(threshold: float, *, signed: bool) -> np.ndarray:
    """Which of 256 colours stand for magnitudes below a threshold, shape ``(256,)``.

    Args:
        threshold: share of the limit at which the colours end.
        signed: whether the first colour stands for minus the limit, else for zero.

    Example:
        >>> int(below(0.5, signed=True).sum()), int(below(0.5, signed=False).sum())
        (128, 128)
    """
    level = np.linspace(-1, 1, _SIZE) if signed else np.linspace(0, 1, _SIZE)
    return np.abs(level) < threshold


def table_of(node: Any) -> np.ndarray:
    """The colours of any colour node, shape ``(256, 3)``, taken at equal steps if it has another number of them."""
    count = node.GetNumberOfColors()
    rgba = [0.0] * 4
    table = np.zeros((_SIZE, 3))
    for i, at in enumerate(np.linspace(0, count - 1, _SIZE).round().astype(int)):
        node.GetColor(int(at), rgba)
        table[i] = rgba[:3]
    return table


def add_level_colours(scene: Any, levels: tuple[Level, ...], name: str) -> Any:
    """A colour node for a label map: each level's colour and name at its number, 0 transparent."""
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", f"SlicerXAI {name}")
    node.SetTypeToUser()
    node.SetNumberOfColors(max(level.label for level in levels) + 1)
    node.SetAttribute("Category", "SlicerXAI")
    for number in range(node.GetNumberOfColors()):
        node.SetColor(number, "", 0.0, 0.0, 0.0, 0.0)
    for level in levels:
        red, green, blue = (channel / 255 for channel in level.colour)
        node.SetColor(level.label, level.name, red, green, blue, 1.0)
    return node


def has_colours(node: Any) -> bool:
    """Whether a node is a colour node whose colours can be taken."""
    return isinstance(node, slicer.vtkMRMLColorNode) and node.GetNumberOfColors() > 1
