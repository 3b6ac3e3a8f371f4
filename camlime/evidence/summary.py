"""All of the evidence on one map, within a budget, with a verdict and a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from camlime.attribution import Attribution
from camlime.classifier import Classifier
from camlime.errors import CamlimeError, RequestError
from camlime.evidence.bundle_record import RecordedCheck
from camlime.evidence.controls import control_maps, shifted_copy
from camlime.evidence.curves import COARSE_FRACTIONS, FRACTIONS, MapCurves, Ranks, Removal, ranking, tied_share
from camlime.evidence.kept import KeptMaps
from camlime.evidence.meter import Meter
from camlime.evidence.plan import Plan, default_budget
from camlime.evidence.randomisation import THRESHOLD, Randomisation, RandomNetworks, check_randomisation
from camlime.evidence.records import BaselineEvidence, Evidence
from camlime.evidence.repeatability import Repeatability, compare_runs
from camlime.evidence.words import in_words
from camlime.methods.case import Case

Remake = Callable[[Case, int], Attribution]
"""Makes a method's map again, of another case, within so many passes."""


def measure(
    case: Case,
    attribution: Attribution,
    remake: Remake,
    baselines: Mapping[str, Tensor],
    *,
    budget: int | None = None,
) -> Evidence:
    """Measure whether the model used what a map shows.

    Args:
        case: as the map was made from.
        attribution: the map.
        remake: makes it again, for random networks and other seeds.
        baselines: to score with, ``(C, *S)`` by name; see :func:`~camlime.evidence.baselines.scoring_baselines`.
        budget: pass-equivalents; what they do not suffice for is left out, the verdict included. ``None``: see
            :func:`~camlime.evidence.plan.default_budget`.

    Raises:
        Cancelled: the user cancelled.

    Example:
        >>> evidence = measure(case, attribution, remake, baselines)  # doctest: +SKIP
        >>> evidence.supported, evidence.sentence  # doctest: +SKIP
        (True, 'Removing the strongest 5 % of the input by this map takes p(malignant) from 0.97 to 0.31; ...')
    """
    allowed = default_budget(attribution, len(baselines)) if budget is None else budget
    examination = Examination(case, baselines, allowed)
    return examination.evidence(attribution, remake, Plan.within(allowed, attribution, len(baselines)))


class Examination:
    """The evidence on one or several maps of a case, one after the other; what they share is measured once.

    Args:
        case: as the maps were made from.
        baselines: to score with, ``(C, *S)`` by name.
        total: passes planned, for the progress.
        kept: see :mod:`camlime.evidence.kept`.
    """

    def __init__(self, case: Case, baselines: Mapping[str, Tensor], total: int, kept: KeptMaps | None = None) -> None:
        self._case = case
        self._baselines = baselines
        self._kept = kept
        self._meter = Meter(case, total)
        self._classifier = self._meter.counted(case.classifier)
        self._random = RandomNetworks(case, self._classifier, self._meter)
        self._removals: dict[str, Removal] = {}
        self._controls: dict[str, dict[str, MapCurves]] = {}

    def evidence(
        self,
        attribution: Attribution,
        remake: Remake,
        plan: Plan,
        recorded: RecordedCheck | None = None,
        unfit: str = "",
    ) -> Evidence:
        """Measure the evidence on one map; arguments and errors as in :func:`measure`.

        Args:
            attribution: the map.
            remake: makes it again.
            plan: what there are passes for.
            recorded: what the bundle's record says of this method with these settings.
            unfit: why it says nothing of this map though it speaks of the method; see
                :meth:`~camlime.evidence.bundle_record.BundleRecord.unfit`.
        """
        started, before = time.perf_counter(), self._meter.passes
        case, classifier, meter = self._case, self._classifier, self._meter
        randomisation: Randomisation | None = None
        problem = ""
        scored = self._scores(attribution, plan) if plan.sentence else {}
        if plan.check:
            try:
                randomisation = check_randomisation(case, self._random, attribution, remake, self._kept)
            except CamlimeError as error:
                problem = error.message
        repeatability = _second_run(case, classifier, attribution, remake, meter, plan)
        supported, reason = _verdict(scored, randomisation, problem, plan, recorded, unfit)
        return Evidence(
            method=attribution.method,
            class_name=classifier.class_names[case.class_index],
            supported=supported,
            reason=reason,
            sentence=in_words(classifier.class_names[case.class_index], scored),
            baselines=scored,
            randomisation=randomisation,
            repeatability=repeatability,
            tied_share=tied_share(attribution.values, case.input.valid.numpy()),
            budget=plan.allowed,
            passes=meter.passes - before,
            seconds=time.perf_counter() - started,
            seed=case.seed,
            bundle_record=recorded,
        )

    def _scores(self, attribution: Attribution, plan: Plan) -> dict[str, BaselineEvidence]:
        """Each order is drawn once, from the seed alone, and used with every baseline."""
        valid, spacing, seed = self._case.input.valid.numpy(), self._case.input.spacing, self._case.seed
        of_map = self._curves(ranking(attribution.values, valid, np.random.default_rng([seed, 0])))
        controls = {
            control: self._control(control, values)
            for control, values in control_maps(self._case.input, seed).items()
            if control == "random" or plan.controls
        }
        rng = np.random.default_rng([seed, 3])
        copies = []
        for _ in range(plan.copies):
            moved = ranking(shifted_copy(attribution.values, valid, spacing, rng), valid, rng)
            copies.append(self._curves(moved, COARSE_FRACTIONS))
        coarse = [FRACTIONS.index(q) for q in COARSE_FRACTIONS]
        return {
            name: BaselineEvidence(
                curves=of_map[name],
                controls={control: found[name] for control, found in controls.items()},
                judged_abpc=of_map[name].at(coarse).abpc["log_odds"] if plan.copies else None,
                copies_abpc=tuple(found[name].abpc["log_odds"] for found in copies),
            )
            for name in self._baselines
        }

    def _control(self, name: str, values: NDArray[np.float32]) -> dict[str, MapCurves]:
        if name not in self._controls:
            valid = self._case.input.valid.numpy()
            self._controls[name] = self._curves(ranking(values, valid, np.random.default_rng([self._case.seed, 2])))
        return self._controls[name]

    def _curves(self, ranks: Ranks, fractions: Sequence[float] = FRACTIONS) -> dict[str, MapCurves]:
        for name, baseline in self._baselines.items():
            if name not in self._removals:
                self._removals[name] = Removal(self._case, self._classifier, baseline, self._meter)
        return {name: removal.curves(ranks, fractions) for name, removal in self._removals.items()}


