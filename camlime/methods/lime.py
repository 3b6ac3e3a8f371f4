"""LIME: a linear model of what the classifier answers when regions are removed (Ribeiro et al. 2016, arXiv:1602.04938).

Two modes. ``default`` explains log-odds with fold-over masks and a Bayesian linear model, which gives standard errors
and works from running sums. ``stock`` is the lime package's own recipe, for comparison: independent coins,
probability, cosine kernel, ridge regression through its ``LimeBase``, each region filled with its own mean.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from lime.lime_base import LimeBase
from numpy.typing import NDArray

from camlime.attribution import Attribution, FloatArray
from camlime.errors import RequestError
from camlime.masking import Masker, region_mean_baseline
from camlime.methods.budget import Budget, split_pairs
from camlime.methods.case import Case, Progress
from camlime.methods.designs import supports_intervals
from camlime.methods.drafts import offer_drafts
from camlime.methods.evidence_model import fit
from camlime.methods.sampling import Cancelled, PairSampler
from camlime.methods.segmentations import SegmentationResult, average_over_segmentations
from camlime.methods.stopping import StoppingRule

STOCK_KERNEL_WIDTH = 0.25
"""The lime package's default for images."""

ALL_FEATURES = 100_000
"""The lime package's default number of features: all of them."""

MASKED_IMAGES_AT_ONCE = 64


class Lime:
    """Explain by removing regions at random.

    Args:
        budget: forward passes in all, over all segmentations of the case, or a :class:`StoppingRule` (until certain).
        mode: ``default`` or ``stock``.

    Raises:
        RequestError: the budget is too small, or the mode unknown.
    """

    name = "lime"

    def __init__(self, *, budget: Budget = 1024, mode: Literal["default", "stock"] = "default") -> None:
        if mode not in ("default", "stock"):
            raise RequestError(f"LIME has no mode '{mode}'", hint="modes: default, stock")
        if mode == "stock" and isinstance(budget, StoppingRule):
            raise RequestError("stock LIME has no standard errors to stop by", hint="give a number of passes")
        self.budget = budget
        self.mode = mode

    def check(self, case: Case) -> None:
        """Find out, before any image is asked about, whether this can be done.

        Raises:
            RequestError: the budget is too small.
        """
        split_pairs(self.budget, [regions.count for regions in case.regions])

    def explain(self, case: Case) -> Attribution:
        """Explain the case; the map's values are log-odds a region (stock: probability), its std one standard error.

        Raises:
            Cancelled: cancelled before the first answer.
        """
        return self._stock(case) if self.mode == "stock" else self._default(case)

    def _default(self, case: Case) -> Attribution:
        started, before = time.perf_counter(), case.classifier.passes.forward
        results: list[SegmentationResult] = []
        notes: dict[str, Any] = {}
        shares = split_pairs(self.budget, [regions.count for regions in case.regions])
        for regions, pairs in zip(case.regions, shares, strict=True):
            sampler = PairSampler(case, regions, pairs=pairs, method=self.name, total_passes=2 * sum(shares))
            sampler.passes_done = 2 * sum(r.sums.n for r in results)
            offer_drafts(case, sampler, regions, results, fit)
            if isinstance(self.budget, StoppingRule):
                finished, reason = self.budget.run(sampler, fit)
                notes.setdefault("stopped_because", []).append(reason)
            else:
                finished = sampler.run(pairs)
            if sampler.sums.n:
                results.append(SegmentationResult(regions, fit(sampler.sums), sampler.sums))
                notes.setdefault("passes_of_weights", case.classifier.passes.forward - before)
            if not finished:
                notes["cancelled"] = True
                break
        if not results:
            raise Cancelled
        values, std = average_over_segmentations(results)
        first = results[0]
        return Attribution(
            method=self.name,
            values=values,
            std=std,
            region_weights=first.posterior.mean,
            region_std=first.posterior.std,
            region_covariance=first.posterior.covariance,
            forward_passes=case.classifier.passes.forward - before,
            seconds=time.perf_counter() - started,
            parameters={
                "mode": self.mode,
                "explains": "log-odds",
                "segmentations": len(results),
                "regions": [result.regions.count for result in results],
                "intervals_supported": all(supports_intervals(r.regions.count, r.sums.n) for r in results),
                "interval_factor": first.posterior.interval_factor,
                "explained_share": first.explained_share,
                **notes,
            },
        )

    def _stock(self, case: Case) -> Attribution:
        if isinstance(self.budget, StoppingRule) or self.budget < 2:
            raise RequestError("stock LIME needs a budget of at least 2 passes", hint="raise --budget")
        started, before = time.perf_counter(), case.classifier.passes.forward
        regions = case.regions[0]
        masks, probabilities, cancelled = stock_answers(case, self.budget)
        weights, intercept, r2 = stock_coefficients(masks, probabilities, seed=case.seed)
        return Attribution(
            method=self.name,
            values=regions.paint(weights),
            region_weights=weights,
            forward_passes=case.classifier.passes.forward - before,
            seconds=time.perf_counter() - started,
            parameters={
                "mode": self.mode,
                "explains": "probability",
                "segmentations": 1,
                "regions": [regions.count],
                "baseline": "mean of each region",
                "intercept": intercept,
                "weighted_r2": r2,
                **({"cancelled": True} if cancelled else {}),
            },
        )


