"""How a budget of passes is shared between the maps of a case, and between the parts of the evidence on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from camlime.attribution import Attribution
from camlime.evidence.controls import FEWEST_COPIES, copies_within
from camlime.evidence.curves import COARSE_FRACTIONS, FRACTIONS
from camlime.evidence.randomisation import passes_of_check

LEAST_SECOND_RUN = 64
"""Passes; two runs with fewer say nothing of a map that was made with more."""

SECOND_RUN_AT_MOST = 1024
"""Passes, unless the user's budget allows more."""

TIMES_THE_MAPS_BUDGET = 10
"""By default the evidence takes at most so many times the passes that the user gives each of LIME and fused."""

_FINE = 2 * (len(FRACTIONS) - 2)
_COARSE = 2 * (len(COARSE_FRACTIONS) - 2)
_OTHER_CONTROLS = 2
_ENDS = 2


@dataclass(frozen=True)
class Plan:
    """What there are passes for, of one map.

    Args:
        allowed: passes that it has.
        needed: passes that a verdict takes at least.
        passes: that are planned.
        sentence: the map's own curves and the random control.
        copies: shifted copies; 0 for no verdict.
        check: the map is made again on random networks.
        controls: the other controls as well.
        second_run: passes of each run for the repeatability, on the first segmentation alone; 0 for none.
        against_map: one more run is compared with the map, else two runs with each other.
    """

    allowed: int
    needed: int
    passes: int
    sentence: bool
    copies: int
    check: bool
    controls: bool
    second_run: int
    against_map: bool

    @staticmethod
    def within(budget: int, attribution: Attribution, baselines: int, *, beside: Plan | None = None) -> Plan:
        """Share passes in this order: curves, random control, copies, randomisation, other controls, second run, more.

        What is left at the end buys more copies.

        Args:
            budget: pass-equivalents.
            attribution: the map.
            baselines: how many it is scored with.
            beside: the plan of the map that is examined first on this case, whose controls serve this one as well.
        """
        if baselines == 0:
            return Plan(budget, 0, 0, True, 0, False, False, 0, False)
        shared = beside is not None and beside.sentence
        sentence = baselines * (_FINE if shared else _ENDS + 2 * _FINE)
        needed = _needed(attribution, baselines, sentence)
        if budget < needed:
            controls = shared and beside is not None and beside.controls
            half = needed - passes_of_check(attribution)
            if budget >= half:
                return Plan(budget, needed, half, True, FEWEST_COPIES, False, controls, 0, False)
            affordable = budget >= sentence
            return Plan(budget, needed, sentence if affordable else 0, affordable, 0, False, controls, 0, False)
        left = budget - needed
        if shared and beside is not None:
            controls = beside.controls
        else:
            controls = left >= baselines * _OTHER_CONTROLS * _FINE
            left -= baselines * _OTHER_CONTROLS * _FINE if controls else 0
        own = passes_of_weights(attribution)
        seeded = _repeatable(attribution)
        against_map = left >= own
        second_run = 0 if not seeded else own if against_map else left // 2
        second_run = second_run if second_run >= min(LEAST_SECOND_RUN, own) else 0
        left -= second_run * (1 if against_map else 2)
        copies = copies_within(FEWEST_COPIES * baselines * _COARSE + left, baselines * _COARSE)
        left -= (copies - FEWEST_COPIES) * baselines * _COARSE
        return Plan(budget, needed, budget - left, True, copies, True, controls, second_run, against_map)


def share(budget: int, attributions: Sequence[Attribution], baselines: int) -> list[Plan]:
    """A plan for each map of a case, the first being the one to show first.

    The first map has everything once; then each of the others has a verdict, in their order, or what the passes
    suffice for; then each of them has a second run; what is still left buys more copies for the first.

    Args:
        budget: pass-equivalents for all of them.
        attributions: at least one.
        baselines: how many they are scored with.
    """
    lead, *others = attributions
    first = Plan.within(min(budget, default_budget(lead, baselines)), lead, baselines)
    left = budget - first.passes
    plans = []
    for other in others:
        needed = Plan.within(0, other, baselines, beside=first).needed
        plans.append(Plan.within(min(left, needed), other, baselines, beside=first))
        left -= plans[-1].passes
    for i, other in enumerate(others):
        again = Plan.within(plans[i].needed + _second_run(other), other, baselines, beside=first)
        if plans[i].check and again.passes - plans[i].passes <= left:
            left -= again.passes - plans[i].passes
            plans[i] = again
    if first.check:
        first = Plan.within(first.passes + left, lead, baselines)
    return [first, *plans]


def default_budget(attribution: Attribution, baselines: int) -> int:
    """Passes for everything once, with the fewest copies, on one map.

    Of fused with two baselines 1192, and those of its first segmentation once more.
    """
    sentence = baselines * (_ENDS + 2 * _FINE)
    return (
        _needed(attribution, baselines, sentence) + baselines * _OTHER_CONTROLS * _FINE + _second_run(attribution)
        if baselines
        else 0
    )


def default_budget_of_all(attributions: Sequence[Attribution], baselines: int) -> int:
    """Passes for everything once on the first map and a verdict on each of the others."""
    lead, *others = attributions
    first = Plan.within(default_budget(lead, baselines), lead, baselines)
    return default_budget(lead, baselines) + sum(
        Plan.within(0, other, baselines, beside=first).needed for other in others
    )


def _repeatable(attribution: Attribution) -> bool:
    """Whether another seed gives another map, region by region, to compare with."""
    return attribution.region_weights is not None and attribution.parameters.get("random") is not False


def passes_of(attribution: Attribution) -> int:
    """Pass-equivalents that a map took."""
    return attribution.forward_passes + 2 * attribution.backward_passes


def passes_of_weights(attribution: Attribution) -> int:
    """Pass-equivalents behind a map's ``region_weights``, which are those of its first segmentation."""
    return int(attribution.parameters.get("passes_of_weights", passes_of(attribution)))


def _needed(attribution: Attribution, baselines: int, sentence: int) -> int:
    return sentence + baselines * FEWEST_COPIES * _COARSE + passes_of_check(attribution)


def _second_run(attribution: Attribution) -> int:
    return min(passes_of_weights(attribution), SECOND_RUN_AT_MOST) if _repeatable(attribution) else 0
