"""What results mean, in plain words, and text from files made fit to be shown."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camlime.attribution import Attribution
    from camlime.evidence.records import Evidence
    from camlime.methods.agreement import Agreement

METHOD_NAMES = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGrad-CAM",
    "eigencam": "Eigen-CAM",
    "lime": "LIME",
    "fused": "Fused",
    "occlusion": "Occlusion",
    "mean": "Mean",
    "geometric": "Geometric mean",
    "rank": "Rank mean",
}

_BADGES = {
    "concordant": "CAM and LIME agree: what the CAM marks is what the model misses when it is removed.",
    "CAM uninformative": (
        "The CAM does not help to predict what happens when regions are removed: rely on LIME or fused, not on the CAM."
    ),
    "conflict": (
        "CAM and LIME contradict each other: removing what the CAM marks as evidence for the class raises its "
        "log-odds. Do not rely on the CAM here."
    ),
}


def visible(text: object) -> str:
    """The text with spaces for control, format and surrogate characters, which could move or recolour a terminal."""
    return "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in str(text))


def clean(text: object) -> str:
    r"""One line of text with single spaces and nothing invisible, for names that come from files.

    Example:
        >>> clean("a\x1b[31m\n b")
        'a [31m b'
    """
    return " ".join(visible(text).split())


def method_title(method: str) -> str:
    """A method's name as it is written in the literature."""
    return METHOD_NAMES.get(method, method)


def unit_of(attribution: Attribution) -> str:
    """The unit of a map's values.

    Example:
        >>> from camlime.attribution import Attribution
        >>> unit_of(Attribution("lime", values=None))
        'log-odds a region'
    """
    if attribution.method == "eigencam":
        return "activation"
    if attribution.method in {"mean", "geometric", "rank"}:
        return "relative"
    if attribution.method in {"lime", "fused", "occlusion"}:
        part = "window" if "window_mm" in attribution.parameters else "region"
        return f"{attribution.parameters.get('explains', 'log-odds')} a {part}"
    return "log-odds a cell"


def agreement_in_words(agreement: Agreement) -> str:
    """What CAM and LIME have to say about each other, for readers who know neither."""
    return _BADGES.get(agreement.badge, clean(agreement.badge))


def agreement_in_numbers(agreement: Agreement) -> str:
    """The figures behind :func:`agreement_in_words`."""
    low, high = agreement.interval
    shared = round(agreement.top_overlap * agreement.top)
    said = f"{method_title(agreement.cam)}'s weight {agreement.weight:.2g} (95 % interval {low:.2g} to {high:.2g})"
    if agreement.sign_agreement == agreement.sign_agreement:
        said += f", same sign on {agreement.sign_agreement:.0%} of the regions"
    return f"{said}, {shared} of the {agreement.top} strongest regions shared"


def verdict_in_words(evidence: Evidence) -> str:
    """Whether the model used what the map shows, in a word or two."""
    return {True: "supported", False: "NOT SUPPORTED", None: "not judged"}[evidence.supported]


def doubt_in_words(evidence: Evidence) -> str:
    """Why a map is not to be relied on, in a few words; empty if it is supported or was not judged."""
    if evidence.supported is not False:
        return ""
    said = []
    if any(test.passed is False for test in evidence.baselines.values()):
        said.append("no better than copies of it in the wrong place")
    if evidence.randomisation is not None and evidence.randomisation.survives:
        said.append("the same on a network that has learned nothing")
    record = evidence.bundle_record
    if evidence.randomisation is None and record is not None and record.fails:
        said.append(f"the same on such a network at the median of {record.cases} other cases, by the bundle's record")
    return "; ".join(said)


def reason_in_words(evidence: Evidence) -> list[str]:
    """Why a map is not supported or not judged, one sentence; nothing for a map that is supported."""
    reason = clean(evidence.reason)
    return [] if evidence.supported else [f"{reason[:1].upper()}{reason[1:]}."]


def evidence_in_words(evidence: Evidence) -> list[str]:
    """What the evidence says, the most important first, for readers who know none of its numbers."""
    said = [clean(evidence.sentence)] if evidence.sentence else []
    reason = clean(evidence.reason)
    said.append(f"{reason[:1].upper()}{reason[1:]}.")
    record = evidence.bundle_record
    if record is not None and evidence.randomisation is not None:
        said.append(
            f"On {record.cases} other cases, by the bundle's record: rank correlation {record.median:.2f} at the "
            f"median, {min(record.similarities):.2f} to {max(record.similarities):.2f}."
        )
    if evidence.repeatability is not None:
        r = evidence.repeatability
        shared = round(2 * r.top * r.jaccard / (1 + r.jaccard))
        which = "With another seed" if r.of_the_map else f"Between two runs of {r.passes_each} passes"
        said.append(
            f"{which}, {shared} of the {r.top} strongest regions are the same, rank correlation {r.spearman:.2f}."
        )
    return said


def areas_in_words(evidence: Evidence, baseline: str) -> str:
    """The areas between the removal curves with one baseline: of the map, of its copies, of the controls."""
    test = evidence.baselines[baseline]
    said = [f"map {test.curves.abpc['log_odds']:.2g}"]
    if test.threshold is not None:
        said.append(f"95 % of its shifted copies below {test.threshold:.2g}")
    said += [f"{name} {control.abpc['log_odds']:.2g}" for name, control in test.controls.items()]
    return ", ".join(said).replace("-", "−")
