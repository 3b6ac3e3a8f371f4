"""How much a study needs a human: low evidence, conflict of the methods and an uncertain answer, in one number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camlime.explanation import Explanation
from camlime.overview.words import agreement_in_words, clean, reason_in_words

UNKNOWN = 0.5
"""Of a study, or of a part of the doubt, that nothing is known of: before what was found sound, after what was not."""

_CONFLICT = {"concordant": 0.0, "CAM uninformative": UNKNOWN, "conflict": 1.0}


@dataclass(frozen=True)
class Doubt:
    """Three parts, each from 0 (sound) to 1 (doubtful), and what was found, in sentences.

    Args:
        evidence: 0 if the model was shown to use what the map shows, 1 if it was shown not to.
        conflict: 0 if CAM and masked images agree, 1 if they contradict each other.
        uncertainty: 0 for an answer of probability 1, 1 for a tie.
        reasons: of what is not sound.
    """

    evidence: float
    conflict: float
    uncertainty: float
    reasons: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The mean of the three: an order of work, no probability that the answer is wrong.

        Example:
            >>> Doubt(evidence=1.0, conflict=0.5, uncertainty=0.0).value
            0.5
        """
        return (self.evidence + self.conflict + self.uncertainty) / 3

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        parts = {"evidence": self.evidence, "conflict": self.conflict, "uncertainty": self.uncertainty}
        return {"value": round(self.value, 4), "parts": parts, "reasons": list(self.reasons)}


def doubt_of(explanation: Explanation) -> Doubt:
    """The doubt about a study, from the map to show first, the agreement and the prediction.

    What was not measured counts as :data:`UNKNOWN`, with a sentence that says so. The answer on an image outside the
    training domain is as uncertain as can be, whatever its probability. That of an unconfirmed slice holds if it shows
    what the bundle presumes: it is as uncertain as its probability, since without a point every study has such a slice,
    and none would come before another.
    """
    lead = explanation.best
    found = explanation.evidence.get(lead.method) if lead is not None else None
    reasons = []
    if found is None:
        reasons.append("The evidence was not measured.")
    elif not found.supported:
        reasons += reason_in_words(found)
    agreement = explanation.agreement
    if agreement is None:
        reasons.append("Whether Grad-CAM and LIME agree was not measured.")
    elif agreement.badge != "concordant":
        reasons.append(agreement_in_words(agreement))
    uncertainty = uncertainty_of(explanation.prediction.probabilities, explanation.explained_class)
    if uncertainty >= UNKNOWN:
        probability = explanation.prediction.probabilities[explanation.explained_class]
        reasons.append(f"The answer is not certain: probability {probability:.2f}.")
    outside = explanation.prediction.no_class
    if outside:
        unlike = explanation.likeness is not None and explanation.likeness.unlike
        words = explanation.likeness.words if explanation.likeness is not None and unlike else outside
        reasons.insert(0, f"{words[0].upper()}{words[1:]}.")
        uncertainty = 1.0
    elif explanation.prediction.unconfirmed:
        reasons.insert(0, f"No class: nobody said that the image shows {clean(explanation.prediction.presumes)}.")
    return Doubt(
        evidence=UNKNOWN if found is None or found.supported is None else float(not found.supported),
        conflict=UNKNOWN if agreement is None else _CONFLICT[agreement.badge],
        uncertainty=uncertainty,
        reasons=tuple(reasons),
    )


def uncertainty_of(probabilities: Mapping[str, float], class_name: str) -> float:
    """One less the lead of the first class over the second; of labels that exclude nothing, of yes over no.

    Args:
        probabilities: by class name; they need not sum to 1 (several sigmoids).
        class_name: of which it is asked where they do not.

    Example:
        >>> round(uncertainty_of({"benign": 0.3, "malignant": 0.7}, "malignant"), 3)
        0.6
        >>> round(uncertainty_of({"polyp": 0.9, "blood": 0.8}, "polyp"), 3)
        0.2
    """
    values = sorted(probabilities.values(), reverse=True)
    exclusive = len(values) > 1 and abs(sum(values) - 1) < 1e-3
    lead = values[0] - values[1] if exclusive else abs(2 * probabilities[class_name] - 1)
    return min(max(1 - lead, 0.0), 1.0)
