"""Which slice of a volume a 2D bundle is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from camlime.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.errors import RequestError
from camlime.scan import Scan
from camlime.slices import classify_slices, cut


@dataclass(frozen=True)
class ChosenSlice:
    """A slice in the plane that the series was acquired in.

    Args:
        index: along the scan's axis, from 0.
        plane: the anatomical plane nearest to it.
        of: how many slices the scan has.
        flag: why it has no class; ``None`` where it has one. A slice that nobody pointed at is unconfirmed, if the
            bundle presumes anything.
        reason: the flag in words; empty where there is none.
        pointed: whether a point named it; else it was chosen by its evidence.
        flagged: how many slices that were asked about are flagged, and not only unconfirmed.
        asked: how many slices were asked about.
        middle_ras: RAS mm.
    """

    index: int
    plane: str
    of: int
    flag: str | None
    reason: str
    pointed: bool
    flagged: int
    asked: int
    middle_ras: tuple[float, float, float]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        keys = ("index", "plane", "of", "flag", "reason", "pointed", "flagged", "asked")
        return {key: getattr(self, key) for key in keys}


def choose_slice(
    scan: Scan,
    bundle: Bundle,
    classifier: Classifier,
    point: tuple[float, float, float] | None,
    class_name: str | None,
) -> tuple[ChosenSlice, ModelInput, Scan]:
    """The slice through a point; without one, of those that are not flagged the one with the strongest evidence.

    Args:
        scan: a volume.
        bundle: that takes 2D images.
        classifier: its model.
        point: RAS mm, inside the scan.
        class_name: whose evidence; each slice's own predicted class if ``None``.

    Returns:
        Which, what the network sees of it, and it as a 2D scan.

    Raises:
        RequestError: the slice has one value everywhere, or all are flagged.
    """
    wanted = None
    if point is not None:
        stack = cut(scan)
        across = np.linalg.inv(stack.affine) @ [*point, 1.0]
        wanted = [int(np.clip(np.rint(across[2]), 0, len(stack) - 1))]
    answers = classify_slices(scan, bundle, slices=wanted, seen=wanted, classifier=classifier)
    chosen = wanted or answers.strongest(1, class_name)
    if not chosen:
        raise RequestError(
            "no slice is like what the model was trained on, so none is explained",
            hint="give 'point' to have the slice through it explained all the same",
        )
    n = chosen[0]
    if n not in answers.inputs:
        raise RequestError(f"slice {n} has one value everywhere", hint="give 'point' in another slice")
    x, y, z = (float(value) for value in answers.stack.centre_ras(n))
    flagged = sum(not answer.speaks for answer in answers.answers)
    found = ChosenSlice(
        index=n,
        plane=answers.stack.plane,
        of=len(answers.stack),
        flag=answers[n].flag,
        reason=answers[n].reason,
        pointed=point is not None,
        flagged=flagged,
        asked=len(answers.answers),
        middle_ras=(x, y, z),
    )
    return found, answers.inputs[n], answers.stack.slice(n)
