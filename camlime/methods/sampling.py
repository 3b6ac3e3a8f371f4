"""Ask the classifier about masked images, pair by pair, and keep only running sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from camlime.classifier import checked_finite
from camlime.masking import Masker
from camlime.methods.case import Case, Progress
from camlime.methods.designs import SignArray, paired_rows
from camlime.methods.evidence_model import FloatArray, RunningSums
from camlime.regions import Regions


class Cancelled(Exception):  # noqa: N818 - an outcome, not an error
    """The user cancelled before there was anything to keep."""


@dataclass(frozen=True)
class MaskedGradient:
    """Derivative of the log-odds with respect to presence, by voxel, averaged over masks.

    Args:
        voxels: shape ``(*S,)``; its sum over a region is the mean derivative with respect to that region's presence.
        backward_passes: images that went backward for it.
    """

    voxels: FloatArray
    backward_passes: int


class PairSampler:
    """Running sums of the odd part of the log-odds over complementary masks of one segmentation.

    The rows depend on the seed, the number of regions and the number of pairs alone: not on batch size or device.

    Args:
        case: image, classifier, class, baseline, seed.
        regions: the segmentation; its place in ``case.regions`` enters the seed.
        pairs: pairs in all that may be used.
        method: the name under which progress is reported.
        total_passes: of the whole method, for its progress; this sampler's own if ``None``.
    """

    def __init__(
        self, case: Case, regions: Regions, *, pairs: int, method: str, total_passes: int | None = None
    ) -> None:
        self._case = case
        self._regions = regions
        self._masker = Masker(case.input.image, case.baseline, regions, case.classifier.device)
        index = next((i for i, other in enumerate(case.regions) if other is regions), 0)
        rng = np.random.default_rng([case.seed, index, regions.count])
        self._rows = paired_rows(regions.count, pairs, rng)
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
        step = max(classifier.batch_size(self._case.input.image) // 2, 1)
        left = min(pairs, self.pairs_left)
        images: Tensor | None = None
        while left > 0:
            if self._case.cancelled():
                return False
            rows = self._take(min(step, left))
            images = self._masker(_both_ways(rows), out=images)
            logits = classifier.logits(images)
            self._add(rows, classifier.log_odds(logits.double(), self._case.class_index))
            left -= len(rows)
        return True

    def run_with_gradient(self, pairs: int) -> MaskedGradient:
        """Ask about ``pairs`` pairs and take each answer's derivative as well; the answers also enter the sums.

        One backward pass gives the derivative with respect to every region at once: d logodds / d presence_j is the
        sum over the region's voxels of gradient times (image - baseline).
        """
        case, classifier = self._case, self._case.classifier
        difference = (case.input.image - case.baseline).double().to(classifier.device)
        total = torch.zeros(case.input.spatial_shape, dtype=torch.float64, device=classifier.device)
        step = max(classifier.batch_size(case.input.image) // 2, 1)
        left, backward = min(pairs, self.pairs_left), 0
        while left > 0 and not case.cancelled():
            rows = self._take(min(step, left))
            with torch.inference_mode(False):
                images = self._masker(_both_ways(rows))
            answers = []
            for part, gradient in classifier.in_parts(images, self._answers_and_gradient):
                answers.append(part)
                total += (gradient.double() * difference).sum(dim=(0, 1))
            backward += len(images)
            self._add(rows, torch.cat(answers))
            left -= len(rows)
        return MaskedGradient((total / max(backward, 1)).cpu().numpy(), backward_passes=backward)

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
            self._pending = np.concatenate([self._pending, next(self._rows)])
        rows, self._pending = self._pending[:count], self._pending[count:]
        return rows

    def _add(self, rows: SignArray, answers: Tensor) -> None:
        half = len(rows)
        odd = ((answers[:half] - answers[half:]) / 2).numpy()
        self.sums.add(rows.astype(np.float64) / 2, odd)
        self.pairs_left -= half
        self.passes_done += 2 * half
        self._case.on_progress(Progress(self.method, self.passes_done, self._total))
        self.after_batch()


def _both_ways(rows: SignArray) -> Tensor:
    """Presences ``(2N, d)`` in {0, 1} of the rows, then of their complements."""
    signs = torch.from_numpy(np.concatenate([rows, -rows]))
    return (signs.float() + 1) / 2
