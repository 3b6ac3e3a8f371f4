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

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from camlime.levels import AGREEMENT_LEVELS, EVIDENCE_LEVELS, LEVELS
from SlicerXAILib import evidence_plot, folder, frame, heat_map, hub, segments, tables, views
from SlicerXAILib.colours import add_colours, add_level_colours
from SlicerXAILib.following import Following
from SlicerXAILib.look import Look, MapChoice
from SlicerXAILib.presentation import present
from SlicerXAILib.result import MapData, Preview, Result

__all__ = ["Following", "SceneExplanation"]

_LEVELS = {"evidence": EVIDENCE_LEVELS, "agreement": AGREEMENT_LEVELS}
_SEGMENTATIONS = {"evidence": "Evidence", "agreement": "Agreement"}
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
        self._set_map(preview.map, preview.affine_ras)
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
        for key in [role for role in hub.roles(self.hub) if role.startswith("map.")]:
            if key.removeprefix("map.").removesuffix(".std") not in result.maps:
                hub.disown(self.hub, key)
        for each in result.maps.values():
            self._set_map(each, result.affine_ras)
        volumes = self._set_levels(result)
        self._set_tables(result, volumes)
        self._set_curves(result)
        hub.write(self.hub, "summary", _summary(result, volumes))
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
        ``in_words``), ``warnings``, ``strongest_point_ras``, ``legend`` (rows ``key``, ``name``, ``meaning``,
        ``colour``, ``volume_ml``), ``provenance``. Empty before :meth:`complete`.
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
            listed.append(MapChoice("agreement", "Agreement of Grad-CAM and LIME", "agreement"))
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

    def _own(self, role: str, node: Any) -> Any:
        hub.own(self.hub, role, node)
        item = folder.find_folder(self.hub.GetScene(), self.hub.GetAttribute(folder.MARK))
        if item is not None:
            folder.put(node, item)
        return node

    def _set_map(self, told: MapData, affine_ras: np.ndarray) -> None:
        scene = self.hub.GetScene()
        if self.hub.GetNodeReference("colours.signed") is None:
            for kind in ("signed", "for", "spread"):
                hub.own(self.hub, f"colours.{kind}", add_colours(scene, kind))
        known = hub.read(self.hub, "maps", {})
        hub.write(self.hub, "maps", {**known, told.key: (told.title, told.unit)})
        for key, name, values, limit in (
            (told.key, told.title, told.values, told.limit),
            (f"{told.key}.std", f"Uncertainty of {told.title}", told.std, told.std_limit),
        ):
            if values is None:
                hub.disown(self.hub, f"map.{key}")
                continue
            node = self.volume(key) or self._own(f"map.{key}", heat_map.add_map(scene, name))
            heat_map.set_voxels(node, values.astype(np.float32, copy=False), affine_ras)
            heat_map.scale(node, values, limit)
            frame.place(self.hub, node, fresh=True)

    def _set_levels(self, result: Result) -> dict[str, float]:
        """Segments, and the agreement as a label map; volumes in ml by level."""
        scene, volumes = self.hub.GetScene(), {}
        for which, levels in _LEVELS.items():
            labels = result.levels.get(which)
            if labels is None:
                hub.disown(self.hub, f"segments.{which}")
                continue
            node = self.segmentation(which) or self._own(
                f"segments.{which}", segments.add_segmentation(scene, _SEGMENTATIONS[which])
            )
            segments.set_levels(node, labels, levels, result.affine_ras)
            frame.place(self.hub, node, fresh=True)
            volumes.update(segments.volumes_ml(labels, levels, result.affine_ras))
        self._set_agreement(result)
        return volumes

    def _set_agreement(self, result: Result) -> None:
        labels = result.levels.get("agreement")
        if labels is None:
            hub.disown(self.hub, "map.agreement")
            return
        scene = self.hub.GetScene()
        if self.hub.GetNodeReference("colours.agreement") is None:
            hub.own(self.hub, "colours.agreement", add_level_colours(scene, AGREEMENT_LEVELS, "Agreement"))
        colour_node = self.hub.GetNodeReference("colours.agreement")
        node = self.volume("agreement") or self._own(
            "map.agreement", heat_map.add_label_map(scene, "Agreement of Grad-CAM and LIME", colour_node)
        )
        heat_map.set_voxels(node, labels, result.affine_ras)
        frame.place(self.hub, node, fresh=True)

    def _set_tables(self, result: Result, volumes: Mapping[str, float]) -> None:
        contents = {
            "prediction": ("Prediction", tables.PREDICTION_COLUMNS, tables.prediction_rows(result.prediction)),
            "regions": ("Regions", tables.REGION_COLUMNS, tables.region_rows(result.region_table)),
            "segments": ("Segments", tables.SEGMENT_COLUMNS, tables.segment_rows(volumes)),
        }
        for which, (name, columns, rows) in contents.items():
            node = self.table(which) or self._own(f"table.{which}", tables.add_table(self.hub.GetScene(), name))
            tables.fill(node, columns, rows)

    def _set_curves(self, result: Result) -> None:
        for role in [role for role in hub.roles(self.hub) if role.startswith("curves.")]:
            hub.disown(self.hub, role)
        found = result.evidence.get(result.lead, {}).get("baselines") or {}
        if found:
            baseline, curves = next(iter(found.items()))
            name = f"{result.maps[result.lead].title}: removal, baseline {baseline}"
            nodes = evidence_plot.add_curves(self.hub.GetScene(), name, result.explained_class, curves)
            for role, node in nodes.items():
                self._own(f"curves.{role}", node)


def _summary(result: Result, volumes: Mapping[str, float]) -> dict[str, Any]:
    evidence = {
        key: {name: found[name] for name in ("supported", "verdict", "in_words")}
        for key, found in result.evidence.items()
    }
    return {
        "explained_class": result.explained_class,
        "prediction": dict(result.prediction),
        "lead": result.lead,
        "complete": result.complete,
        "agreement": dict(result.agreement) if result.agreement else None,
        "evidence": evidence,
        "warnings": list(result.warnings),
        "strongest_point_ras": list(result.strongest_point_ras),
        "legend": [
            {
                "key": level.key,
                "name": level.name,
                "meaning": level.meaning,
                "colour": list(level.colour),
                "volume_ml": volumes[level.key],
            }
            for level in LEVELS
            if level.key in volumes
        ],
        "provenance": dict(result.provenance),
    }
