"""What a 2D bundle says of each slice of a volume, and which of its answers are worth anything."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from camlime.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.domain import UNLIKE, Domain, answers_and_features
from camlime.errors import RequestError
from camlime.explanation import Prediction
from camlime.pipeline import classifier_of
from camlime.scan import Scan
from camlime.sequence import SequenceDoubts, sequence_doubts
from camlime.slices.stack import AS_DISPLAYED, NATIVE, SliceStack, cut

CONSTANT = "constant"
OUT_OF_DOMAIN = "out of domain"
OTHER_SEQUENCE = "other sequence"
UNCONFIRMED = "unconfirmed"
"""The bundle presumes something, such as a tumour, that nobody said is there: what it answers holds if it is."""

_OUTSIDE, _END = "outside the training domain (", ")"

MANY_FLAGGED = 0.5
"""Share of flagged slices from which on the sequence or the plane itself is doubted."""

MOST_LISTED = 8
"""Slices that a message names one by one."""

ANISOTROPIC = 2.0
"""Ratio of a slice's two pixel edges from which on it is called a coarse reformat."""


@dataclass(frozen=True)
class SliceAnswer:
    """What the model said of one slice.

    Args:
        index: of the slice, along the scan's axis.
        centre_ras: RAS mm of its middle, shape ``(3,)``.
        probabilities: by class; empty for a constant slice, which is not asked about. They mean something only where
            the answer :attr:`speaks`.
        logits: by class.
        log_odds: by class, against all others.
        score: how unlike the training data it is; ``None`` where the bundle cannot tell.
        share_beyond: how many slices of the training data's kind have such a score or a higher one.
        flag: why there is no class: :data:`CONSTANT`, :data:`OUT_OF_DOMAIN`, :data:`OTHER_SEQUENCE` or
            :data:`UNCONFIRMED`; ``None`` where there is one.
        reason: what the flag is for, in words; empty where there is none.
    """

    index: int
    centre_ras: NDArray[np.float64]
    probabilities: Mapping[str, float]
    logits: Mapping[str, float]
    log_odds: Mapping[str, float]
    score: float | None = None
    share_beyond: float | None = None
    flag: str | None = None
    reason: str = ""

    @property
    def class_name(self) -> str | None:
        """The most probable class; ``None`` for a flagged slice."""
        return None if self.flag is not None else self._most_probable()

    @property
    def class_if_present(self) -> str | None:
        """The most probable class of an unconfirmed slice, if what the bundle presumes is there; else ``None``."""
        return self._most_probable() if self.flag == UNCONFIRMED else None

    def about(self, prediction: Prediction) -> Prediction:
        """The same slice's prediction with this answer's class or lack of one, whatever rounding does to its score."""
        outside = self.flag in (OUT_OF_DOMAIN, OTHER_SEQUENCE)
        because = self.reason.removeprefix(_OUTSIDE).removesuffix(_END) if outside else None
        return replace(prediction, outside_because=because, unconfirmed=self.flag == UNCONFIRMED)

    @property
    def speaks(self) -> bool:
        """Whether the probabilities mean something: there is a class, or there would be if the slice were confirmed."""
        return self.flag in (None, UNCONFIRMED)

    @property
    def no_class(self) -> str:
        """What a flagged slice has in place of a class, in words; empty for any other."""
        if self.flag is None:
            return ""
        return f"{self.reason}: no class"

    def _most_probable(self) -> str:
        return max(self.probabilities, key=lambda name: self.probabilities[name])


@dataclass(frozen=True)
class SliceAnswers:
    """All slices that were asked about. There is no class for the volume, by intent.

    Args:
        stack: the slices.
        answers: one a slice, in the scan's order.
        inputs: what the network saw, by slice; constant ones are missing.
        class_names: in the model's order.
        threshold: of the score; ``None`` where the bundle has none.
        quantile: of the training data's kind that lies below the threshold.
        warnings: what the user should know, in sentences.
        presumes: what every training image shows, such as "a tumour"; ``None`` where nothing is presumed.
        seen: slices in which a person sees it; ``None`` where nobody said.
    """

    stack: SliceStack
    answers: tuple[SliceAnswer, ...]
    inputs: Mapping[int, ModelInput]
    class_names: tuple[str, ...]
    threshold: float | None
    quantile: float | None
    warnings: tuple[str, ...]
    presumes: str | None = None
    seen: tuple[int, ...] | None = None

    def __getitem__(self, index: int) -> SliceAnswer:
        return next(answer for answer in self.answers if answer.index == index)

    @property
    def in_domain(self) -> tuple[SliceAnswer, ...]:
        """Those whose probabilities mean something: not flagged, or only unconfirmed."""
        return tuple(answer for answer in self.answers if answer.speaks)

    @property
    def unconfirmed(self) -> tuple[int, ...]:
        """The slices that have no class only because nobody said that they show what the bundle presumes."""
        return tuple(answer.index for answer in self.answers if answer.flag == UNCONFIRMED)

    def strongest(self, count: int, class_name: str | None = None) -> tuple[int, ...]:
        """The slices to explain: with the highest log-odds of a class, or of their own; in order.

        Of those in the domain; where a person said which slices show what the bundle presumes, only of these.

        Args:
            count: at most so many.
            class_name: whose log-odds; each slice's own predicted class if ``None``.
        """

        def evidence(answer: SliceAnswer) -> float:
            return answer.log_odds[class_name or answer.class_name or str(answer.class_if_present)]

        pool = [answer for answer in self.in_domain if self.seen is None or answer.index in self.seen]
        ranked = sorted(pool, key=evidence, reverse=True)
        return tuple(sorted(answer.index for answer in ranked[:count]))


