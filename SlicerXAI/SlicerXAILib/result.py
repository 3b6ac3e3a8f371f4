"""What an explanation says, read from the worker's events or from a folder, without the engine's heavy packages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from camlime.attribution import NORMAL_95
from camlime.errors import OutputError, unreadable
from camlime.levels import GROUPS, first_to_show, levels_of
from camlime.overview.words import (
    agreement_in_numbers,
    agreement_in_words,
    evidence_in_words,
    method_title,
    unit_of,
    verdict_in_words,
)
from camlime.palette import limit_of
from SlicerXAILib.shapes import Shape, shapes_of

FOLDER_FORMAT = "camlime explanation 1"


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

    @cached_property
    def limit(self) -> float:
        """Where the colours of the values end; see :func:`camlime.palette.limit_of`."""
        return limit_of(self.values)

    @cached_property
    def signed(self) -> bool:
        """Whether it speaks against the class anywhere, and so needs colours to both sides."""
        return bool(self.values.size) and float(self.values.min()) < 0

    @cached_property
    def std_limit(self) -> float:
        """Where the colours of the deviation end; 1 without one."""
        return 1.0 if self.std is None else limit_of(self.std)


@dataclass(frozen=True)
class Result:
    """An explanation as the scene needs it. All arrays share one grid, with axes ``(i, j, k)`` (a picture has k = 1).

    Args:
        affine_ras: 4x4, voxel index to RAS mm in the input volume's own frame.
        prediction: ``class``, ``probabilities`` and ``logits`` by class name; empty for a range of slices.
        explained_class: the class that the maps are about; empty where each slice's maps are about its own.
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
        slices: what is said of each slice of a range (docs/worker.md); ``None`` for a volume, a picture or one slice.
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
    slices: Mapping[str, Any] | None = None

    @cached_property
    def shapes(self) -> Mapping[str, tuple[Shape, ...]]:
        """Of each label map in :attr:`levels`, the levels that occur."""
        return {which: shapes_of(labels, GROUPS[which]) for which, labels in self.levels.items()}

    def ready(self) -> Result:
        """The same, with all that takes a while for large maps made: readers may be in a thread, scenes may not."""
        _ = self.shapes
        for told in self.maps.values():
            _ready(told)
        return self

    @staticmethod
    def from_event(event: Mapping[str, Any]) -> Result:
        """From the worker's ``result`` event of an ``explain``, or the ``result`` inside a ``cancelled`` event.

        Raises:
            OutputError: a file that it names is missing or damaged.
        """
        maps = {key: _map_of(key, told) for key, told in event["maps"].items()}
        levels = {key: event["levels"].get(key) for key in GROUPS}
        regions = event.get("regions")
        return Result(
            affine_ras=np.array(event["affine_ras"], dtype=float),
            prediction=event["prediction"] or {},
            explained_class=event["explained_class"] or "",
            lead=event.get("lead") or "",
            maps=maps,
            levels={key: _npy(array) for key, array in levels.items() if array is not None},
            regions=_npy(regions["labels"]) if regions else None,
            region_table=tuple(regions["table"]) if regions else (),
            strongest_point_ras=_point(event["strongest_point_ras_mm"]),
            agreement=event["agreement"],
            evidence=event["evidence"],
            warnings=tuple(event["warnings"]),
            provenance=event["provenance"],
            complete=bool(event["complete"]),
            slices=event.get("slices"),
        ).ready()

    @staticmethod
    def from_folder(folder: str | Path) -> Result:
        """From a folder that ``camlime explain`` or an export wrote.

        Raises:
            OutputError: it is no such folder, another version of camlime wrote it, or a file is missing or damaged.
        """
        folder = Path(folder)
        path = folder / "explanation.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record.get("format") != FOLDER_FORMAT:
                raise OutputError(f"{path} has format {record.get('format')!r}, not {FOLDER_FORMAT!r}")
            return _from_record(record, folder)
        except FileNotFoundError as error:
            raise OutputError(f"{path} is missing", hint="choose a folder that camlime explain wrote") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise unreadable(path, error) from error


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
        affine = np.array(event["affine_ras"], dtype=float)
        return Preview(affine, event["explained_class"] or "", _map_of(event["method"], event))


