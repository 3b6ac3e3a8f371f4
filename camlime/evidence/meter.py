"""Counts the passes that the evidence takes, reports them, and ends the work when the user cancels."""

from __future__ import annotations

import copy
from dataclasses import replace

from camlime.classifier import Classifier, PassCounter
from camlime.methods.case import Case, Progress
from camlime.methods.sampling import Cancelled

NAME = "evidence"
"""Under which progress is reported."""


class Meter:
    """Passes of all classifiers that the evidence uses, a backward pass counted as two.

    Args:
        case: whose listeners hear of it.
        total: passes planned.
    """

    def __init__(self, case: Case, total: int) -> None:
        self._case = case
        self._total = total
        self._counters: list[PassCounter] = []

    @property
    def passes(self) -> int:
        """Pass-equivalents so far."""
        return sum(counter.equivalents for counter in self._counters)

    def counted(self, classifier: Classifier) -> Classifier:
        """The same classifier with a counter of its own, which is added up here."""
        twin = copy.copy(classifier)
        twin.passes = PassCounter()
        self._counters.append(twin.passes)
        return twin

    def case(self, classifier: Classifier, *, seed: int) -> Case:
        """The case for another run of a method, with a counted classifier; reports its progress as the evidence's.

        Its drafts are nobody's map.
        """
        return replace(
            self._case,
            classifier=classifier,
            seed=seed,
            on_progress=lambda progress: self.report(),
            on_draft=lambda method, draft: None,
        )

    def report(self) -> None:
        """Say how far the evidence is."""
        self._case.on_progress(Progress(NAME, self.passes, max(self._total, self.passes)))

    def check(self) -> None:
        """End the work if the user wants to.

        Raises:
            Cancelled: the user does.
        """
        if self._case.cancelled():
            raise Cancelled