def stock_answers(case: Case, passes: int) -> tuple[NDArray[np.int64], FloatArray, bool]:
    """Masks ``(N, d)`` drawn as the lime package does (the first keeps all), and the class's probabilities ``(N,)``.

    Raises:
        Cancelled: cancelled before the second batch.
    """
    regions = case.regions[0]
    masks = np.random.RandomState(case.seed).randint(0, 2, passes * regions.count).reshape(passes, regions.count)
    masks[0, :] = 1
    baseline = region_mean_baseline(case.input, regions)
    masker = Masker(case.input.image, baseline, regions, case.classifier.device)
    masked, image = masker.reusing_memory(), case.input.image
    answers: list[NDArray[np.float64]] = []
    done = 0
    while done < passes and not case.cancelled():
        step = min(case.classifier.batch_size(image), MASKED_IMAGES_AT_ONCE)
        logits = case.classifier.logits_of_made(torch.from_numpy(masks[done : done + step]), masked, image)
        answers.append(case.classifier.probabilities(logits)[:, case.class_index].double().numpy())
        done += len(answers[-1])
        case.on_progress(Progress("lime", done, passes))
    if done < 2:
        raise Cancelled
    return masks[:done], np.concatenate(answers), done < passes


def stock_coefficients(masks: NDArray[np.int64], answers: FloatArray, *, seed: int) -> tuple[FloatArray, float, float]:
    """The lime package's weights by region ``(d,)``, intercept and R2, from its own ``LimeBase``.

    Args:
        masks: shape ``(N, d)`` of 0 and 1, the first row all ones.
        answers: shape ``(N,)``.
        seed: of the package's random state (its ridge has none to spend).
    """
    kernel = partial(_exponential_kernel, kernel_width=STOCK_KERNEL_WIDTH)
    base = LimeBase(kernel, verbose=False, random_state=np.random.RandomState(seed))
    distances = _cosine_distances_to_first(masks)
    intercept, weights, r2, _ = base.explain_instance_with_data(
        masks, answers[:, None], distances, 0, ALL_FEATURES, feature_selection="auto"
    )
    by_region = np.zeros(masks.shape[1])
    for region, weight in weights:
        by_region[region] = weight
    return by_region, float(intercept), float(r2)


def _exponential_kernel(distances: FloatArray, kernel_width: float) -> FloatArray:
    """The lime package's kernel for images: sqrt(exp(-D^2 / width^2))."""
    return np.sqrt(np.exp(-(distances**2) / kernel_width**2))


def _cosine_distances_to_first(masks: NDArray[np.int64]) -> FloatArray:
    """Cosine distance of each row to the all-ones first one; an empty mask has distance 1."""
    kept = masks.sum(axis=1).astype(float)
    return 1.0 - np.sqrt(kept / masks.shape[1])