def _map_of(key: str, told: Mapping[str, Any]) -> MapData:
    std = told.get("std")
    return _ready(MapData(key, told["title"], told["unit"], _npy(told["values"]), None if std is None else _npy(std)))


def _ready(told: MapData) -> MapData:
    """The same map with its limits and signs known: see :meth:`Result.ready`."""
    _ = told.limit, told.std_limit, told.signed
    return told


def _npy(array: Mapping[str, Any]) -> np.ndarray:
    """An array that an event names, with axes ``(i, j, k)``."""
    return _in_3d(_read(lambda: np.load(array["file"], allow_pickle=False), array["file"]))


def _nifti(path: Path) -> np.ndarray:
    """A volume with axes ``(i, j, k)``; SimpleITK is in every Slicer. Where it lies is not asked: the record says."""
    import SimpleITK

    array = _read(lambda: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), path)
    return _in_3d(array.transpose())


def _read(read: Callable[[], np.ndarray], path: object) -> np.ndarray:
    try:
        return read()
    except (OSError, EOFError, ValueError, RuntimeError) as error:
        raise OutputError(f"{path} is missing or damaged: {error}", hint="explain the scan again") from error


def _in_3d(array: np.ndarray) -> np.ndarray:
    """With axes ``(i, j, k)``, in the order of memory in which a scene takes it over fastest."""
    return np.asfortranarray(array.reshape(array.shape + (1,) * (3 - array.ndim)))


def _point(numbers: Any) -> tuple[float, float, float]:
    r, a, s = (float(number) for number in numbers)
    return r, a, s


def _from_record(record: Mapping[str, Any], folder: Path) -> Result:
    """From what :mod:`camlime.saving` wrote; words and levels, which it leaves out, are made here."""
    shape = _in_3d(np.empty(record["input"]["shape"], dtype=np.uint8)).shape
    maps = {}
    for key, told in record["attributions"].items():
        method = SimpleNamespace(method=key, parameters=told["parameters"])
        values = _shaped(folder / told["file"], shape)
        std = _shaped(folder / told["std_file"], shape) if told["std_file"] else None
        maps[key] = MapData(key, method_title(key), unit_of(method), values, std)
    valid = np.ones(shape, dtype=bool)
    if record["input"]["padded_voxels"]:
        valid = _shaped(folder / "valid.nii.gz", shape) > 0
    levels = levels_of(
        {key: (told.values, told.std) for key, told in maps.items()},
        valid,
        factors={
            key: told["parameters"].get("interval_factor", NORMAL_95) for key, told in record["attributions"].items()
        },
        agreed=record["agreement"]["cam"] if record["agreement"] else None,
    )
    return Result(
        affine_ras=np.array(record["input"]["affine_ras"], dtype=float),
        prediction=record["prediction"],
        explained_class=record["explained_class"],
        lead=first_to_show(maps) or "",
        maps=maps,
        levels={} if levels is None else levels.label_maps(),
        regions=_shaped(folder / record["regions_file"], shape).astype(np.int32),
        region_table=tuple(record["regions"]),
        strongest_point_ras=_point(record["strongest_point_ras_mm"]),
        agreement=_agreement_words(record["agreement"]),
        evidence={key: _evidence_words(found) for key, found in record["evidence"].items()},
        warnings=tuple(record["warnings"]),
        provenance=record["provenance"],
        complete=bool(record["complete"]),
    )


def _shaped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    array = _nifti(path)
    if array.shape != shape:
        raise OutputError(f"{path} has {array.shape} voxels, not {shape}", hint="explain the scan again")
    return array


def _agreement_words(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if record is None:
        return None
    told = _told(record)
    return {**record, "in_words": agreement_in_words(told), "in_numbers": agreement_in_numbers(told)}


def _evidence_words(record: Mapping[str, Any]) -> dict[str, Any]:
    parts = {name: record.get(name) for name in ("repeatability", "bundle_record")}
    told = SimpleNamespace(**{**record, **{name: _told(part) if part else None for name, part in parts.items()}})
    return {**record, "verdict": verdict_in_words(told), "in_words": evidence_in_words(told)}


def _told(record: Mapping[str, Any]) -> SimpleNamespace:
    """A record as the engine has it: with attributes, and NaN for a number that JSON could not hold."""
    return SimpleNamespace(**{key: float("nan") if value is None else value for key, value in record.items()})