def classify_slices(
    scan: Scan,
    bundle: Bundle,
    *,
    plane: str = NATIVE,
    slices: Sequence[int] | None = None,
    seen: Sequence[int] | None = None,
    device: str = "auto",
    classifier: Classifier | None = None,
) -> SliceAnswers:
    """Ask a 2D bundle about the slices of a volume.

    Args:
        scan: 3D, or a single image.
        bundle: that takes 2D images.
        plane: ``axial``, ``coronal``, ``sagittal`` or ``native``; see :func:`camlime.slices.cut`.
        slices: which, by index; all if ``None``.
        seen: slices in which a person sees what the bundle presumes, such as a tumour. Others have no class, if the
            bundle presumes anything; a single image, which somebody chose, has been seen.
        device: for the network, if ``classifier`` is not given.
        classifier: the bundle's model, if it is there already.

    Raises:
        RequestError: the bundle takes volumes, there is no such plane or slice, or none that was seen is asked about.
        BundleError: the slices do not fit the bundle.

    Example:
        >>> answers = classify_slices(Scan.read("series"), Bundle.load("bundle"), plane="axial")  # doctest: +SKIP
        >>> [(a.index, a.class_name, a.flag) for a in answers.answers]  # doctest: +SKIP
        [(0, None, 'out of domain'), (1, 'glioma', None)]
    """
    if bundle.spatial_dims != 2:
        raise RequestError(
            f"bundle '{bundle.name}' takes whole volumes, so there are no slices to choose", hint="leave the plane out"
        )
    settings = bundle.explain_settings
    stack = cut(scan, plane, settings.slices or AS_DISPLAYED)
    chosen = _checked(stack, slices)
    confirmed = None if settings.presumes is None else _confirmed(stack, seen, chosen)
    domain = Domain.of(bundle)
    doubts = SequenceDoubts() if settings.sequence is None else sequence_doubts(scan, settings.sequence)
    judge = _Judge(domain, doubts.contradiction, settings.presumes, confirmed or ())
    ready = classifier or classifier_of(bundle, device=device)
    inputs = {n: bundle.prepare(stack.slice(n)) for n in chosen if not stack.is_constant(n)}
    answers = {
        n: SliceAnswer(n, stack.centre_ras(n), {}, {}, {}, flag=CONSTANT, reason="one value everywhere") for n in chosen
    }
    if inputs:
        images = torch.stack([given.image for given in inputs.values()])
        logits, features = answers_and_features(ready, images, domain.layers if domain else ())
        scores = domain.scores(features) if domain else np.full(len(images), np.nan)
        for n, row, score in zip(inputs, logits, scores, strict=True):
            answers[n] = _answer(n, stack, ready, row, float(score), judge)
    return SliceAnswers(
        stack=stack,
        answers=tuple(answers.values()),
        inputs=inputs,
        class_names=ready.class_names,
        threshold=domain.threshold if domain else None,
        quantile=domain.quantile if domain else None,
        warnings=(
            *scan.notes,
            *_warnings(bundle, stack, tuple(answers.values()), domain, doubts, confirmed),
            *([ready.device_note] if ready.device_note else []),
        ),
        presumes=settings.presumes,
        seen=confirmed,
    )


