"""Ask the classifier about masked images, pair by pair, and keep only running sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from camlime.classifier import checked_finite
from camlime.masking import Masker
from camlime.methods.case import Case, Progress
from camlime.methods.designs import SignArray, blocks, order_by_information
from camlime.methods.evidence_model import FloatArray, RunningSums
from camlime.methods.profiled_model import Derivatives
from camlime.regions import Regions


class Cancelled(Exception):  # noqa: N818 - an outcome, not an error
    """The user cancelled before there was anything to keep."""


MOST_ORDERED = 600
"""Rows of a block up to which they are put in order: the work grows with their cube, to seconds at 1000."""

HALF_PRESENT = 0.75
"""Of the way from the middle to a mask's corner: where gradients are taken, a region is present to 1/8 or to 7/8.

A weight is the change along a whole edge, from absent to present, with the other regions at corners. Its derivative
averages over the edge best at the Gauss-Legendre nodes, 0.58 of the way out; the other regions belong at 1. One
backward pass serves all regions at once, so 0.75, about the geometric mean, has to do for both. At the corners
themselves derivatives say less: there a ReLU is as likely as not to be shut for good.
"""


@dataclass(frozen=True)
class MaskedGradient:
    """Derivative of the log-odds with respect to presence, near random masks.

    Args:
        voxels: shape ``(*S,)``, averaged over masks; its sum over a region is the mean derivative with respect to that
            region's presence.
        squares: for each segmentation of the case, shape ``(d,)``: mean square of that derivative over the masks.
        backward_passes: images that went backward for it.
    """

    voxels: FloatArray
    squares: tuple[FloatArray, ...]
    backward_passes: int

    def derivatives(self, regions: Regions, number: int) -> Derivatives:
        """What it says of the regions of the case's segmentation of that number."""
        return Derivatives(regions.pool(self.voxels), self.squares[number])


