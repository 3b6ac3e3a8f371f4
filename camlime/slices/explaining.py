"""Explain some slices of a volume and stack the maps where they lie in the patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.bundle import Bundle
from camlime.classifier import Classifier
from camlime.domain import domain_digest
from camlime.errors import BundleError, RequestError
from camlime.explanation import Explanation
from camlime.pipeline import Listeners, Prepared, Settings, classifier_of, explain
from camlime.scan import Scan
from camlime.slices.answers import UNCONFIRMED, SliceAnswers, classify_slices
from camlime.slices.regions import SliceRegions
from camlime.slices.stack import NATIVE
from camlime.slices.stacking import stacked

DEFAULT_EXPLAINED = 3
"""How many slices are explained unless they are named: each costs as much as a case of its own."""


@dataclass(frozen=True)
class SliceExplanations:
    """Answers of all slices asked about, and explanations of a few.

    Args:
        answers: slice by slice.
        explanations: by slice.
        affine: 4x4, index (x, y, n - first) of the stacked grid to RAS mm; x and y are those of the network's input.
        first: slice at index 0 of the stacked grid.
        provenance: of the stack; each explanation has its own.
        warnings: what the user should know, in sentences.
        complete: ``False`` if it was cancelled on the way.
    """

    answers: SliceAnswers
    explanations: Mapping[int, Explanation]
    affine: NDArray[np.float64]
    first: int
    provenance: Mapping[str, Any]
    warnings: tuple[str, ...]
    complete: bool = True

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the stacked grid."""
        wide, high = next(iter(self.answers.inputs.values())).spatial_shape
        return wide, high, self.answers.answers[-1].index - self.first + 1

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that any slice has a map of, in order."""
        names = [name for explanation in self.explanations.values() for name in explanation.attributions]
        return tuple(dict.fromkeys(names))

    def images(self) -> NDArray[np.float32]:
        """What the network saw of each slice, first channel, on the stacked grid; 0 where it saw none."""
        return self._stacked({n: given.image[0].numpy() for n, given in self.answers.inputs.items()})

    def values(self, method: str) -> NDArray[np.float32]:
        """A method's maps on the stacked grid; 0 in slices that were not explained."""
        found = {n: e.attributions[method].values for n, e in self.explanations.items() if method in e.attributions}
        return self._stacked(found)

    def std(self, method: str) -> NDArray[np.float32] | None:
        """Their standard deviations; ``None`` where the method knows none."""
        found = {n: e.attributions[method].std for n, e in self.explanations.items() if method in e.attributions}
        known = {n: values for n, values in found.items() if values is not None}
        return self._stacked(known) if known else None

    def states(self) -> NDArray[np.uint8]:
        """By voxel of the stacked grid: 0 not asked about or flagged, 1 classified, 2 explained, 3 unconfirmed."""
        found = np.zeros(self.shape, dtype=np.uint8)
        for answer in self.answers.in_domain:
            found[..., answer.index - self.first] = 3 if answer.flag == UNCONFIRMED else 1
        for n in self.explanations:
            found[..., n - self.first] = 2
        return found

    def strongest_point_ras(self) -> NDArray[np.float64] | None:
        """RAS mm of the strongest voxel of the map to show first, over all explained slices; ``None`` without any."""
        leads = [e for e in self.explanations.values() if e.best is not None]
        if not leads:
            return None
        return max(leads, key=_peak).strongest_point_ras()

    def save(
        self, folder: str | Path, *, native: Scan | None = None, page: Callable[[Path], str] | None = None
    ) -> list[Path]:
        """Write everything to a folder; see :func:`camlime.slices.saving.save_slices`."""
        from camlime.slices.saving import save_slices

        return save_slices(self, Path(folder), native=native, page=page)

    def _stacked(self, by_slice: Mapping[int, NDArray[np.floating]]) -> NDArray[np.float32]:
        return stacked(by_slice, self.shape, self.first)


