"""One case of a benchmark: every method at every budget and seed, scored; a plain record comes out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.attribution import Attribution, FloatArray
from camlime.benchmark.cohort import CohortCase
from camlime.benchmark.localisation import localisation, prevalence
from camlime.benchmark.methods import COMMON, METHODS, Method
from camlime.benchmark.preparing import Prepared, prepare
from camlime.benchmark.settings import BenchmarkSettings
from camlime.benchmark.stability import agreement, coverage, nrmse
from camlime.benchmark.state import computing_state
from camlime.errors import CamlimeError, RequestError
from camlime.evidence import scoring_baselines
from camlime.evidence.curves import Removal, ranking, tied_share
from camlime.evidence.meter import Meter
from camlime.methods.layers import candidate_layers

LIMIT_SEED = 1_000_003
"""Of the long runs: none of the seeds that are compared with them."""

Record = dict[str, Any]
Weights = dict[tuple[str, int], dict[int, Attribution]]


@dataclass(frozen=True)
class Job:
    """A case to be done.

    Args:
        line: of the cohort.
        settings: of the benchmark.
        fingerprint: of the bundle, to be sure that every machine has the same.
        state: versions and sources where the benchmark was started, for the same reason.
    """

    line: CohortCase
    settings: BenchmarkSettings
    fingerprint: dict[str, str]
    state: dict[str, Any] = field(default_factory=computing_state)


def measure_case(job: Job) -> Record:
    """Run and score all methods on one case.

    Returns:
        JSON-serialisable: what is known of the case, ``maps`` (one entry a method, budget and seed), ``stability`` (one
        a method and budget), ``skipped`` (methods that could not run, and why).

    Raises:
        CamlimeError: the case itself cannot be done; what a single method cannot do is in ``skipped``.
    """
    started = time.perf_counter()
    _check_state(job.state)
    prepared = prepare(job.line, job.settings, job.fingerprint)
    case = prepared.case
    skipped: list[Record] = []
    with suppress(CamlimeError):  # the methods that need a layer say so themselves
        candidate_layers(case.classifier, case.input.image)  # once, so that no method's passes hold it
    scorer = _Scorer(prepared)
    maps: list[Record] = []
    kept: Weights = {}
    for method, budget, seed in _runs(job.settings):
        try:
            made = _run(prepared, method, budget, seed)
        except CamlimeError as error:
            skipped.append({"method": method.name, "budget": budget or None, "seed": seed, "why": str(error)})
            continue
        maps.append({"method": method.name, "budget": budget or None, "seed": seed, **made.cost, **scorer(made.map)})
        kept.setdefault((method.name, budget), {})[seed] = made.map
    limits = _limits(prepared, job.settings, kept, skipped)
    return {
        "case": job.line.case,
        "patient": job.line.patient,
        "class": prepared.class_name,
        "probability": prepared.probability,
        "regions": [regions.count for regions in case.regions],
        "offset_mm": list(prepared.offset_mm),
        "padding": 1 - float(case.input.valid.double().mean()),
        "score_baselines": list(scorer.baselines),
        "prevalence": scorer.prevalence,
        "no_mask_because": prepared.no_mask_because,
        "maps": maps,
        "stability": [_stability(name, budget, runs, limits) for (name, budget), runs in kept.items() if _has(runs)],
        "skipped": skipped,
        "seconds": time.perf_counter() - started,
    }


def _check_state(wanted: dict[str, Any]) -> None:
    """Find out whether this process computes with what the benchmark was started with.

    Raises:
        RequestError: it does not; names what differs.
    """
    here = computing_state()
    other = [name for name, version in wanted["versions"].items() if here["versions"].get(name) != version]
    if other or here["sources"] != wanted["sources"]:
        raise RequestError(
            f"the worker has {'other versions of ' + ', '.join(other) if other else 'other sources of camlime'} than "
            "where the benchmark was started",
            hint="install the same on every machine, and start the workers anew",
        )


def _runs(settings: BenchmarkSettings) -> Iterable[tuple[Method, int, int]]:
    for name in settings.methods:
        method = METHODS[name]
        for budget in settings.budgets if method.budgeted else (0,):
            for seed in settings.seeds if method.seeded else settings.seeds[:1]:
                yield method, budget, seed


@dataclass(frozen=True)
class _Made:
    map: Attribution
    cost: Record


def _run(prepared: Prepared, method: Method, budget: int, seed: int) -> _Made:
    case = replace(prepared.case, seed=seed)
    passes = case.classifier.passes
    forward, backward = passes.forward, passes.backward
    started = time.perf_counter()
    made = method.explain(case, budget, prepared.layer)
    seconds = time.perf_counter() - started
    forward, backward = passes.forward - forward, passes.backward - backward
    cost = {"seconds": seconds, "forward": forward, "backward": backward, "passes": forward + 2 * backward}
    return _Made(made, cost)


class _Scorer:
    """Scores maps of one case: removal with each baseline, and against the outline."""

    def __init__(self, prepared: Prepared) -> None:
        case, bundle = prepared.case, prepared.bundle
        meter = Meter(case, 0)
        classifier = meter.counted(case.classifier)
        self.baselines = scoring_baselines(
            bundle.explain_settings.score_baselines, case.input, case.baseline, fixed=bundle.guidance_channels
        )
        self._removals = {name: Removal(case, classifier, image, meter) for name, image in self.baselines.items()}
        self._valid: NDArray[np.bool_] = case.input.valid.numpy()
        self._mask = prepared.mask
        self.prevalence = None if self._mask is None else prevalence(self._mask, self._valid)

    def __call__(self, made: Attribution) -> Record:
        ranks = ranking(made.values, self._valid, np.random.default_rng(0))
        removal = {}
        for name, remover in self._removals.items():
            curves = remover.curves(ranks)
            removal[name] = {
                "abpc": curves.abpc["log_odds"],
                "abpc_probability": curves.abpc["probability"],
                "deletion": curves.most_first.area(curves.fractions)["log_odds"],
                "insertion": curves.insertion.area(curves.fractions)["log_odds"],
                "deletion_probability": curves.most_first.area(curves.fractions)["probability"],
                "insertion_probability": curves.insertion.area(curves.fractions)["probability"],
                "fractions": list(curves.fractions),
                "most_first": list(curves.most_first.log_odds),
                "least_first": list(curves.least_first.log_odds),
            }
        record: Record = {"removal": removal, "tied_share": tied_share(made.values, self._valid), "outline": None}
        if self._mask is not None:
            record["outline"] = {
                "signed": localisation(made.values, self._mask, self._valid),
                "magnitude": localisation(np.abs(made.values), self._mask, self._valid),
            }
        return record


def _limits(
    prepared: Prepared, settings: BenchmarkSettings, kept: Weights, skipped: list[Record]
) -> dict[str, FloatArray]:
    """Region weights after very many passes, by method."""
    if not settings.limit:
        return {}
    wanted = {METHODS[name].limit for name, _ in kept} | {COMMON}
    limits: dict[str, FloatArray] = {}
    first_only = replace(prepared, case=replace(prepared.case, regions=prepared.case.regions[:1]))
    for name in sorted(filter(None, wanted)):
        try:
            made = _run(first_only, METHODS[name], settings.limit, LIMIT_SEED).map
        except CamlimeError as error:
            skipped.append({"method": name, "budget": settings.limit, "seed": LIMIT_SEED, "why": str(error)})
            continue
        if made.region_weights is not None:
            limits[name] = made.region_weights
    return limits


def _has(runs: dict[int, Attribution]) -> bool:
    return all(run.region_weights is not None for run in runs.values())


def _stability(name: str, budget: int, runs: dict[int, Attribution], limits: dict[str, FloatArray]) -> Record:
    method = METHODS[name]
    weights = [run.region_weights for run in runs.values() if run.region_weights is not None]
    record: Record = {
        "method": name,
        "budget": budget or None,
        "seeds": list(runs),
        "regions": len(weights[0]),
        **(agreement(weights) or {}),
    }
    own = limits.get(method.limit or "")
    if own is not None:
        record["nrmse"] = _mean([nrmse(w, own) for w in weights])
        record["coverage"] = _mean([found for run in runs.values() if (found := _covered(run, own)) is not None])
        record["intervals_supported"] = all(
            bool(run.parameters.get("intervals_supported", True)) for run in runs.values()
        )
    if COMMON in limits and not method.own_target:
        record["nrmse_common"] = _mean([nrmse(w, limits[COMMON]) for w in weights])
    elif COMMON in limits and own is not None and method.log_odds:
        record["limit_apart"] = nrmse(own, limits[COMMON])
    return record


def _covered(run: Attribution, limit: FloatArray) -> float | None:
    if run.region_weights is None or run.region_std is None:
        return None
    return coverage(run.region_weights, run.region_std, limit, run.interval_factor)


def _mean(values: list[float | None] | list[float]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
