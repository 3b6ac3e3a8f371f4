"""Slices on disk: the stacked volumes, ``explanation.json``, the picture, and a folder for each explained slice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from camlime import saving
from camlime.earlier import OVERVIEW, REPORT_NAME, SLICES_FORMAT, check_inputs_stay, check_unclaimed, earlier_files
from camlime.record import NATIVE, file_stem, plain
from camlime.resampling import resample
from camlime.scan import Scan, save_volume
from camlime.slices.answers import SliceAnswer
from camlime.slices.explaining import SliceExplanations
from camlime.slices.picture import draw_slices
from camlime.staging import JSON_NAME, staged

FORMAT = SLICES_FORMAT


def save_slices(
    result: SliceExplanations,
    folder: Path,
    *,
    native: Scan | None = None,
    page: Callable[[Path], str] | None = None,
) -> list[Path]:
    """Write all of it to a folder, which is made if it is not there, in place of earlier slices in it; all or nothing.

    Args:
        result: what to write.
        folder: where to.
        native: the scan; if given, the stacked maps are also written on its grid, in ``native/``.
        page: makes the text of a report page to go with it, of the slices saved in the folder that it is given.

    Returns:
        The files, ``explanation.json`` first; those of single slices are named by their folder's own JSON.

    Raises:
        OutputError: it cannot be written, or not without replacing a file that no earlier result names, or the scan
            itself; nothing new is left behind.
    """
    with staged(folder, instead_of=earlier_files) as stage:
        names = _volumes(result, stage)
        if native is not None:
            names += _native_volumes(result, native, stage)
        draw_slices(result, stage / OVERVIEW)
        folders = {n: slice_folder(n) for n in result.explanations}
        written = [*names, OVERVIEW]
        for n, explanation in result.explanations.items():
            explanation.save(stage / folders[n])
        inner = sorted(str(p.relative_to(stage)) for name in folders.values() for p in (stage / name).iterdir())
        record = record_of(result, [*written, *inner])
        (stage / JSON_NAME).write_text(json.dumps(plain(record), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        last = [] if page is None else [REPORT_NAME]
        if page is not None:
            (stage / REPORT_NAME).write_text(page(stage), encoding="utf-8", newline="\n")
        check_unclaimed(folder, [JSON_NAME, *written, *inner, *last])
        check_inputs_stay(folder, [*written, *inner], [] if native is None else [native.source])
    return [folder / name for name in (JSON_NAME, *written, *folders.values(), *last)]


def possible_files(folder: Path, methods: Iterable[str], *, native: bool = False) -> list[str]:
    """The names of all files that slices by these methods may consist of.

    Of single slices, whose numbers only the answers tell, those in folders that are there already: nothing else can be
    in the way.
    """
    methods = list(methods)
    inner = [name for name in saving.possible_files(methods) if name != REPORT_NAME]
    taken = [path.name for path in folder.glob("slice_*") if path.is_dir()]
    outer = [name for name in saving.possible_files(methods, native=native) if "regions" not in name]
    return [*outer, "slices.nii.gz", *[f"{place}/{name}" for place in taken for name in inner]]


def slice_folder(n: int) -> str:
    """Name of the folder of one slice's own explanation."""
    return f"slice_{n:03d}"


def record_of(result: SliceExplanations, files: list[str]) -> dict[str, Any]:
    """What ``explanation.json`` says."""
    answers = result.answers
    stack = answers.stack
    point = result.strongest_point_ras()
    return {
        "format": FORMAT,
        "complete": result.complete,
        "plane": stack.plane,
        "native_plane": stack.native,
        "axis": stack.axis,
        "slices_in_scan": len(stack),
        "step_mm": stack.step_mm,
        "classes": list(answers.class_names),
        "domain": {"threshold": answers.threshold, "quantile": answers.quantile},
        "presumes": answers.presumes,
        "seen": None if answers.seen is None else list(answers.seen),
        "volume_class": None,
        "slices": [_slice(answer, result) for answer in answers.answers],
        "grid": {"shape": list(result.shape), "affine_ras": result.affine.tolist(), "first_slice": result.first},
        "maps": {method: f"{file_stem(method)}.nii.gz" for method in result.methods},
        "strongest_point_ras_mm": None if point is None else point.tolist(),
        "files": files,
        "warnings": list(result.warnings),
        "provenance": dict(result.provenance),
    }


def answer_record(answer: SliceAnswer) -> dict[str, Any]:
    """One slice's line: class and probabilities are null where it is flagged; the logits stay, for whoever asks.

    An unconfirmed slice keeps the probabilities, which hold if what the bundle presumes is there.
    """
    return {
        "index": answer.index,
        "centre_ras_mm": answer.centre_ras.tolist(),
        "class": answer.class_name,
        "class_if_present": answer.class_if_present,
        "probabilities": dict(answer.probabilities) if answer.speaks else None,
        "logits": dict(answer.logits),
        "score": answer.score,
        "share_beyond": answer.share_beyond,
        "flag": answer.flag,
        "reason": answer.reason,
    }


def _slice(answer: SliceAnswer, result: SliceExplanations) -> dict[str, Any]:
    explained = result.explanations.get(answer.index)
    if explained is None:
        return answer_record(answer)
    return answer_record(answer) | {
        "explained_class": explained.explained_class,
        "explanation": f"{slice_folder(answer.index)}/{JSON_NAME}",
    }


def _volumes(result: SliceExplanations, stage: Path) -> list[str]:
    volumes: dict[str, Any] = {"input": result.images(), "slices": result.states(), **_maps(result)}
    for name, volume in volumes.items():
        save_volume(stage / f"{name}.nii.gz", volume, result.affine)
    return [f"{name}.nii.gz" for name in volumes]


def _native_volumes(result: SliceExplanations, native: Scan, stage: Path) -> list[str]:
    (stage / NATIVE).mkdir()
    names = []
    for name, volume in _maps(result).items():
        names.append(f"{NATIVE}/{name}.nii.gz")
        save_volume(stage / names[-1], resample(volume, result.affine, native.shape, native.affine), native.affine)
    return names


def _maps(result: SliceExplanations) -> Mapping[str, Any]:
    volumes: dict[str, Any] = {}
    for method in result.methods:
        volumes[file_stem(method)] = result.values(method)
        std = result.std(method)
        if std is not None:
            volumes[f"{file_stem(method)}_std"] = std
    return volumes