def explain_slices(
    scan: Scan,
    bundle: Bundle,
    *,
    plane: str = NATIVE,
    slices: Sequence[int] | None = None,
    seen: Sequence[int] | None = None,
    explained: Sequence[int] | None = None,
    count: int = DEFAULT_EXPLAINED,
    listeners: Listeners | None = None,
    on_slice: Callable[[int], None] = lambda n: None,
    on_answers: Callable[[SliceAnswers, tuple[int, ...]], None] = lambda answers, chosen: None,
    classifier: Classifier | None = None,
    labels: SliceRegions | None = None,
    **settings: Any,
) -> SliceExplanations:
    """Classify the slices of a volume and explain those with the strongest evidence.

    Flagged slices are explained only where they are named: the maps then say what moved an answer that means nothing.

    Args:
        scan: 3D, or a single image.
        bundle: that takes 2D images.
        plane: see :func:`camlime.slices.cut`.
        slices: which to classify, by index; all if ``None``.
        seen: slices in which a person sees what the bundle presumes; see :func:`camlime.slices.classify_slices`.
        explained: which to explain; the ``count`` strongest of those that are not flagged if ``None``.
        count: how many.
        listeners: for the progress of each explanation, and to cancel.
        on_slice: called with the index before a slice is explained.
        on_answers: called before that with all answers and the slices that will be explained.
        classifier: the bundle's model, if it is on its device already.
        labels: a label map of the scan, whose labels in each slice are its regions; supervoxels if ``None``.
        **settings: fields of :class:`camlime.pipeline.Settings`, but ``point`` and ``regions``.

    Raises:
        CamlimeError: anything the user can put right.

    Example:
        >>> result = explain_slices(Scan.read("series"), Bundle.load("bundle"), plane="axial")  # doctest: +SKIP
        >>> result.values("fused").shape, result.strongest_point_ras()  # doctest: +SKIP
        ((128, 128, 22), array([ 12. , -40.5,  33.1]))
    """
    wanted = Settings(**settings)
    if wanted.point is not None:
        raise RequestError("a point is not for slices", hint="name the slice with --slice instead")
    if wanted.regions is not None:
        raise RequestError(
            "regions of your own are for single images, not for slices of a volume", hint="leave --regions out"
        )
    if wanted.guidance is not None:
        raise RequestError("guidance marks something in one image, not in slices of a volume")
    heard = listeners or Listeners()
    asked = classifier or classifier_of(bundle, device=wanted.device)
    answers = classify_slices(scan, bundle, plane=plane, slices=slices, seen=seen, classifier=asked)
    if not answers.inputs:
        raise RequestError(f"every slice asked for of {scan.source} is constant", hint="choose other slices")
    if wanted.class_name is not None:
        asked.class_index(wanted.class_name)
    chosen = answers.strongest(count, wanted.class_name) if explained is None else tuple(explained)
    for n in chosen:
        if answers.stack.checked(n) not in answers.inputs:
            raise RequestError(
                f"slice {n} was not classified or is constant",
                hint=f"choose another slice to explain; there are {len(answers.stack)}, numbered from 0",
            )
    affine, first = stacked_grid(answers)
    on_answers(answers, chosen)
    done: dict[int, Explanation] = {}
    complete = True
    for n in chosen:
        if not complete:
            break
        on_slice(n)
        ready = Prepared(answers.inputs[n], asked)
        regions = None if labels is None else labels.of(answers.stack, n, answers.inputs[n])
        own = {**settings, "regions": regions}
        result = explain(answers.stack.slice(n), bundle, listeners=heard, prepared=ready, **own)
        complete = result.complete
        result = result.answered(answers[n].about(result.prediction))
        if result.attributions:
            done[n] = result
    return SliceExplanations(
        answers=answers,
        explanations=done,
        affine=affine,
        first=first,
        provenance=_provenance(answers, done, bundle, wanted),
        warnings=answers.warnings + (() if chosen else (_none_explained(answers),)),
        complete=complete,
    )


def stacked_grid(answers: SliceAnswers) -> tuple[NDArray[np.float64], int]:
    """The inputs' common grid, one slice after the other: its affine, and the slice at its index 0.

    Raises:
        BundleError: the preprocessing gives slices grids that do not lie above each other.
    """
    first = answers.answers[0].index
    step = answers.stack.affine[:3, 2]
    grids = {
        n: (given.affine[:3, :2], given.affine[:3, 3] - (n - first) * step, given.spatial_shape)
        for n, given in answers.inputs.items()
    }
    columns, origin, shape = next(iter(grids.values()))
    for n, (others, at, size) in grids.items():
        if size != shape or not np.allclose(others, columns, atol=1e-4) or not np.allclose(at, origin, atol=1e-2):
            raise BundleError(
                f"the preprocessing gives slice {n} another grid than the first, so that maps cannot be stacked",
                hint="cropping to the foreground does that",
            )
    affine = np.eye(4)
    affine[:3] = np.column_stack([columns, step, origin])
    return affine, first


def _none_explained(answers: SliceAnswers) -> str:
    of = "" if answers.seen is None else " of those that were seen"
    return f"every slice{of} is flagged: none is explained"


def _peak(explanation: Explanation) -> float:
    return float(explanation.best.values.max()) if explanation.best is not None else -np.inf


def _provenance(
    answers: SliceAnswers, done: Mapping[int, Explanation], bundle: Bundle, wanted: Settings
) -> dict[str, Any]:
    common: dict[str, Any] = dict(next(iter(done.values())).provenance) if done else {"seed": wanted.seed}
    common["bundle"] = {
        "name": bundle.name,
        "version": bundle.version,
        "sha256": {**bundle.fingerprint, **domain_digest(bundle)},
        "trusted_code": bundle.trusted_code,
    }
    common["scan"] = {"name": answers.stack.scan.source.name, "series_uid": answers.stack.scan.series_uid}
    return common
