"""One explanation in the MRML scene: all of its nodes, kept together, found again after the scene was saved and loaded.

The hub is a ``vtkMRMLScriptedModuleNode`` (module ``SlicerXAI``) that refers to every other node by role and holds the
words; put it into the parameter node. Everything else follows from it:

    explanation = SceneExplanation.begin(input_node, "Why malignant?")
    explanation.update(Preview.from_event(event))      # as often as previews come
    explanation.complete(Result.from_event(event))     # the last word
    explanation.look = replace(explanation.look, opacity=0.4)
    explanation.remove()

Maps lie on the network's own grid; nothing is resampled to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from camlime.levels import GROUP_NAMES
from SlicerXAILib import contents, folder, frame, hub, views
from SlicerXAILib.following import Following
from SlicerXAILib.look import Look, MapChoice
from SlicerXAILib.presentation import present
from SlicerXAILib.result import Preview, Result

__all__ = ["Following", "SceneExplanation"]

_BETTER = ("lime", "fused")
"""Maps that take the place of a first one while they come, the best last."""


class SceneExplanation:
    """The nodes of one explanation; a thin handle, any number of which may stand for the same hub.

    Args:
        hub_node: the scripted module node that :meth:`begin` made.
    """

    def __init__(self, hub_node: Any) -> None:
        self.hub = hub_node

    # -- life ---------------------------------------------------------------------------------------------------------

    @classmethod
    def begin(cls, input_node: Any, title: str) -> SceneExplanation:
        """Make the hub and a subject-hierarchy folder named ``title`` beside the input.

        Args:
            input_node: the volume node that is explained; its scene is used.
            title: the folder's name.
        """
        node = hub.add_hub(input_node, title)
        folder.add_folder(input_node, title, node.GetAttribute(folder.MARK))
        frame.remember(node, input_node)
        return cls(node)

    @classmethod
    def all_in(cls, scene: Any) -> list[SceneExplanation]:
        """Every explanation in a scene, in the order of their hubs."""
        return [cls(node) for node in hub.hubs(scene)]

    @classmethod
    def of(cls, input_node: Any) -> list[SceneExplanation]:
        """Every explanation of this volume."""
        return [each for each in cls.all_in(input_node.GetScene()) if each.input_node is input_node]

    def update(self, preview: Preview) -> None:
        """Show a map while it is being made: its node is made the first time and updated in place after that.

        The first map ever is shown at once with the default look; later ones change the look only if they are better
        (fused before lime before the others) and the user has not chosen a map.
        """
        _walk(self.update_in_steps(preview))

    def update_in_steps(self, preview: Preview) -> Iterator[None]:
        """:meth:`update` with a ``yield`` wherever the views may have their turn."""
        yield from contents.put_map(self.hub, preview.map, preview.affine_ras)
        shown = self.look.maps
        better = preview.map.key in _BETTER and (
            not shown or shown[0] not in _BETTER or _BETTER.index(preview.map.key) > _BETTER.index(shown[0])
        )
        look = self.look
        if (not shown or better) and not hub.read(self.hub, "chosen", False):
            look = replace(look, maps=(preview.map.key,))
        self._set_look(look)

    def complete(self, result: Result) -> None:
        """Put everything into the scene: maps, deviations, agreement, segments, tables, chart and words.

        Nodes that previews made are updated in place; maps that the result does not have go.
        """
        _walk(self.complete_in_steps(result))

    def complete_in_steps(self, result: Result) -> Iterator[None]:
        """:meth:`complete` with a ``yield`` wherever the views may have their turn."""
        for key in [role for role in hub.roles(self.hub) if role.startswith("map.")]:
            if key.removeprefix("map.").removesuffix(".std") not in result.maps:
                hub.disown(self.hub, key)
        for each in result.maps.values():
            yield from contents.put_map(self.hub, each, result.affine_ras)
        yield from contents.put_levels(self.hub, result)
        volumes = contents.volumes_of(result)
        contents.put_tables(self.hub, result, volumes)
        contents.put_curves(self.hub, result)
        yield
        hub.write(self.hub, "summary", contents.summarise(result, volumes))
        look = self.look
        if result.lead and not hub.read(self.hub, "chosen", False):
            look = replace(look, maps=(result.lead,), segments=look.segments or ("evidence",))
        keys = {choice.key for choice in self.choices()}
        self._set_look(replace(look, maps=tuple(key for key in look.maps if key in keys)))

    def remove(self) -> None:
        """Remove every node of this explanation and its folder; what the user put into the folder stays."""
        if not self.alive:
            return
        scene, mark = self.hub.GetScene(), self.hub.GetAttribute(folder.MARK)
        self._set_look(replace(self.look, maps=(), segments=(), legend=False, side_by_side=False))
        for role in hub.roles(self.hub):
            hub.disown(self.hub, role)
        item = folder.find_folder(scene, mark)
        if item is not None:
            folder.remove_folder(scene, item)
        scene.RemoveNode(self.hub)

    @property
    def alive(self) -> bool:
        """Whether the hub is still in a scene: the user may delete nodes, or close the scene."""
        return self.hub is not None and self.hub.GetScene() is not None

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """Of the folder."""
        item = folder.find_folder(self.hub.GetScene(), self.hub.GetAttribute(folder.MARK))
        return folder.title_of(self.hub.GetScene(), item) if item is not None else str(self.hub.GetName())

    @property
    def input_node(self) -> Any | None:
        """The volume that was explained; ``None`` if the user deleted it."""
        return self.hub.GetNodeReference(hub.INPUT)

    @property
    def summary(self) -> dict[str, Any]:
        """Words and numbers for the panel, which survive saving and loading the scene.

        Keys: ``explained_class``, ``prediction`` (``class``, ``probabilities``), ``lead``, ``complete``, ``agreement``
        (``badge``, ``in_words``, ``in_numbers``, or ``None``), ``evidence`` (by map key: ``supported``, ``verdict``,
        ``in_words``, ``numbers``, see :mod:`SlicerXAILib.findings`), ``warnings``, ``strongest_point_ras``, ``legend``
        (rows ``key``, ``name``, ``meaning``, ``colour``, ``volume_ml``), ``provenance``, ``slices`` (rows ``index``,
        ``class``, ``class_if_present``, ``presumes``, ``probability``, ``verdict``, ``flag``, ``centre_ras``, or
        ``None``; ``prediction`` is empty with them). Empty before :meth:`complete`.
        """
        return dict(hub.read(self.hub, "summary", {}))

    def choices(self) -> list[MapChoice]:
        """Entries of the map selector, in the order to list them."""
        known = hub.read(self.hub, "maps", {})
        listed = []
        for key, (title, unit) in known.items():
            if self.volume(key) is not None:
                listed.append(MapChoice(key, title, "evidence", unit))
        for key, (title, unit) in known.items():
            if self.volume(f"{key}.std") is not None:
                listed.append(MapChoice(f"{key}.std", f"Uncertainty of {title}", "spread", unit))
        if self.volume("agreement") is not None:
            listed.append(MapChoice("agreement", GROUP_NAMES["agreement"], "agreement"))
        return listed

    def supported(self, key: str) -> bool | None:
        """Whether the model was seen to use what this map shows; ``None``: not judged."""
        found = self.summary.get("evidence", {}).get(key.removesuffix(".std"))
        return None if found is None else found["supported"]

    def volume(self, key: str) -> Any | None:
        """The volume node of a map (key of :class:`MapChoice`)."""
        return self.hub.GetNodeReference(f"map.{key}")

    def segmentation(self, which: str) -> Any | None:
        """The segmentation node ``"evidence"`` (strong for, moderate for, against) or ``"agreement"``."""
        return self.hub.GetNodeReference(f"segments.{which}")

    def table(self, which: str) -> Any | None:
        """The table node ``"prediction"``, ``"regions"`` or ``"segments"``; see :mod:`SlicerXAILib.tables`."""
        return self.hub.GetNodeReference(f"table.{which}")

    def chart(self) -> Any | None:
        """The plot chart node with the removal curves; ``None`` without evidence."""
        return self.hub.GetNodeReference("curves.chart")

    # -- how it is shown ----------------------------------------------------------------------------------------------

    @property
    def look(self) -> Look:
        """What is shown and how; setting it changes the views at once. Kept in the scene."""
        kept = hub.read(self.hub, "look", {})
        return Look(**{key: tuple(value) if isinstance(value, list) else value for key, value in kept.items()})

    @look.setter
    def look(self, look: Look) -> None:
        if look.maps != self.look.maps:
            hub.write(self.hub, "chosen", True)
        self._set_look(look)

    def present(self) -> None:
        """Show this explanation as its look says, and hide all others: after a choice, a scene load, a new layout."""
        for other in self.all_in(self.hub.GetScene()):
            if other.hub is not self.hub:
                present(other, Look(maps=(), segments=(), legend=False))
        present(self, self.look)

    def jump_to_region(self, region_id: int) -> None:
        """Centre all slice views on a region, through the input's parent transforms.

        Raises:
            KeyError: there is no such region.
        """
        table = self.table("regions")
        ids = table.GetTable().GetColumnByName("ID") if table is not None else None
        row = next((i for i in range(ids.GetNumberOfValues()) if ids.GetValue(i) == region_id), None) if ids else None
        if row is None:
            raise KeyError(f"no region {region_id}")
        self._jump([table.GetTable().GetColumnByName(axis).GetValue(row) for axis in "RAS"])

    def jump_to_strongest(self) -> None:
        """Centre all slice views on the place that speaks most for the class; nothing before :meth:`complete`."""
        point = self.summary.get("strongest_point_ras")
        if point is not None:
            self._jump(point)

    def jump_to(self, point_ras: Iterable[float]) -> None:
        """Centre all slice views on a point, RAS mm in the input's own frame at the time of the explanation."""
        self._jump(list(point_ras))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _jump(self, point_ras: Any) -> None:
        anchor = self.input_node or next(iter(frame.placed(self.hub)), None)
        if anchor is None:
            return
        moved = frame.moved(self.hub) @ np.append(np.asarray(point_ras, dtype=float), 1.0)
        views.jump(self.hub.GetScene(), views.input_to_world(anchor, moved[:3]))

    def _set_look(self, look: Look) -> None:
        hub.write(self.hub, "look", asdict(look))
        present(self, look)


def _walk(steps: Iterator[None]) -> None:
    for _ in steps:
        pass
