r"""Deletion and insertion curves: what the class's log-odds do when voxels go, or come, in a map's order.

With :math:`n` valid voxels ranked by a map, the **deletion** curves are the class's log-odds :math:`f` (and its
probability) on the image from which the share :math:`q` of the voxels has been removed, the most relevant first (MoRF)
or the least relevant first (LeRF) (Samek et al. 2017, doi 10.1109/TNNLS.2016.2599820; for volumes and baselines, see
docs/method.md). **Insertion** (Petsiuk et al. 2018, arXiv:1806.07421) puts the most relevant voxels back into the fully
removed image: the image with the first :math:`qn` put back is that from which the last :math:`(1 - q)n` were removed,
so that, on shares that mirror about one half, the insertion curve is the LeRF curve read backwards and costs nothing.

.. math:: \mathrm{ABPC} = \int_0^1 f_{\mathrm{LeRF}}(q) - f_{\mathrm{MoRF}}(q)\,dq

is the area between the two perturbation curves (Schulz et al. 2020, arXiv:2001.00396, who normalise it; Blücher et al.
2024, arXiv:2401.06654, on why both orders are needed), by trapezoids.
A map without any relation to the model has an expected ABPC of 0, whatever the baseline does to the model, since both
curves of a random order are alike; a deletion curve alone has not.

Removed voxels take a baseline's value. Voxels that padding made up are in no ranking and are never removed. Voxels of
equal value, such as all those of one region, come in a random order (seeded): the map does not say which is first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlime.classifier import Classifier
from camlime.evidence.meter import Meter
from camlime.methods.case import Case

Ranks = NDArray[np.int64]

_LOW = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
FRACTIONS = (*_LOW, *[round(1 - q, 2) for q in reversed(_LOW)])
"""Shares of the valid voxels, finer at both ends, mirrored about one half."""

COARSE_FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)
"""A part of :data:`FRACTIONS`, for the many permuted copies of a map."""

QUANTITIES = ("log_odds", "probability")


@dataclass(frozen=True)
class Curve:
    """What the model answers along a curve.

    Args:
        log_odds: of the class, one number a share.
        probability: of the class.
    """

    log_odds: tuple[float, ...]
    probability: tuple[float, ...]

    def backwards(self) -> Curve:
        """The same answers from the last to the first."""
        return Curve(self.log_odds[::-1], self.probability[::-1])

    def area(self, fractions: Sequence[float]) -> dict[str, float]:
        """Areas under both quantities, by trapezoids."""
        widths = np.diff(fractions)
        heights = {name: np.array(getattr(self, name)) for name in QUANTITIES}
        return {name: float(widths @ (height[1:] + height[:-1]) / 2) for name, height in heights.items()}


@dataclass(frozen=True)
class MapCurves:
    """The curves of one map with one baseline.

    Args:
        fractions: shares of the valid voxels, from 0 to 1, mirrored about one half.
        most_first: deletion, most relevant first.
        least_first: deletion, least relevant first.
    """

    fractions: tuple[float, ...]
    most_first: Curve
    least_first: Curve

    @property
    def insertion(self) -> Curve:
        """Most relevant first, from the fully removed image."""
        return self.least_first.backwards()

    @property
    def abpc(self) -> dict[str, float]:
        """Area between the LeRF and the MoRF curve, in log-odds and in probability; larger is better."""
        least, most = self.least_first.area(self.fractions), self.most_first.area(self.fractions)
        return {name: least[name] - most[name] for name in QUANTITIES}

    def at(self, index: Sequence[int]) -> MapCurves:
        """Only some of the shares, by their places in ``fractions``."""

        def pick(numbers: Sequence[float]) -> tuple[float, ...]:
            return tuple(numbers[i] for i in index)

        curves = [Curve(pick(c.log_odds), pick(c.probability)) for c in (self.most_first, self.least_first)]
        return MapCurves(pick(self.fractions), *curves)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable; areas, ABPC and the insertion curve are there for the reader and follow from the rest."""
        record: dict[str, Any] = {"fractions": list(self.fractions), "abpc": self.abpc}
        for name in ("most_first", "least_first", "insertion"):
            curve: Curve = getattr(self, name)
            numbers = {quantity: list(getattr(curve, quantity)) for quantity in QUANTITIES}
            record[name] = {**numbers, "area": curve.area(self.fractions)}
        return record

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> MapCurves:
        """What :meth:`as_dict` wrote."""
        curves = [
            Curve(*[tuple(record[name][quantity]) for quantity in QUANTITIES]) for name in ("most_first", "least_first")
        ]
        return MapCurves(tuple(record["fractions"]), *curves)


