"""What is compared, in words, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """A number that each map, or each method at a budget, has on each case.

    Args:
        name: in tables.
        title: in words.
        better: ``larger``, ``smaller``, or empty where neither is.
        of_removal: it exists once for each removal baseline.
        tested: methods are compared by it.
    """

    name: str
    title: str
    better: str
    of_removal: bool = False
    tested: bool = False


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "abpc", "ABPC: area between removing the least and the most relevant first, log-odds", "larger", True, True
    ),
    Quantity("deletion", "area under the deletion curve, most relevant first, log-odds", "smaller", True, True),
    Quantity("insertion", "area under the insertion curve, most relevant first, log-odds", "larger", True, True),
    Quantity("abpc_probability", "ABPC in probability", "larger", True),
    Quantity("deletion_probability", "area under the deletion curve, probability", "smaller", True),
    Quantity("insertion_probability", "area under the insertion curve, probability", "larger", True),
    Quantity("pointing", "pointing game: is the largest value in the outline?", "larger", tested=True),
    Quantity("mass", "relevance mass accuracy: share of the positive relevance in the outline", "larger", tested=True),
    Quantity(
        "rank", "relevance rank accuracy: share of the K largest voxels in an outline of K", "larger", tested=True
    ),
    Quantity("auprc", "area under the precision-recall curve against the outline", "larger", tested=True),
    Quantity("pointing_magnitude", "pointing game of the map's magnitude", "larger"),
    Quantity("mass_magnitude", "relevance mass accuracy of the map's magnitude", "larger"),
    Quantity("rank_magnitude", "relevance rank accuracy of the map's magnitude", "larger"),
    Quantity("auprc_magnitude", "AUPRC of the map's magnitude", "larger"),
    Quantity("jaccard", "Jaccard index of the ten strongest regions of two seeds", "larger", tested=True),
    Quantity("jaccard_ties_aside", "the same, near-ties aside", "larger", tested=True),
    Quantity("spearman", "weighted Spearman's rho of two seeds", "larger", tested=True),
    Quantity("nrmse", "error relative to the method's own limit", "smaller", tested=True),
    Quantity(
        "nrmse_common",
        "error relative to one limit for all whose weights tend to it: LIME on log-odds, same baseline",
        "smaller",
        tested=True,
    ),
    Quantity(
        "limit_apart",
        "how far a method's own limit lies from that of LIME, relative to it: a difference by definition, no error",
        "",
    ),
    Quantity("coverage", "share of regions whose 95 % interval holds the limit", ""),
    Quantity("passes", "pass-equivalents, a backward pass counted as two", "smaller"),
    Quantity("seconds", "seconds for the map", "smaller"),
)

BY_NAME = {quantity.name: quantity for quantity in QUANTITIES}

PARENTS = ("gradcam", "lime")
"""Of fused."""

PARENT_QUANTITIES = ("abpc", "rank", "auprc")
"""By which fused must not be inferior to the better of its parents."""
