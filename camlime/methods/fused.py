"""Fused: LIME's masked images and what the network's inside says, in one model that weighs them by the evidence.

The network's inside speaks by CAMs pooled on the regions and by the *masked gradient*, the derivative of the log-odds
with respect to each region's presence, averaged over a few masks and their complements: a guess of each weight, whose
mean square over the masks says which regions can matter at all (see :mod:`camlime.methods.profiled_model`). These are
asked about first. What all of this is worth is learned from the masked images; what is worth nothing is voted down, and
the map is then LIME's. No prior on centre, intensity or edges enters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.attribution import Attribution, FloatArray
from camlime.errors import RequestError
from camlime.methods.agreement import Agreement, compare
from camlime.methods.budget import Budget, most_passes, split_pairs
from camlime.methods.cam import input_grid_maps, target
from camlime.methods.case import Case
from camlime.methods.designs import supports_intervals
from camlime.methods.drafts import offer_drafts
from camlime.methods.evidence_model import Posterior, RunningSums
from camlime.methods.profiled_model import Averaged, Derivatives, fit_profiled
from camlime.methods.sampling import Cancelled, MaskedGradient, PairSampler
from camlime.methods.segmentations import SegmentationResult, average_over_segmentations
from camlime.methods.stopping import StoppingRule

CAM_COLUMNS = ("hirescam", "gradcam", "layercam")
AGREEMENT_CAM = "gradcam"
GRADIENT_PAIRS = 4
"""Pairs of masks whose derivative is taken as well; 8 backward passes, counted as 16 forward ones."""

PASSES_A_GRADIENT_PAIR = 20
"""Of a small budget: one pair for so many passes, and two where there are as many as that. A pair costs six."""

CAMS_FROM = 64
"""Passes. Below, CAMs (three passes, three more columns) cost more than they tell."""

MASKED_GRADIENT = "masked gradient"


class Fused:
    """Evidence-calibrated fusion of CAM and LIME.

    Args:
        budget: pass-equivalents in all, over all segmentations, CAM and gradients included (a backward pass counts as
            two forward ones), or a :class:`StoppingRule`.
        cam_columns: CAMs to use as columns; empty for none; ``None`` for :data:`CAM_COLUMNS`, from :data:`CAMS_FROM`
            passes on.
        gradient_pairs: pairs of masks for the masked gradient; 0 for none; ``None`` for :data:`GRADIENT_PAIRS`, fewer
            where the budget is small.
        target_layer: of the CAMs; chosen if ``None``.

    After :meth:`explain`, :attr:`agreement` holds the comparison of the two parents on the reported segmentation, if
    Grad-CAM is one of the columns.
    """

    name = "fused"

    def __init__(
        self,
        *,
        budget: Budget = 1024,
        cam_columns: Sequence[str] | None = None,
        gradient_pairs: int | None = None,
        target_layer: str | None = None,
    ) -> None:
        if gradient_pairs is None:
            gradient_pairs = _affordable_pairs(budget)
        self._for_cam_networks = cam_columns is None or bool(cam_columns)
        if cam_columns is None:
            cam_columns = CAM_COLUMNS if most_passes(budget) >= CAMS_FROM else ()
        if gradient_pairs < 0:
            raise RequestError(f"{gradient_pairs} gradient pairs is not a number of pairs", hint="give 0 or more")
        self.budget = budget
        self.cam_columns = tuple(cam_columns)
        self.gradient_pairs = gradient_pairs
        self.target_layer = target_layer
        self._parents: tuple[RunningSums, FloatArray] | None = None

    @property
    def agreement(self) -> Agreement | None:
        """How the two parents compare, fitted when it is asked for: the evidence makes maps again without asking."""
        return None if self._parents is None else compare(*self._parents, cam=AGREEMENT_CAM)

    def check(self, case: Case) -> None:
        """Find out, before any masked image is asked about, whether this can be done (one pass lists the layers).

        Raises:
            RequestError: the budget is too small, there is no such layer, or CAM does not apply to the network.
        """
        if self._for_cam_networks:  # whatever the budget, so that more passes never turn an answer into an error
            target(case, self.target_layer)
        self._shares(case, 3 if self.cam_columns else 0)

    def explain(self, case: Case) -> Attribution:
        """Explain the case; the map's values are log-odds a region, its std one posterior standard deviation.

        Raises:
            Cancelled: cancelled before the first masked image was answered.
        """
        started = time.perf_counter()
        passes = case.classifier.passes
        forward, backward = passes.forward, passes.backward
        self._parents = None
        layer, maps = self._cam_maps(case)
        gradient_pairs, shares = self._shares(case, passes.forward - forward + 2 * (passes.backward - backward))
        results: list[SegmentationResult] = []
        notes: dict[str, Any] = {}
        gradient: MaskedGradient | None = None
        for number, (regions, pairs) in enumerate(zip(case.regions, shares, strict=True)):
            sampler = PairSampler(case, regions, pairs=pairs, method=self.name, total_passes=2 * sum(shares))
            sampler.passes_done = 2 * sum(result.sums.n for result in results)
            if not results and gradient_pairs:
                gradient = sampler.run_with_gradient(gradient_pairs)
            cams = pooled(maps, regions.pool)
            derivatives = None if gradient is None else gradient.derivatives(regions, number)
            if derivatives is not None and derivatives.usable:
                sampler.prefer(derivatives.square)
            believe = partial(_posterior, cams=cams, derivatives=derivatives)
            offer_drafts(case, sampler, regions, results, believe)
            finished = self._sample(sampler, believe, notes)
            if sampler.sums.n:
                averaged = fit_profiled(sampler.sums, cams, derivatives)
                if not results:
                    spent = passes.forward - forward + 2 * (passes.backward - backward)
                    notes |= {"passes_of_weights": spent, **_notes(averaged)}
                results.append(SegmentationResult(regions, averaged.posterior, sampler.sums))
            if not finished:
                notes["cancelled"] = True
                break
        if not results:
            raise Cancelled
        first = results[0]
        if AGREEMENT_CAM in maps:
            self._parents = first.sums, first.regions.pool(maps[AGREEMENT_CAM])
        values, std = average_over_segmentations(results)
        return Attribution(
            method=self.name,
            values=values,
            std=std,
            region_weights=first.posterior.mean,
            region_std=first.posterior.std,
            region_covariance=first.posterior.covariance,
            forward_passes=passes.forward - forward,
            backward_passes=passes.backward - backward,
            seconds=time.perf_counter() - started,
            target_layer=layer,
            parameters={
                "explains": "log-odds",
                "segmentations": len(results),
                "regions": [result.regions.count for result in results],
                "columns": _column_notes([*maps, *([MASKED_GRADIENT] if gradient else [])], first.posterior),
                "intervals_supported": all(supports_intervals(r.regions.count, r.sums.n) for r in results),
                "interval_factor": first.posterior.interval_factor,
                "explained_share": first.explained_share,
                **notes,
            },
        )

    def _shares(self, case: Case, spent: int) -> tuple[int, list[int]]:
        """Gradient pairs, no more than a segmentation has pairs, and the pairs of each segmentation."""
        regions = [segmentation.count for segmentation in case.regions]
        gradient_pairs = self.gradient_pairs
        while True:
            # The pairs behind the masked gradient are answered forward as well: only their backward passes cost extra.
            shares = split_pairs(self.budget, regions, spent=spent + 4 * gradient_pairs)
            if gradient_pairs <= shares[0]:
                return gradient_pairs, shares
            gradient_pairs -= 1

    def _cam_maps(self, case: Case) -> tuple[str | None, dict[str, NDArray[np.floating]]]:
        if not self.cam_columns:
            return None, {}
        layer, maps = input_grid_maps(case, self.cam_columns, target_layer=self.target_layer)
        return layer, dict(maps)

    def _sample(self, sampler: PairSampler, believe: Callable[[RunningSums], Posterior], notes: dict[str, Any]) -> bool:
        if not isinstance(self.budget, StoppingRule):
            return sampler.run(sampler.pairs_left)
        finished, reason = self.budget.run(sampler, believe)
        notes.setdefault("stopped_because", []).append(reason)
        return finished


def _posterior(sums: RunningSums, cams: FloatArray | None, derivatives: Derivatives | None) -> Posterior:
    return fit_profiled(sums, cams, derivatives).posterior


def _notes(averaged: Averaged) -> dict[str, float]:
    """What the masked images say of the hints, for the provenance."""
    return {
        "evenness": averaged.evenness,
        "share_of_derivatives": averaged.share_of_derivatives,
        "share_of_cams": averaged.share_of_cams,
    }


def _affordable_pairs(budget: Budget) -> int:
    passes = most_passes(budget)
    least = 2 if passes >= PASSES_A_GRADIENT_PAIR else 1
    return min(GRADIENT_PAIRS, max(int(passes / PASSES_A_GRADIENT_PAIR + 0.5), least))


def pooled(maps: Mapping[str, NDArray[np.floating]], pool: Callable[..., FloatArray]) -> FloatArray | None:
    """One column a map, its sums over the regions, shape ``(d, number of maps)``; ``None`` without maps."""
    return np.stack([pool(values) for values in maps.values()], axis=1) if maps else None


def _column_notes(names: Sequence[str], posterior: Posterior) -> dict[str, dict[str, float]]:
    """Weight of each column and its standard deviation, by name."""
    return {
        name: {"weight": float(weight), "std": float(std)}
        for name, weight, std in zip(names, posterior.column_weights, posterior.column_std, strict=True)
    }
