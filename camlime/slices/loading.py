"""Slices from disk, as far as they are shown: answers, the stacked grid, and each explained slice's explanation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from camlime.errors import OutputError, unreadable
from camlime.explanation import Explanation
from camlime.saving import DAMAGED, load_explanation
from camlime.slices.answers import SliceAnswer
from camlime.slices.saving import FORMAT, slice_folder
from camlime.slices.stacking import stacked
from camlime.staging import JSON_NAME


@dataclass(frozen=True)
class SavedSlices:
    """What :func:`camlime.slices.saving.save_slices` wrote.

    Args:
        plane: the anatomical plane nearest to the slices.
        native: whether it is the one that the series was acquired in.
        class_names: in the model's order.
        threshold: of the score; ``None`` where the bundle has none.
        quantile: of the training data's kind that lies below the threshold.
        presumes: what every training image shows; ``None`` where nothing is presumed.
        answers: one a slice. Log-odds are not kept in files; a flagged slice has no probabilities, unless it is only
            unconfirmed.
        images: what the network saw, first channel, shape ``(X, Y, N)``.
        affine: 4x4, index (x, y, n - first) of the stacked grid to RAS mm.
        first: slice at index 0 of it.
        explanations: by slice.
        point: RAS mm of the strongest voxel of the map to show first; ``None`` without any.
        provenance: of the stack.
        warnings: what the user should know, in sentences.
        complete: ``False`` if it was cancelled on the way.
    """

    plane: str
    native: bool
    class_names: tuple[str, ...]
    threshold: float | None
    quantile: float | None
    presumes: str | None
    answers: tuple[SliceAnswer, ...]
    images: NDArray[np.float32]
    affine: NDArray[np.float64]
    first: int
    explanations: Mapping[int, Explanation]
    point: tuple[float, float, float] | None
    provenance: Mapping[str, Any]
    warnings: tuple[str, ...]
    complete: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the stacked grid."""
        wide, high, many = self.images.shape
        return wide, high, many

    def stack(self, part: Callable[[Explanation], NDArray[Any] | None], *, dtype: type = np.float32) -> NDArray[Any]:
        """A part of each explanation on the stacked grid; 0 in slices that have none.

        Args:
            part: gives values ``(X, Y)``, or ``None``.
            dtype: of the values.
        """
        found = {n: part(explanation) for n, explanation in self.explanations.items()}
        return stacked({n: v for n, v in found.items() if v is not None}, self.shape, self.first, dtype=dtype)


def holds_slices(folder: str | Path) -> bool:
    """Whether a folder holds the explanation of slices, whatever state it is in."""
    try:
        record = json.loads((Path(folder) / JSON_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("format") == FORMAT


def load_slices(folder: str | Path) -> SavedSlices:
    """Read what :func:`camlime.slices.saving.save_slices` wrote.

    Raises:
        OutputError: it is not such a folder, another version of camlime wrote it, or a file is missing or damaged.
    """
    folder = Path(folder)
    file = folder / JSON_NAME
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record.get("format") != FORMAT:
            raise OutputError(f"{file} has format {record.get('format')!r}, not {FORMAT!r}")
        grid = record["grid"]
        image: Any = nib.load(folder / "input.nii.gz")
        images = np.asarray(image.dataobj, dtype=np.float32).reshape(grid["shape"])
        point = record["strongest_point_ras_mm"]
        explained = [row["index"] for row in record["slices"] if "explanation" in row]
        found = SavedSlices(
            plane=record["plane"],
            native=record["native_plane"],
            class_names=tuple(record["classes"]),
            threshold=record["domain"]["threshold"],
            quantile=record["domain"]["quantile"],
            presumes=record["presumes"],
            answers=tuple(_answer(row) for row in record["slices"]),
            images=images,
            affine=np.asarray(grid["affine_ras"], dtype=np.float64),
            first=grid["first_slice"],
            explanations={n: load_explanation(folder / slice_folder(n)) for n in explained},
            point=None if point is None else tuple(point),
            provenance=record["provenance"],
            warnings=tuple(record["warnings"]),
            complete=record["complete"],
        )
        _check(found)
    except FileNotFoundError as error:
        missing = error.filename or error
        raise OutputError(f"{missing} is missing", hint="give a folder that camlime explain wrote") from error
    except (*DAMAGED, OSError, EOFError, ImageFileError) as error:
        raise unreadable(file, error) from error
    return found


def _check(found: SavedSlices) -> None:
    """Find out whether the parts fit together.

    Raises:
        ValueError: they do not.
    """
    if not found.class_names:
        raise ValueError("there are no classes")
    reach = range(found.first, found.first + found.shape[2])
    if not found.answers or any(answer.index not in reach for answer in found.answers):
        raise ValueError("slices outside the stacked grid")
    for explanation in found.explanations.values():
        if explanation.input.spatial_shape != found.shape[:2]:
            raise ValueError("a slice's own explanation is on another grid")
    for answer in found.answers:
        if answer.speaks and not set(found.class_names) <= set(answer.probabilities):
            raise ValueError(f"slice {answer.index} has no probability of some class")


def _answer(row: Mapping[str, Any]) -> SliceAnswer:
    return SliceAnswer(
        index=int(row["index"]),
        centre_ras=np.asarray(row["centre_ras_mm"], dtype=np.float64),
        probabilities=row["probabilities"] or {},
        logits=row["logits"],
        log_odds={},
        score=row["score"],
        share_beyond=row["share_beyond"],
        flag=row["flag"],
        reason=row["reason"],
    )