class PairSampler:
    """Running sums of the odd part of the log-odds over complementary masks of one segmentation.

    The rows depend on the seed, the number of regions, the number of pairs and, after :meth:`prefer`, on which regions
    are the strongest: not on batch size or device.

    Args:
        case: image, classifier, class, baseline, seed.
        regions: the segmentation; its place in ``case.regions`` enters the seed.
        pairs: pairs in all that may be used.
        method: the name under which progress is reported.
        total_passes: of the whole method, for its progress; this sampler's own if ``None``.
        design: makes the blocks of rows, by the number of regions and a generator.
    """

    def __init__(
        self,
        case: Case,
        regions: Regions,
        *,
        pairs: int,
        method: str,
        total_passes: int | None = None,
        design: Callable[[int, np.random.Generator], Iterator[SignArray]] = blocks,
    ) -> None:
        self._case = case
        self._regions = regions
        self._masker = Masker(case.input.image, case.baseline, regions, case.classifier.device)
        index = next((i for i, other in enumerate(case.regions) if other is regions), 0)
        rng = np.random.default_rng([case.seed, index, regions.count])
        self._blocks = design(regions.count, rng)
        self._squares: FloatArray | None = None
        self._pending: SignArray = np.empty((0, regions.count), dtype=np.int8)
        self.method = method
        self.after_batch: Callable[[], None] = lambda: None
        self._total = 2 * pairs if total_passes is None else total_passes
        self.pairs_left = pairs
        self.passes_done = 0
        self.sums = RunningSums.empty(regions.count)

    def run(self, pairs: int) -> bool:
        """Ask about up to ``pairs`` more pairs; ``False`` if cancelled on the way (what was done is kept)."""
        classifier = self._case.classifier
        image = self._case.input.image
        left = min(pairs, self.pairs_left)
        masked = self._masker.reusing_memory()
        while left > 0:
            if self._case.cancelled():
                return False
            rows = self._take(min(max(classifier.batch_size(image) // 2, 1), left))
            logits = classifier.logits_of_made(_both_ways(rows), masked, image)
            self._add(rows, classifier.log_odds(logits.double(), self._case.class_index))
            left -= len(rows)
        return True

    def prefer(self, squares: FloatArray) -> None:
        """Ask first about what tells most about the strongest regions; shape ``(d,)``, how much each may matter."""
        self._squares = squares
        waiting, self._pending = self._pending, self._pending[:0]
        self._pending = self._ordered(waiting)

    def run_with_gradient(self, pairs: int, half_present: float = HALF_PRESENT) -> MaskedGradient:
        """Ask about ``pairs`` pairs, nearly masked, and take each answer's derivative; the answers also enter the sums.

        One backward pass gives the derivative with respect to every region at once: d logodds / d presence_j is the
        sum over the region's voxels of gradient times (image - baseline). ``half_present``: see :data:`HALF_PRESENT`.
        """
        case, classifier = self._case, self._case.classifier
        difference = (case.input.image - case.baseline).double().to(classifier.device)
        total = torch.zeros(case.input.spatial_shape, dtype=torch.float64)
        squares = [np.zeros(regions.count) for regions in case.regions]
        left, backward = min(pairs, self.pairs_left), 0

        def changes(presence: Tensor) -> tuple[Tensor, Tensor]:
            with torch.inference_mode(False):
                images = self._masker(presence)
            answers, gradient = self._answers_and_gradient(images)
            return answers, (gradient.double() * difference).sum(dim=1).cpu()  # a GPU would pool in any order

        while left > 0 and not case.cancelled():
            step = max(classifier.batch_size(case.input.image, gradients=True) // 2, 1)
            rows = half_present * self._take(min(step, left)).astype(np.float64)
            answers = []
            for part, change in classifier.in_parts(_both_ways(rows), changes, case.input.image, gradients=True):
                answers.append(part)
                total += change.sum(dim=0)
                for i, regions in enumerate(case.regions):
                    squares[i] += sum(regions.pool(one) ** 2 for one in change.numpy())
            backward += 2 * len(rows)
            self._add(rows, torch.cat(answers))
            left -= len(rows)
        taken = max(backward, 1)
        return MaskedGradient(
            (total / taken).numpy(), tuple(known / taken for known in squares), backward_passes=backward
        )

    def _answers_and_gradient(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds ``(N,)`` on the CPU and their gradients by voxel ``(N, C, *S)``."""
        classifier = self._case.classifier
        with classifier.gradients():
            images = images.detach().requires_grad_(True)
            logits = classifier.forward(images).float()
            answers = classifier.log_odds(logits, self._case.class_index)
            (gradient,) = torch.autograd.grad(answers.sum(), images)
        classifier.passes.backward += len(images)
        return checked_finite(answers.detach().cpu().double()), gradient

    def _take(self, count: int) -> SignArray:
        while len(self._pending) < count:
            self._pending = np.concatenate([self._pending, self._ordered(next(self._blocks))])
        rows, self._pending = self._pending[:count], self._pending[count:]
        return rows

    def _ordered(self, rows: SignArray) -> SignArray:
        """Rows that come after all that was asked about and all that waits, in the order of :meth:`prefer`."""
        wanted = self.pairs_left - len(self._pending)
        if self._squares is None or wanted <= 0 or len(rows) > MOST_ORDERED:
            return rows
        waiting = self._pending / 2.0
        return order_by_information(rows, self.sums.xtx + waiting.T @ waiting, self._squares, wanted)

    def _add(self, rows: SignArray | FloatArray, answers: Tensor) -> None:
        half = len(rows)
        odd = ((answers[:half] - answers[half:]) / 2).numpy()
        self.sums.add(rows.astype(np.float64) / 2, odd)
        self.pairs_left -= half
        self.passes_done += 2 * half
        self._case.on_progress(Progress(self.method, self.passes_done, self._total))
        self.after_batch()


def _both_ways(rows: SignArray | FloatArray) -> Tensor:
    """Presences ``(2N, d)`` in [0, 1] of the rows, whose signs are those of a mask, then of their complements."""
    signs = torch.from_numpy(np.concatenate([rows, -rows]))
    return (signs.float() + 1) / 2
