r"""Occlusion: how much the log-odds fall when one part alone is covered (Zeiler and Fergus 2014, arXiv:1311.2901).

With :math:`f` the class's log-odds, :math:`x` the image and :math:`x_{\setminus j}` the image with part :math:`j`
replaced by the baseline, the part's weight is

.. math:: o_j = f(x) - f(x_{\setminus j}).

Parts are the regions, each covered once, or a cube of fixed size in mm that slides over the image; a voxel then has the
mean weight of the cubes that cover it. Unlike LIME's, the weight is measured with everything else in place: of two
regions of which either suffices for the answer, neither gets any. No chance is involved, so there is no standard error.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlime.attribution import Attribution, FloatArray
from camlime.errors import RequestError
from camlime.masking import Masker
from camlime.methods.budget import Budget
from camlime.methods.case import Case, Progress
from camlime.methods.sampling import Cancelled
from camlime.methods.stopping import StoppingRule
from camlime.regions import Regions

NAME = "occlusion"

Box = tuple[slice, ...]

_Found = tuple[NDArray[np.float32], FloatArray | None, dict[str, Any]]
"""The map, the regions' weights, and what to note."""


class Occlusion:
    """Explain by covering one part at a time.

    Args:
        budget: forward passes in all. Of the case's segmentations as many are used as it suffices for; a
            :class:`StoppingRule` stands for its bound.
        window_mm: edge of a cube (2D: a square) that slides over the image; ``None`` covers the regions instead.

    Raises:
        RequestError: the edge is not a positive length.

    Example:
        >>> attribution = Occlusion(window_mm=8.0).explain(case)  # doctest: +SKIP
        >>> attribution.values.shape == case.input.spatial_shape  # doctest: +SKIP
        True
    """

    name = NAME

    def __init__(self, *, budget: Budget = 1024, window_mm: float | None = None) -> None:
        if window_mm is not None and not (math.isfinite(window_mm) and window_mm > 0):
            raise RequestError(f"{window_mm} mm is no size of a window", hint="give a positive number of mm")
        self.budget = budget.most_passes if isinstance(budget, StoppingRule) else budget
        self.window_mm = window_mm

    def check(self, case: Case) -> None:
        """Find out, before any image is asked about, whether this can be done.

        Raises:
            RequestError: the budget is too small for the first segmentation, or for the windows.
        """
        if self.window_mm is None:
            self._segmentations(case)
        else:
            self._windows(case)

    def explain(self, case: Case) -> Attribution:
        """Explain the case; the map's values are log-odds a region (or a window), signed, without a std.

        Raises:
            RequestError: as :meth:`check`.
            Cancelled: cancelled before the first segmentation (or all windows) was done.
        """
        started, before = time.perf_counter(), case.classifier.passes.forward
        by_windows = self.window_mm is not None
        values, weights, notes = self._by_windows(case) if by_windows else self._by_regions(case)
        return Attribution(
            method=NAME,
            values=values,
            region_weights=weights,
            forward_passes=case.classifier.passes.forward - before,
            seconds=time.perf_counter() - started,
            parameters={"explains": "log-odds", "random": False, **notes},
        )

    def _segmentations(self, case: Case) -> tuple[Regions, ...]:
        """As many of the case's segmentations as the budget has passes for."""
        spent = list(itertools.accumulate(1 + regions.count for regions in case.regions))
        used = sum(passes <= self.budget for passes in spent)
        if not used:
            raise RequestError(
                f"a budget of {self.budget} passes is too small to cover {case.regions[0].count} regions one by one",
                hint=f"give at least {spent[0]}",
            )
        return case.regions[:used]

    def _by_regions(self, case: Case) -> _Found:
        segmentations = self._segmentations(case)
        total = sum(1 + regions.count for regions in segmentations)
        found: list[FloatArray] = []
        done = 0
        for regions in segmentations:
            answers = _Answers(case, done, total)
            masker = Masker(case.input.image, case.baseline, regions, case.classifier.device)
            presence = torch.ones(1 + regions.count, regions.count)
            presence[1:].fill_diagonal_(0)
            answers.ask(presence, masker.reusing_memory())
            if len(answers) < len(presence):
                break
            found.append(answers.falls())
            done += len(presence)
        if not found:
            raise Cancelled
        maps = [regions.paint(weights) for regions, weights in zip(segmentations, found, strict=False)]
        notes: dict[str, Any] = {
            "segmentations": len(found),
            "regions": [regions.count for regions in segmentations[: len(found)]],
        }
        if len(found) < len(segmentations):
            notes["cancelled"] = True
        return np.mean(maps, axis=0, dtype=np.float32), found[0], notes

    def _by_windows(self, case: Case) -> _Found:
        boxes, edge = self._windows(case)
        device = case.classifier.device
        image, baseline = case.input.image.to(device), case.baseline.to(device)
        valid = case.input.valid.to(device)
        answers = _Answers(case, 0, 1 + len(boxes))

        def covered(numbers: Tensor) -> Tensor:
            images = image.repeat(len(numbers), *[1] * image.ndim)
            for one, number in zip(images, numbers.tolist(), strict=True):
                if number:
                    inside = (slice(None), *boxes[number - 1])
                    one[inside] = torch.where(valid[boxes[number - 1]], baseline[inside], image[inside])
            return images

        if not answers.ask(torch.arange(1 + len(boxes)), covered):
            raise Cancelled
        total = np.zeros(case.input.spatial_shape)
        times = np.zeros(case.input.spatial_shape)
        for box, fall in zip(boxes, answers.falls(), strict=True):
            total[box] += fall
            times[box] += 1
        values = np.where(case.input.valid.numpy() & (times > 0), total / np.maximum(times, 1), 0)
        return (
            values.astype(np.float32),
            None,
            {"window_mm": self.window_mm, "window_voxels": edge, "windows": len(boxes)},
        )

    def _windows(self, case: Case) -> tuple[list[Box], list[int]]:
        """The boxes with something of the scan in them, and their edge in voxels."""
        valid, edge_mm = case.input.valid.numpy(), self.window_mm or 0.0
        edge = [
            min(max(round(edge_mm / size), 1), count)
            for size, count in zip(case.input.spacing, case.input.spatial_shape, strict=True)
        ]
        boxes = [box for box in sliding_boxes(case.input.spatial_shape, edge) if valid[box].any()]
        if 1 + len(boxes) > self.budget:
            raise RequestError(
                f"a window of {edge_mm:g} mm takes {1 + len(boxes)} passes, and the budget is {self.budget}",
                hint="give a larger window or budget",
            )
        return boxes, edge


