"""How many passes an explanation will take, and how long they will last."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camlime.attribution import Attribution
from camlime.bundle import Bundle
from camlime.evidence.meter import NAME as EVIDENCE
from camlime.evidence.plan import TIMES_THE_MAPS_BUDGET, default_budget_of_all
from camlime.methods.combine import RULES
from camlime.methods.stopping import StoppingRule
from camlime.settings import DEFAULT_BUDGET, DEFAULT_METHODS, DEFAULT_REGIONS, DEFAULT_SEGMENTATIONS, checked_methods
from camlime.worker.engine.warm import Speed

CAM_PASSES = 3
"""One forward and one backward."""

SAMPLED = frozenset({"lime", "fused", "occlusion"})
"""Methods that may use the budget; occlusion stops where every region was covered once."""

SCORING_BASELINES = 2

BELIEVED = 64
"""Passes after which what is seen weighs as much as what was measured before."""


@dataclass(frozen=True)
class Plan:
    """Pass-equivalents by stage, in order.

    Args:
        passes: by method, and of the evidence.
        bound: whether the work may end long before.
    """

    passes: Mapping[str, int]
    bound: bool

    @property
    def total(self) -> int:
        """Of all stages."""
        return sum(self.passes.values())


def plan(bundle: Bundle, settings: Mapping[str, Any], *, own_regions: bool) -> Plan:
    """What :func:`camlime.explain` will do with such settings, and with regions of the user's own or without.

    Raises:
        RequestError: there is no such method.
    """
    own = bundle.explain_settings
    methods = checked_methods(settings.get("methods") or own.methods or DEFAULT_METHODS)
    budget = settings.get("budget") or own.budget or DEFAULT_BUDGET
    bound = budget == "auto"
    most = StoppingRule().most_passes if bound else int(budget)
    passes: dict[str, int] = {}
    for method in _with_parents(methods):
        passes[method] = most if method in SAMPLED else CAM_PASSES
    parts = settings.get("segmentations") or (1 if own_regions else DEFAULT_SEGMENTATIONS)
    evidence = settings.get("evidence_budget")
    passes[EVIDENCE] = _evidence(methods, most, parts, bound=bound) if evidence is None else int(evidence)
    return Plan(passes, bound)


def _with_parents(methods: Sequence[str]) -> list[str]:
    parts = [part for method in methods for part in (("gradcam", "lime") if method in RULES else (method,))]
    return list(dict.fromkeys(parts))


def _evidence(methods: Sequence[str], budget: int, segmentations: int, *, bound: bool) -> int:
    lead = next((name for name in ("fused", "lime") if name in methods), methods[0])
    maps = [_like(name, budget, segmentations) for name in (lead, *(name for name in methods if name != lead))]
    everything = default_budget_of_all(maps, SCORING_BASELINES)
    return everything if bound else min(everything, TIMES_THE_MAPS_BUDGET * budget)


def _like(method: str, budget: int, segmentations: int) -> Attribution:
    sampled = method in SAMPLED
    notes: dict[str, Any] = {"random": False} if method == "occlusion" else {}
    if sampled and method != "occlusion":
        notes["passes_of_weights"] = budget // segmentations
    return Attribution(
        method,
        np.empty(0, dtype=np.float32),
        region_weights=np.empty(DEFAULT_REGIONS) if sampled else None,
        forward_passes=budget if sampled else CAM_PASSES,
        parameters=notes,
    )


class Schedule:
    """Seconds left of an explanation that runs.

    Args:
        planned: what it will do.
        speed: seconds a pass, as known before; at the end what was seen is kept there.
    """

    def __init__(self, planned: Plan, speed: Speed) -> None:
        self._planned = planned
        self._speed = speed
        self._started = time.monotonic()
        self._done: dict[str, int] = {}

    def seconds_left(self, stage: str, done: int, total: int) -> float:
        """Hear that a stage has done so many passes; seconds until the end of the last stage."""
        self._done[stage] = done
        names = list(self._planned.passes)
        later = names[names.index(stage) + 1 :] if stage in names else []
        left = max(total - done, 0) + sum(self._planned.passes[name] for name in later)
        return round(left * self._rate(), 1)

    def finish(self) -> None:
        """Remember for the next time how long a pass took with all that goes with it."""
        if sum(self._done.values()) >= BELIEVED:
            self._speed.seconds_per_pass = (time.monotonic() - self._started) / sum(self._done.values())

    def _rate(self) -> float:
        done = sum(self._done.values())
        elapsed = time.monotonic() - self._started
        return (self._speed.seconds_per_pass * BELIEVED + elapsed) / (BELIEVED + done)