def ranking(values: NDArray[np.floating], valid: NDArray[np.bool_], rng: np.random.Generator) -> Ranks:
    """Rank of each voxel ``(*S,)``: 0 where the map is largest, ties in random order, -1 where there is only padding.

    Example:
        >>> ranking(np.array([0.1, 5.0, -2.0]), np.array([True, True, True]), np.random.default_rng(0)).tolist()
        [1, 0, 2]
    """
    ordered = values[valid]
    order = np.lexsort((rng.random(len(ordered)), -ordered))
    ranked = np.empty(len(ordered), dtype=np.int64)
    ranked[order] = np.arange(len(ordered))
    ranks: Ranks = np.full(values.shape, -1, dtype=np.int64)
    ranks[valid] = ranked
    return ranks


def tied_share(values: NDArray[np.floating], valid: NDArray[np.bool_]) -> float:
    """Share of the valid voxels whose value some other valid voxel has as well."""
    _, counts = np.unique(values[valid], return_counts=True)
    return float(counts[counts > 1].sum() / max(counts.sum(), 1))


def numbers_removed(fractions: Sequence[float], voxels: int) -> list[int]:
    """How many voxels each of an even number of shares is, rounded so that mirrored shares add up to all of them."""
    half = [round(q * voxels) for q in fractions[: len(fractions) // 2]]
    return [*half, *[voxels - count for count in reversed(half)]]


class Removal:
    """Removes valid voxels in a given order and asks the model.

    Args:
        case: image, valid voxels and class.
        classifier: the model, counted by ``meter``.
        baseline: what removed voxels become, ``(C, *S)``.
        meter: hears of the passes and of the user's wish to stop.

    Raises:
        Cancelled: the user cancelled; also from :meth:`curves`.
    """

    def __init__(self, case: Case, classifier: Classifier, baseline: Tensor, meter: Meter) -> None:
        self._classifier = classifier
        self._class = case.class_index
        self._image = case.input.image.to(classifier.device)
        self._baseline = baseline.to(classifier.device)
        self._meter = meter
        self._voxels = int(case.input.valid.sum())
        everything = ranking(np.zeros(case.input.spatial_shape), case.input.valid.numpy(), np.random.default_rng(0))
        self._ends = self._answers(everything, [(0, 0), (0, self._voxels)])

    def curves(self, ranks: Ranks, fractions: Sequence[float] = FRACTIONS) -> MapCurves:
        """Both deletion curves for ranks ``(*S,)``, in two passes for each share between 0 and 1."""
        removed = numbers_removed(fractions, self._voxels)
        inside = removed[1:-1]
        most = [(0, count) for count in inside]
        least = [(self._voxels - count, self._voxels) for count in inside]
        answers = self._answers(ranks, [*most, *least])
        first, last = self._ends
        both = (answers[: len(inside)], answers[len(inside) :])
        curves = [Curve(*zip(first, *half, last, strict=True)) for half in both]
        return MapCurves(tuple(count / self._voxels for count in removed), *curves)

    def _answers(self, ranks: Ranks, removed: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
        """Log-odds and probability with the voxels of rank ``low <= rank < high`` removed, one pair a pass."""
        on_device = torch.from_numpy(ranks).to(self._classifier.device)
        limits = torch.tensor(removed)
        answers: list[tuple[float, float]] = []

        def without(part: Tensor) -> Tensor:
            low, high = part.to(on_device.device).reshape(-1, 2, *[1] * ranks.ndim).unbind(dim=1)
            gone = (on_device >= low) & (on_device < high)
            return torch.where(gone[:, None], self._baseline, self._image)

        while len(answers) < len(limits):
            self._meter.check()
            part = limits[len(answers) : len(answers) + self._classifier.batch_size(self._image)]
            logits = self._classifier.logits_of_made(part, without, self._image).double()
            log_odds = self._classifier.log_odds(logits, self._class).tolist()
            probability = self._classifier.probabilities(logits)[:, self._class].tolist()
            answers += zip(log_odds, probability, strict=True)
            self._meter.report()
        return answers
