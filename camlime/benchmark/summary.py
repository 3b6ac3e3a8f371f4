"""All that a benchmark found, as one JSON-serialisable record; what an evidence card is made of.

``format``, ``created``, ``bundle`` (name, version, sha256 of weights and configs), ``settings`` and their
``settings_hash``, ``versions``, ``sources`` (hash of camlime's own), ``cohort`` (numbers, prevalence, ``failed`` cases
and ``skipped`` methods with reasons, ``left_out`` methods), ``own_targets`` (methods that are not held against LIME's
limit), ``quantities`` (in words, and which way is better), ``results`` (each method, budget, quantity and baseline:
mean and median over patients with 95 % intervals), ``reference`` and ``comparisons`` (paired tests with Holm's
correction), ``margin`` and ``non_inferiority``.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from camlime.benchmark import comparing
from camlime.benchmark.methods import METHODS
from camlime.benchmark.quantities import QUANTITIES
from camlime.benchmark.settings import FORMAT, BenchmarkSettings
from camlime.benchmark.state import computing_state
from camlime.benchmark.tables import Record
from camlime.bundle import Bundle


def summarise(
    records: Sequence[Record],
    values: Any,
    *,
    bundle: Bundle,
    settings: BenchmarkSettings,
    failed: Mapping[str, str],
    left_out: Mapping[str, str],
    reference: str,
    margin: float,
) -> dict[str, Any]:
    """Put it all together.

    Args:
        records: of the cases that were done, in the cohort's order.
        values: their :func:`~camlime.benchmark.tables.values_table`.
        bundle: that was explained.
        settings: of the run.
        failed: cases that could not be done, and why.
        left_out: methods of a group that were not run, and why.
        reference: the method that the others are compared with.
        margin: of non-inferiority, as a share of the better parent's mean.
    """
    prevalences = [r["prevalence"] for r in records if r["prevalence"] is not None]
    return {
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "bundle": {"name": bundle.name, "version": bundle.version, "sha256": dict(bundle.fingerprint)},
        "settings": asdict(settings),
        "settings_hash": settings.digest(bundle.fingerprint),
        "versions": computing_state()["versions"],
        "sources": computing_state()["sources"],
        "cohort": {
            "cases": len(records),
            "patients": len({r["patient"] for r in records}),
            "classes": dict(Counter(r["class"] for r in records)),
            "regions": [
                min((r["regions"][0] for r in records), default=0),
                max((r["regions"][0] for r in records), default=0),
            ],
            "outlines": len(prevalences),
            "mean_prevalence": float(np.mean(prevalences)) if prevalences else None,
            "without_outline": {r["case"]: r["no_mask_because"] for r in records if r["no_mask_because"]},
            "failed": dict(failed),
            "skipped": _skipped(records),
            "left_out": dict(left_out),
        },
        "own_targets": [
            name for name in settings.methods if settings.limit and METHODS[name].limit and METHODS[name].own_target
        ],
        "quantities": {q.name: {"title": q.title, "better": q.better} for q in QUANTITIES},
        "results": comparing.results(values),
        "reference": reference,
        "comparisons": comparing.comparisons(values, reference),
        "margin": margin,
        "non_inferiority": comparing.non_inferiority(values, margin),
    }


def _skipped(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Methods that could not run on some cases, each reason once, with the number of cases."""
    found: Counter[tuple[str, int | None, str]] = Counter()
    for record in records:
        for key in {(s["method"], s["budget"], s["why"]) for s in record["skipped"]}:
            found[key] += 1
    return [{"method": m, "budget": b, "why": why, "cases": n} for (m, b, why), n in found.items()]
