"""How a budget of passes is shared between the parts of the evidence."""

from __future__ import annotations

from dataclasses import dataclass

from camlime.attribution import Attribution
from camlime.evidence.controls import FEWEST_COPIES, copies_within
from camlime.evidence.curves import COARSE_FRACTIONS, FRACTIONS
from camlime.evidence.randomisation import COPIES, PASSES_OF_A_COPY

LEAST_SECOND_RUN = 64
"""Passes; two runs with fewer say nothing of a map that was made with more."""

SECOND_RUN_AT_MOST = 1024
"""Passes, unless the user's budget allows more."""

_FINE = 2 * (len(FRACTIONS) - 2)
_COARSE = 2 * (len(COARSE_FRACTIONS) - 2)
_OTHER_CONTROLS = 2
_ENDS = 2


@dataclass(frozen=True)
class Plan:
    """What there are passes for.

    Args:
        needed: passes that a verdict takes at least.
        sentence: the map's own curves and the random control.
        copies: shifted copies; 0 for no verdict.
        controls: the other controls as well.
        second_run: passes of each run for the repeatability; 0 for none.
        against_map: one more run is compared with the map, else two runs with each other.
    """

    needed: int
    sentence: bool
    copies: int
    controls: bool
    second_run: int
    against_map: bool

    @staticmethod
    def within(budget: int, attribution: Attribution, baselines: int) -> Plan:
        """Share passes in this order: curves and random control, verdict, other controls, second run, more copies.

        Args:
            budget: pass-equivalents.
            attribution: the map.
            baselines: how many it is scored with.
        """
        if baselines == 0:
            return Plan(0, True, 0, False, 0, False)
        sentence = baselines * (_ENDS + 2 * _FINE)
        own = passes_of(attribution)
        needed = _needed(baselines)
        if budget < needed:
            return Plan(needed, budget >= sentence, 0, False, 0, False)
        left = budget - needed
        controls = left >= baselines * _OTHER_CONTROLS * _FINE
        left -= baselines * _OTHER_CONTROLS * _FINE if controls else 0
        seeded = _repeatable(attribution)
        against_map = left >= own
        second_run = 0 if not seeded else own if against_map else left // 2
        second_run = second_run if second_run >= min(LEAST_SECOND_RUN, own) else 0
        left -= second_run * (1 if against_map else 2)
        copies = copies_within(FEWEST_COPIES * baselines * _COARSE + left, baselines * _COARSE)
        return Plan(needed, True, copies, controls, second_run, against_map)


def default_budget(attribution: Attribution, baselines: int) -> int:
    """Passes for everything once, with the fewest copies: 1192 with two baselines, and one more run of the method."""
    again = 0 if not _repeatable(attribution) else min(passes_of(attribution), SECOND_RUN_AT_MOST)
    return _needed(baselines) + baselines * _OTHER_CONTROLS * _FINE + again


def _repeatable(attribution: Attribution) -> bool:
    """Whether another seed gives another map, region by region, to compare with."""
    return attribution.region_weights is not None and attribution.parameters.get("random") is not False


def _needed(baselines: int) -> int:
    removal = baselines * (_ENDS + 2 * _FINE + FEWEST_COPIES * _COARSE)
    return removal + COPIES * PASSES_OF_A_COPY


def passes_of(attribution: Attribution) -> int:
    """Pass-equivalents that a map took."""
    return attribution.forward_passes + 2 * attribution.backward_passes