def _second_run(
    case: Case, classifier: Classifier, attribution: Attribution, remake: Remake, meter: Meter, plan: Plan
) -> Repeatability | None:
    """Compare runs; ``None`` without passes for them, or with fewer than the method needs.

    Only weights of the same regions can be compared, so the runs have the first segmentation and its share of passes.
    """
    if not plan.second_run:
        return None
    seeds = (case.seed + 1,) if plan.against_map else (case.seed + 1, case.seed + 2)
    runs = [attribution] if plan.against_map else []
    for seed in seeds:
        try:
            again = replace(meter.case(meter.counted(classifier), seed=seed), regions=case.regions[:1])
            runs.append(remake(again, plan.second_run))
        except RequestError:
            return None
        meter.check()
    return compare_runs(*runs, of_the_map=plan.against_map)


def _verdict(
    scored: Mapping[str, BaselineEvidence],
    randomisation: Randomisation | None,
    problem: str,
    plan: Plan,
    recorded: RecordedCheck | None,
    unfit: str,
) -> tuple[bool | None, str]:
    if plan.sentence and not scored:
        return None, "not judged: the image leaves nothing to replace voxels by but what the map was made with"
    failed = [name for name, baseline in scored.items() if baseline.passed is False]
    said = []
    if failed:
        numbers = ", ".join(f"{k} {scored[k].judged_abpc:.2f} against {scored[k].threshold:.2f}" for k in failed)
        said.append(f"the map orders the input no better than copies of it in the wrong place ({numbers})")
    if randomisation is not None and randomisation.survives:
        said.append(
            "the map looks the same on a network that has learned nothing "
            f"(rank correlation {randomisation.similarity:.2f}, limit {randomisation.threshold:.2f})"
        )
    if randomisation is None and recorded is not None and recorded.fails:
        said.append(record_in_words(recorded))
    if said:
        return False, "; and ".join(said)
    of_record = unfit if recorded is None else record_in_words(recorded)
    if not plan.check:
        return None, _unfinished(scored, plan, of_record)
    if randomisation is None:
        why = f"not judged: the map could not be made on a network with random weights: {problem}"
        return None, f"{why}; {of_record}" if of_record else why
    return True, (
        f"{_better_than_copies(scored, plan)} and changes when the network forgets what it has learned "
        f"(rank correlation {randomisation.similarity:.2f}, limit {randomisation.threshold:.2f})"
    )


def _unfinished(scored: Mapping[str, BaselineEvidence], plan: Plan, of_record: str) -> str:
    """Why there is no verdict, and what is known all the same."""
    said = f"not judged: {plan.allowed} passes of evidence are too few for this map, a verdict takes {plan.needed}"
    if plan.copies:
        said += f"; {_better_than_copies(scored, plan)}"
    return f"{said}; {of_record}" if of_record else said


def _better_than_copies(scored: Mapping[str, BaselineEvidence], plan: Plan) -> str:
    return (
        f"the map orders the input better than 95 % of {plan.copies} copies of it in the wrong place "
        f"(removal baselines: {_listed(list(scored))})"
    )


def record_in_words(recorded: RecordedCheck) -> str:
    """What a bundle's record says of a method's randomisation check."""
    passed = recorded.cases - recorded.survived
    found = (
        "the map looked the same on a network that has learned nothing at the median"
        if recorded.fails
        else f"the map passed the randomisation check on {passed}"
    )
    return (
        f"from the bundle's record on {recorded.cases} other cases: {found} (rank correlation {recorded.median:.2f} at "
        f"the median, {min(recorded.similarities):.2f} to {max(recorded.similarities):.2f}, limit {THRESHOLD:.2f}; "
        "not measured on this case)"
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
