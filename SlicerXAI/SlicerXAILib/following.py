"""Keeps explanations where their inputs are, for as long as somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from SlicerXAILib import frame, hub


class Following:
    """Keeps explanations where their inputs are: observes a scene until :meth:`stop`.

    When an input gets another parent transform, or its own geometry is changed (a transform is hardened, the volume is
    centred), the nodes of its explanations get the same. Make one when the module is set up.

    Args:
        scene: which.
        on_change: called with no argument after explanations came or went with an import, a close or a deletion.
    """

    def __init__(self, scene: Any, on_change: Callable[[], None] | None = None) -> None:
        self._scene = scene
        self._on_change = on_change
        self._inputs: dict[str, tuple[Any, list[int]]] = {}
        self._known: set[str] = set()
        events = slicer.vtkMRMLScene
        self._tags = [
            scene.AddObserver(event, self._scene_changed)
            for event in (events.NodeAddedEvent, events.NodeRemovedEvent, events.EndImportEvent, events.EndCloseEvent)
        ]
        self._refresh()

    def stop(self) -> None:
        """Observe nothing any more."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []
        self._forget()

    def _scene_changed(self, *_: Any) -> None:
        if self._scene.IsImporting() or self._scene.IsClosing():
            return
        before = set(self._known)
        self._refresh()
        if self._on_change is not None and before != self._known:
            self._on_change()

    def _refresh(self) -> None:
        hubs = hub.hubs(self._scene)
        inputs = {
            node.GetID(): node for node in (each.GetNodeReference(hub.INPUT) for each in hubs) if node is not None
        }
        self._known = {each.GetID() for each in hubs}
        if {key: id(node) for key, node in inputs.items()} == {k: id(v[0]) for k, v in self._inputs.items()}:
            return
        self._forget()
        for key, node in inputs.items():
            events = (slicer.vtkMRMLTransformableNode.TransformModifiedEvent, vtk.vtkCommand.ModifiedEvent)
            self._inputs[key] = (node, [node.AddObserver(event, self._input_changed) for event in events])
        for each in hubs:
            frame.follow(each)

    def _input_changed(self, input_node: Any, _: Any) -> None:
        for each in hub.hubs(self._scene):
            if each.GetNodeReference(hub.INPUT) is input_node:
                frame.follow(each)

    def _forget(self) -> None:
        for node, tags in self._inputs.values():
            for tag in tags:
                node.RemoveObserver(tag)
        self._inputs = {}
