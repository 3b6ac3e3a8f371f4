"""What was measured of a map, in numbers that the scene keeps: words are put on them where they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STRONGEST = 0.05
"""Share of the voxels that the words speak of."""


def of_evidence(found: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers behind the words on one map.

    Args:
        found: one entry of ``evidence`` (docs/worker.md); parts that were not measured may be missing.

    Returns:
        ``class_name``, ``removal`` (what removing the strongest 5 % does, with the first baseline), ``baselines``,
        ``failed`` (baseline, the map's area and that of its copies), ``copies``, ``randomisation``, ``record``
        (of the randomisation check on other cases), ``repeatability``;
        ``None`` or empty where it was not measured. All of it can be kept as JSON.
    """
    baselines = found.get("baselines") or {}
    return {
        "class_name": found.get("class_name", ""),
        "removal": next((_removal(name, one) for name, one in baselines.items()), None),
        "baselines": list(baselines),
        "failed": [
            [name, one["judged_abpc"], one["copies_95th_percentile"]]
            for name, one in baselines.items()
            if one.get("passed") is False
        ],
        "copies": max((len(one.get("copies_abpc", ())) for one in baselines.values()), default=0),
        "randomisation": _some(found.get("randomisation"), ("similarity", "threshold", "survives")),
        "record": _some(found.get("bundle_record"), ("cases", "median", "survived")),
        "repeatability": _some(found.get("repeatability"), ("top", "jaccard", "spearman", "passes_each", "of_the_map")),
    }


def _removal(baseline: str, curves: Mapping[str, Any]) -> dict[str, Any] | None:
    fractions, random = list(curves.get("fractions", ())), curves.get("controls", {}).get("random")
    if STRONGEST not in fractions or random is None:
        return None
    place = fractions.index(STRONGEST)
    steps = ((curves["most_first"], 0), (curves["most_first"], place), (random["most_first"], place))
    return {
        "baseline": baseline,
        "probabilities": [curve["probability"][step] for curve, step in steps],
        "log_odds": [curve["log_odds"][step] for curve, step in steps],
    }


def _some(record: Mapping[str, Any] | None, names: tuple[str, ...]) -> dict[str, Any] | None:
    return None if record is None else {name: record[name] for name in names}
