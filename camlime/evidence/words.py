"""What the evidence says of one map in a sentence that a doctor understands."""

from __future__ import annotations

from collections.abc import Mapping

from camlime.evidence.curves import FRACTIONS
from camlime.evidence.records import BaselineEvidence

STRONGEST = 0.05
"""Share of the input that the sentence speaks of."""


def in_words(
    class_name: str,
    scored: Mapping[str, BaselineEvidence],
    *,
    only_if: str | None = None,
    outside: bool = False,
) -> str:
    """What removing the strongest 5 % does to the class's probability, with the first baseline; empty without any.

    Args:
        class_name: of the class.
        scored: by baseline, the first one counts.
        only_if: what the probabilities presume that the image shows, where nobody said that it does.
        outside: the image is outside the training domain: its probabilities mean nothing, so that none is said.
    """
    for name, baseline in scored.items():
        place = FRACTIONS.index(STRONGEST)
        share = f"{100 * STRONGEST:.0f} %"
        curves = [
            (baseline.curves.most_first, 0),
            (baseline.curves.most_first, place),
            (baseline.controls["random"].most_first, place),
        ]
        odds = [f"{curve.log_odds[step]:.1f}" for curve, step in curves]
        probable = [_probability(curve.probability[step]) for curve, step in curves]
        what = f"the log-odds of {class_name}" if outside else f"p({class_name})"
        before, removed, at_random = odds if outside else probable
        said = (
            f"emoving the strongest {share} of the input by this map takes {what} from {before} to {removed}; removing "
            f"{share} at random, to {at_random} (replaced by: {name})."
        )
        said = f"R{said}" if only_if is None or outside else f"If the image shows {only_if}, r{said}"
        return said if outside else f"{said} In log-odds: {', '.join(odds)}."
    return ""


def _probability(p: float) -> str:
    """Two decimals, and never a certainty that the model did not state."""
    return "less than 0.01" if p < 0.005 else "more than 0.99" if p >= 0.995 else f"{p:.2f}"
