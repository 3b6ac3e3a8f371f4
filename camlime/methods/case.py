"""What a method is given: one prepared image, the classifier, the class to explain, and how to report progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.regions import Regions


@dataclass(frozen=True)
class Progress:
    """How far a method is: ``done`` of ``total`` passes; ``total`` is a bound where the method may stop early."""

    method: str
    done: int
    total: int


def _ignore(progress: Progress) -> None:
    """Take a report of progress and do nothing."""


def _no_draft(method: str, draft: Callable[[], Attribution]) -> None:
    """Take no draft."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Case:
    """One image to be explained.

    Args:
        classifier: the model.
        input: what it sees, shape ``(C, *S)``, and where that lies in the patient.
        class_index: the class to explain.
        regions: what may be removed, on the input grid; one entry a segmentation, the first is the one reported.
        baseline: what stands in the place of what is removed, shape ``(C, *S)``.
        seed: of every random choice.
        on_progress: called with a :class:`Progress` after each batch.
        on_draft: called after each batch of LIME and fused with the method's name and a function that makes its map as
            far as it is, which costs something: it is for the listener to say how often.
        cancelled: asked between batches; a method that hears ``True`` stops and returns what it has.
    """

    classifier: Classifier
    input: ModelInput
    class_index: int
    regions: tuple[Regions, ...]
    baseline: Tensor
    seed: int = 0
    on_progress: Callable[[Progress], None] = field(default=_ignore, repr=False)
    on_draft: Callable[[str, Callable[[], Attribution]], None] = field(default=_no_draft, repr=False)
    cancelled: Callable[[], bool] = field(default=_never, repr=False)
