"""Maps of a method that is not done yet, for those who want to look at them while it samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from camlime.attribution import Attribution
from camlime.methods.case import Case
from camlime.methods.evidence_model import Posterior, RunningSums
from camlime.methods.sampling import PairSampler
from camlime.methods.segmentations import SegmentationResult, average_over_segmentations
from camlime.regions import Regions


def offer_drafts(
    case: Case,
    sampler: PairSampler,
    regions: Regions,
    finished: Sequence[SegmentationResult],
    posterior: Callable[[RunningSums], Posterior],
) -> None:
    """After each batch of a sampler offer the case's listener the map so far.

    A listener that does not take it costs nothing, and one that does changes no result: nothing random is drawn.

    Args:
        case: whose listener it is.
        sampler: that samples.
        regions: its segmentation.
        finished: the segmentations before it.
        posterior: of the weights, from running sums.
    """

    def draft() -> Attribution:
        results = [*finished, SegmentationResult(regions, posterior(sampler.sums), sampler.sums)]
        values, std = average_over_segmentations(results)
        first = results[0].posterior
        return Attribution(
            sampler.method,
            values,
            std,
            region_weights=first.mean,
            region_std=first.std,
            forward_passes=sampler.passes_done,
        )

    sampler.after_batch = lambda: case.on_draft(sampler.method, draft)
