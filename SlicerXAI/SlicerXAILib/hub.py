"""The hub of an explanation: a node that refers to all others by role, and keeps words as JSON."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import slicer

from SlicerXAILib.folder import MARK, take

MODULE = "SlicerXAI"
KIND = "SlicerXAI.hub"
INPUT = "input"


def add_hub(input_node: Any, title: str) -> Any:
    """A hub for an input, in its scene."""
    scene = input_node.GetScene()
    hub = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
    hub.UnRegister(None)
    hub.SetName(f"SlicerXAI {title}")
    hub.SetModuleName(MODULE)
    hub.SetAttribute(KIND, "1")
    hub.SetAttribute(MARK, uuid4().hex)
    hub.SetNodeReferenceID(INPUT, input_node.GetID())
    return scene.AddNode(hub)


def hubs(scene: Any) -> list[Any]:
    """All hubs of a scene."""
    count = scene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode")
    nodes = [scene.GetNthNodeByClass(i, "vtkMRMLScriptedModuleNode") for i in range(count)]
    return [node for node in nodes if node.GetAttribute(KIND)]


def roles(hub: Any) -> list[str]:
    """Roles of all nodes that the explanation owns, in alphabetical order: all but the input."""
    names = [hub.GetNthNodeReferenceRole(i) for i in range(hub.GetNumberOfNodeReferenceRoles())]
    return sorted(name for name in names if name != INPUT and hub.GetNodeReference(name) is not None)


def own(hub: Any, role: str, node: Any) -> None:
    """Take a node into the explanation."""
    node.SetAttribute(MARK, hub.GetAttribute(MARK))
    hub.SetNodeReferenceID(role, node.GetID())


def disown(hub: Any, role: str) -> None:
    """Remove a node of the explanation from the scene, with its display and storage nodes; nothing if there is none."""
    node = hub.GetNodeReference(role)
    hub.SetNodeReferenceID(role, None)
    if node is None:
        return
    scene = node.GetScene()
    take(node)
    attached = []
    if isinstance(node, slicer.vtkMRMLDisplayableNode):
        attached += [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    if isinstance(node, slicer.vtkMRMLStorableNode):
        attached += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    for each in (node, *attached):
        if each is not None:
            scene.RemoveNode(each)


def write(hub: Any, key: str, value: Any) -> None:
    """Keep a value that JSON can hold, with the scene."""
    hub.SetParameter(key, json.dumps(value))


def read(hub: Any, key: str, default: Any) -> Any:
    """What :func:`write` kept; ``default`` if there is nothing."""
    text = hub.GetParameter(key)
    return json.loads(text) if text else default
