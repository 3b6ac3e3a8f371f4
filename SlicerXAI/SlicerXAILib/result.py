"""What an explanation says, read from the worker's events or from a folder, without the engine's heavy packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class MapData:
    """One method's map.

    Args:
        key: the method's name in files: ``gradcam``, ``lime``, ``fused``, ...
        title: its name on screens.
        unit: of its values.
        values: float32, axes ``(i, j, k)``; positive speaks for the class.
        std: one standard deviation, same axes; ``None`` where the method knows none.
    """

    key: str
    title: str
    unit: str
    values: np.ndarray
    std: np.ndarray | None = None


@dataclass(frozen=True)
class Result:
    """An explanation as the scene needs it. All arrays share one grid, with axes ``(i, j, k)`` (a picture has k = 1).

    Args:
        affine_ras: 4x4, voxel index to RAS mm in the input volume's own frame.
        prediction: ``class``, ``probabilities`` and ``logits`` by class name.
        explained_class: the class that the maps are about.
        lead: key of the map to show first; empty if there is none.
        maps: by key, in the order to list them.
        levels: label maps ``evidence`` and ``agreement`` (uint8, numbers of ``camlime.levels``), those there are.
        regions: int32 label map; ``None`` without regions.
        region_table: rows as in ``explanation.json``.
        strongest_point_ras: RAS mm in the input's own frame.
        agreement: ``badge``, ``in_words``, ``in_numbers``; ``None`` without fused.
        evidence: by map key: ``supported`` (true, false, ``None``), ``verdict``, ``in_words`` and ``baselines``.
        warnings: sentences.
        provenance: as in ``explanation.json``.
        complete: ``False`` if it was cancelled.
    """

    affine_ras: np.ndarray
    prediction: Mapping[str, Any]
    explained_class: str
    lead: str
    maps: Mapping[str, MapData]
    levels: Mapping[str, np.ndarray]
    regions: np.ndarray | None
    region_table: tuple[Mapping[str, Any], ...]
    strongest_point_ras: tuple[float, float, float]
    agreement: Mapping[str, Any] | None
    evidence: Mapping[str, Mapping[str, Any]]
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any]
    complete: bool

    @staticmethod
    def from_event(event: Mapping[str, Any]) -> Result:
        """From the worker's ``result`` event of an ``explain``, or the ``result`` inside a ``cancelled`` event.

        Raises:
            OutputError: a file that it names is missing or damaged.
        """
        raise NotImplementedError

    @staticmethod
    def from_folder(folder: str | Path) -> Result:
        """From a folder that ``camlime explain`` or an export wrote.

        Raises:
            OutputError: it is no such folder, or a file in it is missing or damaged.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Preview:
    """A map while it is being made.

    Args:
        affine_ras: as in :class:`Result`.
        explained_class: as in :class:`Result`.
        map: values and deviation so far.
    """

    affine_ras: np.ndarray
    explained_class: str
    map: MapData

    @staticmethod
    def from_event(event: Mapping[str, Any]) -> Preview:
        """From the worker's ``preview`` event.

        Raises:
            OutputError: a file that it names is missing or damaged.
        """
        raise NotImplementedError