@dataclass(frozen=True)
class _Judge:
    """Decides which slices have no class, and says why."""

    domain: Domain | None
    contradiction: str | None
    presumes: str | None
    seen: tuple[int, ...]

    def flag(self, n: int, score: float) -> tuple[str | None, str]:
        """The flag of slice ``n``, and the reason in words."""
        if self.contradiction is not None:
            return OTHER_SEQUENCE, f"{_OUTSIDE}{self.contradiction}{_END}"
        if self.domain is not None and score > self.domain.threshold:
            return OUT_OF_DOMAIN, f"{_OUTSIDE}{UNLIKE}{_END}"
        if self.presumes is not None and n not in self.seen:
            return UNCONFIRMED, f"nobody said that it shows {self.presumes}"
        return None, ""


def _confirmed(stack: SliceStack, seen: Sequence[int] | None, chosen: Sequence[int]) -> tuple[int, ...] | None:
    if seen is None:
        return (0,) if len(stack) == 1 else None
    if not len(_numbers(seen)):  # a person looked, and saw it nowhere
        return ()
    confirmed = _checked(stack, seen)
    if not set(confirmed) & set(chosen):
        raise RequestError(
            f"none of the slices that were seen ({_span(confirmed)}) is among those asked about ({_span(chosen)})",
            hint="ask about the slices that were seen",
        )
    return confirmed


def _span(slices: Sequence[int]) -> str:
    first, last = slices[0], slices[-1]
    if last - first + 1 == len(slices):
        return f"{first}" if first == last else f"{first} to {last}"
    return ", ".join(map(str, slices)) if len(slices) <= MOST_LISTED else f"{len(slices)} from {first} to {last}"


def _numbers(slices: Sequence[int]) -> list[int]:
    """Slice numbers as given, such as a list, a range or an array of whole numbers.

    Raises:
        RequestError: they are something else.
    """
    try:
        return [operator.index(n) for n in slices]
    except TypeError as error:
        raise RequestError(
            f"{slices!r:.60} names no slices", hint="give whole numbers, such as [11, 12, 13] or range(11, 14)"
        ) from error


def _checked(stack: SliceStack, slices: Sequence[int] | None) -> tuple[int, ...]:
    if slices is None:
        return tuple(range(len(stack)))
    numbers = [stack.checked(n) for n in _numbers(slices)]
    if not numbers:
        raise RequestError("no slice was asked for", hint=f"slices are 0 to {len(stack) - 1}")
    return tuple(sorted(set(numbers)))


def _answer(
    n: int, stack: SliceStack, classifier: Classifier, row: torch.Tensor, score: float, judge: _Judge
) -> SliceAnswer:
    names, domain = classifier.class_names, judge.domain
    one = row[None]
    single = len(row) == 1
    flag, reason = judge.flag(n, score)
    return SliceAnswer(
        index=n,
        centre_ras=stack.centre_ras(n),
        probabilities=dict(zip(names, map(float, classifier.probabilities(one)[0].double()), strict=True)),
        logits=dict(zip(names[-1:] if single else names, map(float, row.double()), strict=True)),
        log_odds={name: float(classifier.log_odds(one, i)[0]) for i, name in enumerate(names)},
        score=score if domain else None,
        share_beyond=domain.share_beyond(score) if domain else None,
        flag=flag,
        reason=reason,
    )


def _warnings(
    bundle: Bundle,
    stack: SliceStack,
    answers: tuple[SliceAnswer, ...],
    domain: Domain | None,
    doubts: SequenceDoubts,
    seen: Sequence[int] | None,
) -> tuple[str, ...]:
    settings = bundle.explain_settings
    said = [*bundle.assumptions, *doubts.warnings]
    if seen is None and any(answer.flag == UNCONFIRMED for answer in answers):
        said.append(
            f"every image that the bundle was trained on shows {settings.presumes}, so that it cannot tell where there "
            f"is none: a slice has a class once somebody says that it shows {settings.presumes}"
        )
    if not settings.slices and len(stack.scan.shape) == 3:  # a single image is taken as it is
        said.append("the bundle does not say how slices are held: they are turned as radiologists are shown them")
    if domain is None:
        said.append("the bundle cannot tell slices unlike its training data: every slice is classified")
    flagged = sum(answer.flag in (CONSTANT, OUT_OF_DOMAIN) for answer in answers)
    if len(answers) > 1 and flagged > MANY_FLAGGED * len(answers):
        said.append(
            f"{flagged} of {len(answers)} slices are unlike the training data: is this the right sequence and plane?"
        )
    if max(stack.pixel_mm) > ANISOTROPIC * min(stack.pixel_mm):
        said.append(
            f"{stack.plane} slices of this series have pixels of {stack.pixel_mm[0]:.1f} x {stack.pixel_mm[1]:.1f} mm: "
            "they are reformatted from coarse slices, which is not what a bundle trains on; native slices are finer"
        )
    return tuple(said)
