"""Sentences on what was measured, made here from the numbers so that they can be translated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.engine_words import said
from SlicerXAILib.words import filling


def evidence_sentences(found: Mapping[str, Any] | None, prediction: Mapping[str, Any] | None = None) -> list[str]:
    """What the test of one map says, the most important first.

    Nothing is said of probabilities where the image is outside the training domain; of an unconfirmed image they are
    said with the condition under which they hold.

    Args:
        found: an entry of the summary's ``evidence``: ``supported``, ``in_words`` (the engine's own) and ``numbers``.
            Without numbers, as in scenes of earlier versions and for ranges of slices, the engine's words are taken.
        prediction: the summary's ``prediction``.
    """
    if found is None:
        return []
    numbers = found.get("numbers") or {}
    engine = found.get("in_words") or []
    engine = [engine] if isinstance(engine, str) else list(engine)
    if not numbers.get("removal"):
        return [said(text) for text in engine]
    return [
        *_removal(numbers, prediction or {}),
        *_verdict(found.get("supported"), numbers, engine),
        *_record(numbers.get("record")),
        *_repeatability(numbers.get("repeatability")),
    ]


def _removal(numbers: Mapping[str, Any], prediction: Mapping[str, Any]) -> list[str]:
    if prediction.get("outside_because"):
        return []
    removal = numbers["removal"]
    before, after, random = (_probability(p) for p in removal["probabilities"])
    told = {
        "class_name": numbers["class_name"],
        "before": before,
        "after": after,
        "random": random,
        "baseline": filling(removal["baseline"]),
        "log_odds": ", ".join(f"{one:.1f}" for one in removal["log_odds"]),
    }
    if prediction.get("unconfirmed"):
        return [
            _(
                "If the image shows {thing}, removing the strongest 5 % of the input by this map takes p({class_name}) "
                "from {before} to {after}; removing 5 % at random, to {random} (replaced by: {baseline}). In log-odds: "
                "{log_odds}."
            ).format(thing=prediction["presumes"], **told)
        ]
    return [
        _(
            "Removing the strongest 5 % of the input by this map takes p({class_name}) from {before} to {after}; "
            "removing 5 % at random, to {random} (replaced by: {baseline}). In log-odds: {log_odds}."
        ).format(**told)
    ]


def _probability(p: float) -> str:
    """Two decimals, and never a certainty that the model did not state."""
    if p < 0.005:
        return _("less than 0.01")
    return _("more than 0.99") if p >= 0.995 else f"{p:.2f}"


def _verdict(supported: bool | None, numbers: Mapping[str, Any], engine: Sequence[str]) -> list[str]:
    randomisation = numbers.get("randomisation") or {}
    if supported is None:
        return [said(text) for text in engine if text.startswith("Not judged")]
    if supported:
        return [
            _(
                "The map orders the input better than 95 % of {copies} copies of it in the wrong place (removal "
                "baselines: {baselines}) and changes when the network forgets what it has learned (rank correlation "
                "{similarity:.2f}, limit {threshold:.2f})."
            ).format(
                copies=numbers["copies"],
                baselines=", ".join(filling(name) for name in numbers["baselines"]),
                similarity=randomisation.get("similarity", float("nan")),
                threshold=randomisation.get("threshold", float("nan")),
            )
        ]
    sentences = []
    if numbers["failed"]:
        against = [
            _("{baseline}: {of_map:.2f} against {of_copies:.2f}").format(
                baseline=filling(name), of_map=of_map, of_copies=of_copies
            )
            for name, of_map, of_copies in numbers["failed"]
        ]
        sentences.append(
            _("The map orders the input no better than copies of it in the wrong place ({numbers}).").format(
                numbers=", ".join(against)
            )
        )
    if randomisation.get("survives"):
        sentences.append(
            _(
                "The map looks the same on a network that has learned nothing (rank correlation {similarity:.2f}, "
                "limit {threshold:.2f})."
            ).format(similarity=randomisation["similarity"], threshold=randomisation["threshold"])
        )
    return sentences


def _record(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    return [
        _(
            "By the bundle's record, on {cases} other cases: the map looked the same on networks that have learned "
            "nothing in {survived} of them (rank correlation {median:.2f} at the median)."
        ).format(cases=found["cases"], survived=found["survived"], median=found["median"])
    ]


def _repeatability(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    shared = round(2 * found["top"] * found["jaccard"] / (1 + found["jaccard"]))
    numbers = {"shared": shared, "top": found["top"], "spearman": found["spearman"]}
    if found["of_the_map"]:
        return [
            _(
                "With another seed, {shared} of the {top} strongest regions are the same, rank correlation "
                "{spearman:.2f}."
            ).format(**numbers)
        ]
    return [
        _(
            "Between two runs of {passes} passes, {shared} of the {top} strongest regions are the same, rank "
            "correlation {spearman:.2f}."
        ).format(passes=found["passes_each"], **numbers)
    ]


def agreement_badge(badge: str) -> str:
    """Whether Grad-CAM and LIME point the same way, in a word or two."""
    return {
        "concordant": _("concordant"),
        "CAM uninformative": _("CAM uninformative"),
        "conflict": _("conflict"),
    }.get(badge, badge)


def agreement_sentence(found: Mapping[str, Any]) -> str:
    """What CAM and LIME have to say about each other; a badge without words of its own is said as by the engine."""
    return {
        "concordant": _("CAM and LIME agree: what the CAM marks is what the model misses when it is removed."),
        "CAM uninformative": _(
            "The CAM does not help to predict what happens when regions are removed: rely on LIME or fused, not on the "
            "CAM."
        ),
        "conflict": _(
            "CAM and LIME contradict each other: removing what the CAM marks as evidence for the class raises its "
            "log-odds. Do not rely on the CAM here."
        ),
    }.get(found["badge"], found["in_words"])


def verdict_word(verdict: str) -> str:
    """The engine's verdict on a slice's map in a word or two."""
    return {
        "supported": _("supported"),
        "NOT SUPPORTED": _("NOT SUPPORTED"),
        "not judged": _("not judged"),
    }.get(verdict, verdict)
