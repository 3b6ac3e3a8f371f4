"""The subject-hierarchy folder of an explanation: beside its input, found again by a mark that is saved with it."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

MARK = "SlicerXAI.explanation"


def add_folder(input_node: Any, title: str, mark: str) -> int:
    """A folder beside a node.

    Args:
        input_node: the folder becomes its sibling.
        title: the folder's name.
        mark: unique to the explanation.

    Returns:
        The folder's item ID, which holds for this session only.
    """
    tree = _tree(input_node.GetScene())
    item = tree.GetItemByDataNode(input_node)
    parent = tree.GetItemParent(item) if item else tree.GetSceneItemID()
    folder = tree.CreateFolderItem(parent, title)
    tree.SetItemAttribute(folder, MARK, mark)
    return int(folder)


def find_folder(scene: Any, mark: str) -> int | None:
    """The item ID of the folder with this mark; ``None`` if the user removed it."""
    tree = _tree(scene)
    items = vtk.vtkIdList()
    tree.GetItemChildren(tree.GetSceneItemID(), items, True)
    for i in range(items.GetNumberOfIds()):
        if tree.GetItemAttribute(items.GetId(i), MARK) == mark:
            return int(items.GetId(i))
    return None


def title_of(scene: Any, folder: int) -> str:
    """The folder's name, which the user may have changed."""
    return str(_tree(scene).GetItemName(folder))


def put(node: Any, folder: int) -> None:
    """Put a node into a folder."""
    _tree(node.GetScene()).CreateItem(folder, node)


def take(node: Any) -> None:
    """Take a node out of the tree; it stays in the scene."""
    tree = _tree(node.GetScene())
    item = tree.GetItemByDataNode(node)
    if item:
        tree.RemoveItem(item, False, False)


def remove_folder(scene: Any, folder: int) -> None:
    """Remove a folder; what the user put into it moves up to where the folder was."""
    tree = _tree(scene)
    items = vtk.vtkIdList()
    tree.GetItemChildren(folder, items, False)
    for i in range(items.GetNumberOfIds()):
        tree.SetItemParent(items.GetId(i), tree.GetItemParent(folder))
    tree.RemoveItem(folder)


def _tree(scene: Any) -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
