"""How many passes a method may use, and how they are shared between segmentations."""

from __future__ import annotations

from collections.abc import Sequence

from camlime.errors import RequestError
from camlime.methods.stopping import StoppingRule

Budget = int | StoppingRule
"""Passes in all (a backward pass counts as two forward ones), or a rule that says when it is enough."""

SMALLEST_BUDGET = 16


def most_passes(budget: Budget) -> int:
    """Passes that the budget allows at most."""
    return budget.most_passes if isinstance(budget, StoppingRule) else budget


def split_pairs(budget: Budget, regions: Sequence[int], *, spent: int = 0) -> list[int]:
    """Pairs of masked images for each segmentation, so that all of them together, and ``spent``, keep to the budget.

    Args:
        budget: passes in all, or a rule, whose bound is split.
        regions: number of regions of each segmentation.
        spent: pass-equivalents already used.

    Raises:
        RequestError: the budget leaves no pair for some segmentation.
    """
    total = most_passes(budget)
    pairs = (total - spent) // 2 // len(regions)
    if total < SMALLEST_BUDGET or pairs < 1:
        raise RequestError(
            f"a budget of {total} passes is too small for {len(regions)} segmentation(s)",
            hint=f"give at least {max(SMALLEST_BUDGET, spent + 8 * len(regions))}",
        )
    return [pairs] * len(regions)
