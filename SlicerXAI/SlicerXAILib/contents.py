"""The nodes of an explanation, made or updated in place from what the engine said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from camlime.levels import AGREEMENT_LEVELS, GROUP_NAMES, GROUPS, LEVELS
from SlicerXAILib import evidence_plot, folder, frame, heat_map, hub, segments, slice_words, tables
from SlicerXAILib.colours import add_colours, add_level_colours
from SlicerXAILib.findings import of_evidence
from SlicerXAILib.result import MapData, Result


def _have(hub_node: Any, role: str, make: Callable[[], Any]) -> Any:
    """The node in this role; made, and put into the explanation's folder, if there is none."""
    node = hub_node.GetNodeReference(role)
    if node is None:
        node = make()
        _take_in(hub_node, role, node)
    return node


def _take_in(hub_node: Any, role: str, node: Any) -> None:
    hub.own(hub_node, role, node)
    item = folder.find_folder(hub_node.GetScene(), hub_node.GetAttribute(folder.MARK))
    if item is not None:
        folder.put(node, item)


def put_map(hub_node: Any, told: MapData, affine_ras: np.ndarray) -> Iterator[None]:
    """A map and its deviation as volumes, a step each.

    Args:
        hub_node: the explanation's hub.
        told: the map.
        affine_ras: 4x4, voxel index to RAS mm in the input's own frame at the time of the explanation.
    """
    scene = hub_node.GetScene()
    if hub_node.GetNodeReference("colours.signed") is None:
        for kind in ("signed", "for", "spread"):
            hub.own(hub_node, f"colours.{kind}", add_colours(scene, kind))
    known = hub.read(hub_node, "maps", {})
    hub.write(hub_node, "maps", {**known, told.key: (told.title, told.unit)})
    for key, name, values, limit, signed in (
        (told.key, told.title, told.values, told.limit, told.signed),
        (f"{told.key}.std", f"Uncertainty of {told.title}", told.std, told.std_limit, False),
    ):
        if values is None:
            hub.disown(hub_node, f"map.{key}")
            continue
        node = _have(hub_node, f"map.{key}", partial(heat_map.add_map, scene, name))
        heat_map.set_voxels(node, values.astype(np.float32, copy=False), affine_ras)
        heat_map.scale(node, limit, signed=signed)
        frame.place(hub_node, node, fresh=True)
        yield


def put_levels(hub_node: Any, result: Result) -> Iterator[None]:
    """Segments, and the agreement as a label map, a step each."""
    scene = hub_node.GetScene()
    for which in GROUPS:
        shapes = result.shapes.get(which)
        if shapes is None:
            hub.disown(hub_node, f"segments.{which}")
            continue
        make = partial(segments.add_segmentation, scene, GROUP_NAMES[which])
        node = _have(hub_node, f"segments.{which}", make)
        frame.place(hub_node, node, fresh=False)
        yield from segments.set_levels(node, shapes, result.affine_ras)
        frame.place(hub_node, node, fresh=True)
    _put_agreement(hub_node, result)
    yield


def volumes_of(result: Result) -> dict[str, float]:
    """Volume in ml of each level that occurs, by its key."""
    shapes = [shape for found in result.shapes.values() for shape in found]
    return segments.volumes_ml(shapes, result.affine_ras)


def _put_agreement(hub_node: Any, result: Result) -> None:
    labels = result.levels.get("agreement")
    if labels is None:
        hub.disown(hub_node, "map.agreement")
        return
    scene = hub_node.GetScene()
    if hub_node.GetNodeReference("colours.agreement") is None:
        hub.own(hub_node, "colours.agreement", add_level_colours(scene, AGREEMENT_LEVELS, GROUP_NAMES["agreement"]))
    colour_node = hub_node.GetNodeReference("colours.agreement")
    make = partial(heat_map.add_label_map, scene, GROUP_NAMES["agreement"], colour_node)
    node = _have(hub_node, "map.agreement", make)
    heat_map.set_voxels(node, labels, result.affine_ras)
    frame.place(hub_node, node, fresh=True)


def put_tables(hub_node: Any, result: Result, volumes: Mapping[str, float]) -> None:
    """Prediction, regions and segments as tables; ``volumes`` in ml by level key."""
    if result.slices is None:
        told = result.prediction
        answers = ("Prediction", tables.prediction_columns(told), tables.prediction_rows(told))
    else:
        answers = ("Slices", tables.SLICE_COLUMNS, tables.slice_rows(result.slices, result.lead))
    filled = {
        "prediction": answers,
        "regions": ("Regions", tables.REGION_COLUMNS, tables.region_rows(result.region_table)),
        "segments": ("Segments", tables.SEGMENT_COLUMNS, tables.segment_rows(volumes)),
    }
    for which, (name, columns, rows) in filled.items():
        node = _have(hub_node, f"table.{which}", partial(tables.add_table, hub_node.GetScene(), name))
        tables.fill(node, columns, rows)


def put_curves(hub_node: Any, result: Result) -> None:
    """The removal curves of the map to show first, with its first baseline; in place of earlier ones.

    They are of probabilities, and so mean nothing where the image is outside the training domain: then there are none.
    """
    for role in [role for role in hub.roles(hub_node) if role.startswith("curves.")]:
        hub.disown(hub_node, role)
    evidence, of, explained_class = result.evidence.get(result.lead, {}), "", result.explained_class
    prediction = result.prediction
    if result.slices is not None:
        answer = slice_words.strongest(result.slices, result.lead)
        if answer is not None:
            explained_class = answer["explanation"]["explained_class"]
            evidence, of = answer["explanation"]["evidence"].get(result.lead, {}), f", slice {answer['index']}"
            prediction = slice_words.prediction_of(answer, result.slices)
    found = evidence.get("baselines") or {}
    if found and not prediction.get("outside_because"):
        baseline, curves = next(iter(found.items()))
        name = f"{result.maps[result.lead].title}{of}: removal, baseline {baseline}"
        drawn = f"Probability of {explained_class}{tables.condition(prediction)}"
        nodes = evidence_plot.add_curves(hub_node.GetScene(), name, drawn, curves)
        for role, node in nodes.items():
            _take_in(hub_node, f"curves.{role}", node)


def summarise(result: Result, volumes: Mapping[str, float]) -> dict[str, Any]:
    """What :attr:`SlicerXAILib.scene_nodes.SceneExplanation.summary` keeps; ``volumes`` in ml by level key."""
    evidence = {
        key: {name: found[name] for name in ("supported", "verdict", "in_words")} | {"numbers": of_evidence(found)}
        for key, found in result.evidence.items()
    }
    if result.slices is not None:
        evidence = slice_words.evidence_of(result.slices)
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
        "slices": None if result.slices is None else slice_words.kept(result.slices, result.lead),
    }