class _Answers:
    """Log-odds of the image and of covered copies of it, in order; the first is the image itself."""

    def __init__(self, case: Case, done: int, total: int) -> None:
        self._case = case
        self._done = done
        self._total = total
        self._found: list[Tensor] = []

    def ask(self, rows: Tensor, make: Callable[[Tensor], Tensor]) -> bool:
        """Ask about the images that are made of the rows, batch by batch; ``False`` if the user cancelled."""
        classifier, image = self._case.classifier, self._case.input.image
        done = 0
        while done < len(rows):
            if self._case.cancelled():
                return False
            part = rows[done : done + classifier.batch_size(image)]
            logits = classifier.logits_of_made(part, make, image)
            self._found.append(classifier.log_odds(logits.double(), self._case.class_index))
            done += len(part)
            self._case.on_progress(Progress(NAME, self._done + len(self), self._total))
        return True

    def __len__(self) -> int:
        return sum(map(len, self._found))

    def falls(self) -> FloatArray:
        """By how much each covered copy's log-odds lie below the image's."""
        answers = torch.cat(self._found).numpy()
        falls: FloatArray = answers[0] - answers[1:]
        return falls


def sliding_boxes(shape: Sequence[int], edge: Sequence[int]) -> Iterator[Box]:
    """Boxes of a fixed size at steps of half their edge, the last on each axis flush with the end.

    Args:
        shape: of the grid.
        edge: of a box, at most the grid's size on each axis.

    Example:
        >>> [(box[0].start, box[0].stop) for box in sliding_boxes([10], [4])]
        [(0, 4), (2, 6), (4, 8), (6, 10)]
    """
    starts = [
        sorted({*range(0, size - length + 1, max(length // 2, 1)), size - length})
        for size, length in zip(shape, edge, strict=True)
    ]
    for corner in itertools.product(*starts):
        yield tuple(slice(start, start + length) for start, length in zip(corner, edge, strict=True))
