"""What the page says, in the template's terms: every text is one clean line, and escaping is the template's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camlime.explanation import Explanation
from camlime.overview.units import pixels_in_words
from camlime.overview.words import (
    agreement_in_numbers,
    agreement_in_words,
    clean,
    evidence_in_words,
    method_title,
    verdict_in_words,
)
from camlime.report.charts import BaselineCharts, charts_of

MOST_REGIONS = 40
MOST_CLASSES = 12

_TONES = {True: "good", False: "bad", None: "doubt"}
_BADGES = {"concordant": "good", "CAM uninformative": "doubt", "conflict": "bad"}


@dataclass(frozen=True)
class ClassRow:
    """One class: its name, its probability, and whether it is the predicted and the explained one."""

    name: str
    probability: float
    percent: str
    predicted: bool
    explained: bool


@dataclass(frozen=True)
class Verdict:
    """Whether one map holds: a tone for the style sheet, words, sentences and charts."""

    method: str
    tone: str
    word: str
    sentences: tuple[str, ...]
    charts: tuple[BaselineCharts, ...]


@dataclass(frozen=True)
class RegionRow:
    """One region of the table; ``bar`` is its weight as a share of the largest, -1 to 1."""

    id: int
    name: str
    weight: float | None
    error: float | None
    bar: float
    odds: str
    certain: bool
    volume: str
    centre: tuple[float, float, float]


def classes(explanation: Explanation) -> tuple[list[ClassRow], int]:
    """The most probable classes, always with the explained one, and how many are left out."""
    prediction = explanation.prediction
    order = sorted(prediction.probabilities, key=lambda name: -prediction.probabilities[name])
    shown = order[:MOST_CLASSES]
    if explanation.explained_class in order and explanation.explained_class not in shown:
        shown[-1] = explanation.explained_class
    rows = [
        ClassRow(
            clean(name),
            float(prediction.probabilities[name]),
            percent(prediction.probabilities[name]),
            name == prediction.class_name,
            name == explanation.explained_class,
        )
        for name in shown
    ]
    return rows, len(order) - len(shown)


def percent(probability: float) -> str:
    """A probability in per cent that rounding takes neither to certainty nor to impossibility.

    Example:
        >>> percent(0.97), percent(0.99999), percent(0.0)
        ('97.0 %', '> 99.9 %', '< 0.1 %')
    """
    if probability > 0.999:
        return "> 99.9 %"
    return "< 0.1 %" if probability < 0.001 else f"{100 * probability:.1f} %"


def verdicts(explanation: Explanation) -> list[Verdict]:
    """What the evidence says of each map that was examined."""
    return [
        Verdict(
            method_title(method),
            _TONES[found.supported],
            verdict_in_words(found),
            tuple(evidence_in_words(found)),
            tuple(charts_of(found)),
        )
        for method, found in explanation.evidence.items()
    ]


def agreement(explanation: Explanation) -> Mapping[str, str] | None:
    """Whether CAM and LIME agree; ``None`` if it was not measured."""
    found = explanation.agreement
    if found is None:
        return None
    return {
        "tone": _BADGES.get(found.badge, "doubt"),
        "word": clean(found.badge),
        "sentence": agreement_in_words(found),
        "numbers": agreement_in_numbers(found),
    }


def regions(explanation: Explanation, to_page: Any, *, picture: bool) -> tuple[list[RegionRow], int]:
    """The regions with the largest weights, or the largest where none was weighed; and how many are left out.

    Args:
        explanation: what is shown.
        to_page: 4x4, takes RAS mm to the page's frame.
        picture: volumes are pixels, not ml.
    """
    rows = explanation.region_table()
    rows.sort(key=lambda row: (-abs(row.get("weight") or 0.0), -row["volume_ml"]))
    largest = max((abs(row.get("weight") or 0.0) for row in rows), default=0.0) or 1.0
    counts = np.bincount(explanation.regions.labels.ravel(), minlength=len(rows) + 1)
    shown = []
    for row in rows[:MOST_REGIONS]:
        weight, error = row.get("weight"), row.get("standard_error")
        centre = to_page @ [*row["centre_ras_mm"], 1.0]
        interval = row.get("interval_95")
        certain = weight is not None and (interval is None or interval[0] >= 0 or interval[1] <= 0)
        shown.append(
            RegionRow(
                row["id"],
                clean(row["name"]) if row["name"] is not None else f"Region {row['id']}",
                weight,
                error,
                (weight or 0.0) / largest,
                "" if weight is None else _factor(weight),
                certain,
                f"{counts[row['id']]} px" if picture else f"{row['volume_ml']:.2f} ml",
                (float(centre[0]), float(centre[1]), float(centre[2])),
            )
        )
    return shown, len(rows) - len(shown)


def _factor(weight: float) -> str:
    """By how much the odds are multiplied."""
    return f"× {math.exp(weight):.2g}" if weight < 20 else "× >10⁸"


def uncertainty(explanation: Explanation) -> list[str]:
    """How sure the maps are, in sentences."""
    valid = explanation.input.valid.numpy()
    said = []
    for name, attribution in explanation.attributions.items():
        if attribution.std is None:
            continue
        sure = np.abs(attribution.values) >= attribution.interval_factor * attribution.std
        strong = np.abs(attribution.values) >= 0.5 * np.abs(attribution.values[valid]).max(initial=0.0)
        said.append(
            f"{method_title(name)}: the sign is certain at 95 % for {np.mean(sure[valid]):.0%} of the voxels, and for "
            f"{np.mean(sure[valid & strong]):.0%} of those with at least half of the largest magnitude."
        )
    return said or ["No method that knows its standard deviation was run: nothing here says how sure the maps are."]


def bundle_name(known: Mapping[str, Any]) -> str:
    """Name and version of the bundle that a provenance names."""
    bundle = known.get("bundle", {}) or {}
    return clean(" ".join(str(bundle.get(key) or "") for key in ("name", "version")))


def provenance(explanation: Explanation, *, identified: bool) -> list[tuple[str, str]]:
    """Where an explanation comes from, as name and value; what may name a patient only if asked for."""
    given = explanation.input
    grid = " × ".join(map(str, given.spatial_shape))
    size = pixels_in_words(explanation)
    own = [("Explained class", explanation.explained_class), ("Network input", f"{grid} {size}")]
    passes = [
        (method_title(name), f"{a.forward_passes} forward and {a.backward_passes} backward passes, {a.seconds:.1f} s")
        for name, a in explanation.attributions.items()
    ]
    return origin(explanation.provenance, own, passes, identified=identified)


def origin(
    known: Mapping[str, Any], own: Sequence[tuple[str, Any]], passes: Sequence[tuple[str, str]], *, identified: bool
) -> list[tuple[str, str]]:
    """Where a result comes from, as name and value.

    Args:
        known: its provenance.
        own: what else there is to say of it.
        passes: what each method cost.
        identified: also show what may name a patient: names of files, and the series UID.
    """
    bundle = known.get("bundle", {}) or {}
    scan = known.get("scan", {}) or {}
    rows: list[tuple[str, Any]] = []
    if identified:
        rows += [("Scan", scan.get("name")), ("Series UID", scan.get("series_uid")), ("Regions", known.get("regions"))]
    else:
        rows.append(("Scan", "name left out of this page"))
    rows += [
        ("Bundle", bundle_name(known)),
        *own,
        ("Baseline", _plain(known.get("baseline"))),
        ("Budget", known.get("budget")),
        ("Seed", known.get("seed")),
        ("Device", known.get("device")),
        ("GPU", known.get("gpu")),
        ("Made", known.get("created")),
        ("camlime", known.get("camlime")),
        *passes,
    ]
    rows += [(name, version) for name, version in (known.get("packages") or {}).items()]
    rows += [(f"SHA-256 of {name}", digest) for name, digest in (bundle.get("sha256") or {}).items()]
    return [(clean(name), clean(value)) for name, value in rows if value not in (None, "")]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        parts = [str(item) if key == "name" else f"{key} {item}" for key, item in value.items() if item is not None]
        return ", ".join(parts)
    return "" if value is None else str(value)
