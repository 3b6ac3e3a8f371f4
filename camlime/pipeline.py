"""One case from a scan and a bundle to an explanation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from camlime.attribution import Attribution
from camlime.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.device import failures_told
from camlime.domain import UNLIKE, Likeness, likeness_of
from camlime.errors import RequestError
from camlime.examiner import Examiner
from camlime.explanation import Explanation, Prediction
from camlime.guidance import guided
from camlime.masking import make_baseline
from camlime.methods.case import Case, Progress
from camlime.methods.stopping import StoppingRule
from camlime.provenance import input_warnings, provenance, warnings_of
from camlime.region_source import regions_from_file
from camlime.regions import Regions, supervoxels
from camlime.runner import Runner
from camlime.scan import Scan
from camlime.sequence import SequenceDoubts, sequence_doubts
from camlime.settings import (
    DEFAULT_BASELINE,
    DEFAULT_BUDGET,
    DEFAULT_METHODS,
    DEFAULT_REGIONS,
    DEFAULT_SEGMENTATIONS,
    METHODS,
    Settings,
    checked_methods,
)
from camlime.subdivision import subdivided
from camlime.view import input_around

__all__ = [
    "DEFAULT_BASELINE",
    "DEFAULT_BUDGET",
    "DEFAULT_METHODS",
    "DEFAULT_REGIONS",
    "DEFAULT_SEGMENTATIONS",
    "METHODS",
    "Listeners",
    "Settings",
    "answer",
    "ask",
    "checked_methods",
    "classifier_of",
    "classify",
    "explain",
    "explaining_baseline",
    "predict",
    "prediction_from",
]

MOST_SEGMENTATIONS = 50


@dataclass(frozen=True)
class Listeners:
    """What a caller wants to hear while the work goes on.

    Args:
        on_progress: after each batch.
        on_attribution: when a method is done.
        on_draft: after each batch of LIME and fused, with the method's name and a function that makes its map so far.
        cancelled: asked between batches; ``True`` ends the work with what is there.
    """

    on_progress: Callable[[Progress], None] = lambda progress: None
    on_attribution: Callable[[Attribution], None] = lambda attribution: None
    on_draft: Callable[[str, Callable[[], Attribution]], None] = lambda method, draft: None
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Prepared:
    """What several questions about one case share, made once: for programs that stay, such as the worker.

    Args:
        input: what the network sees, from ``input_around(scan, bundle, point)``.
        classifier: the bundle's model on a device, with the batch size that it has measured.

    Example:
        >>> bundle, scan = Bundle.load("lung_nodule_ct"), Scan.read("ct.nii.gz")  # doctest: +SKIP
        >>> point = (-62.0, 14.0, -120.0)
        >>> ready = Prepared(input_around(scan, bundle, point), classifier_of(bundle))  # doctest: +SKIP
        >>> explain(scan, bundle, prepared=ready, point=point).prediction  # doctest: +SKIP
        >>> explain(scan, bundle, prepared=ready, point=point, class_name="benign").explained_class  # doctest: +SKIP
    """

    input: ModelInput
    classifier: Classifier


def explain(
    scan: Scan | str | Path,
    bundle: Bundle | str | Path,
    *,
    series: str | None = None,
    trust_code: bool = False,
    listeners: Listeners | None = None,
    prepared: Prepared | None = None,
    **settings: Any,
) -> Explanation:
    """Explain why a bundle's model answers as it does on a scan.

    Args:
        scan: a scan, or a file or DICOM folder to read.
        bundle: a bundle, its folder, or the name of a shipped one.
        series: which DICOM series, where a folder holds several.
        trust_code: let the bundle run code of its own; see :class:`camlime.Bundle`.
        listeners: for progress and to cancel.
        prepared: made before from this scan, bundle, point, device, batch size and precision.
        **settings: the fields of :class:`Settings`.

    Raises:
        CamlimeError: anything the user can put right; see :mod:`camlime.errors`.

    Example:
        >>> import camlime
        >>> result = camlime.explain("ct.nii.gz", "lung_nodule_ct", point=(-62, 14, -120), seed=1)  # doctest: +SKIP
        >>> result.prediction.probabilities["malignant"]  # doctest: +SKIP
        0.93
        >>> result.save("explanation")  # doctest: +SKIP
    """
    wanted = Settings(**settings)
    heard = listeners or Listeners()
    read_bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle, trust_code=trust_code)
    methods = checked_methods(wanted.methods or read_bundle.explain_settings.methods or DEFAULT_METHODS)
    read_scan = scan if isinstance(scan, Scan) else Scan.read(scan, series=series)
    read_scan = guided(read_scan, read_bundle, wanted.guidance, wanted.guidance_label)
    if prepared is None:
        prepared = Prepared(
            input_around(read_scan, read_bundle, wanted.point),
            classifier_of(read_bundle, device=wanted.device, amp=wanted.amp, batch_size=wanted.batch_size),
        )
    with failures_told(prepared.classifier.device, work="the work"):
        return _explained(read_scan, read_bundle, prepared, wanted, methods, heard)


def _explained(
    scan: Scan, bundle: Bundle, prepared: Prepared, wanted: Settings, methods: tuple[str, ...], heard: Listeners
) -> Explanation:
    model_input, classifier = prepared.input, prepared.classifier
    if wanted.class_name is not None:
        classifier.class_index(wanted.class_name)
    baseline_name, baseline = explaining_baseline(bundle, model_input, wanted.baseline)
    segmentations = _segmentations(scan, bundle, model_input, wanted)
    found = ask(scan, bundle, classifier, model_input)
    prediction = found.prediction
    explained = wanted.class_name or prediction.most_probable
    case = Case(
        classifier,
        model_input,
        classifier.class_index(explained),
        segmentations,
        baseline,
        seed=wanted.seed,
        on_progress=heard.on_progress,
        on_draft=heard.on_draft,
        cancelled=heard.cancelled,
    )
    budget = _first_given(wanted.budget, bundle.explain_settings.budget, DEFAULT_BUDGET)
    certain = budget == "auto"
    runner = Runner(case, wanted, StoppingRule() if certain else budget, bundle, heard.on_attribution)
    runner.check(methods)
    examiner = Examiner(case, wanted, bundle, runner, None if certain else budget, baseline_name)
    complete = runner.run(methods)
    attributions = {name: runner.done[name] for name in methods if name in runner.done}
    complete = complete and examiner.run(attributions)
    return Explanation(
        prediction=prediction,
        explained_class=explained,
        attributions=attributions,
        regions=case.regions[0],
        input=model_input,
        agreement=runner.agreement,
        evidence=examiner.done,
        provenance=provenance(bundle, scan, model_input, classifier, wanted, budget, baseline_name),
        warnings=(
            *found.warnings,
            *warnings_of(bundle, classifier, runner.done, evidence_cut_short=examiner.cut_short),
            *examiner.notes,
        ),
        complete=complete,
        likeness=found.likeness,
    ).answered(prediction)


def classify(
    scan: Scan | str | Path,
    bundle: Bundle | str | Path,
    *,
    point: Sequence[float] | None = None,
    guidance: str | Path | NDArray[Any] | None = None,
    guidance_label: int | None = None,
    series: str | None = None,
    device: str = "auto",
    trust_code: bool = False,
) -> Prediction:
    """Only the model's answer; arguments and errors as in :func:`explain`."""
    read_bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle, trust_code=trust_code)
    read_scan = scan if isinstance(scan, Scan) else Scan.read(scan, series=series)
    found = answer(read_scan, read_bundle, point=point, guidance=guidance, guidance_label=guidance_label, device=device)
    return found.prediction


def answer(
    scan: Scan,
    bundle: Bundle,
    *,
    point: Sequence[float] | None = None,
    guidance: str | Path | NDArray[Any] | None = None,
    guidance_label: int | None = None,
    device: str = "auto",
) -> Answered:
    """The model's answer, and what a reader should know of it; arguments and errors as in :func:`explain`."""
    marked = guided(scan, bundle, guidance, guidance_label)
    model_input = input_around(marked, bundle, point)
    return ask(marked, bundle, classifier_of(bundle, device=device), model_input)


def classifier_of(
    bundle: Bundle, *, device: str = "auto", amp: bool = False, batch_size: int | None = None
) -> Classifier:
    """The bundle's model on a device; arguments and errors as :class:`camlime.Classifier`'s."""
    return Classifier(
        bundle.network,
        class_names=bundle.class_names,
        activation=bundle.activation,
        device=device,
        amp=amp,
        batch_size=batch_size,
        inferer=bundle.inferer,
    )


@dataclass(frozen=True)
class Answered:
    """The model's answer, and whether it is one.

    Args:
        prediction: has no class where the image is outside the training domain.
        likeness: how unlike the training data the image is; ``None`` where the bundle cannot tell.
        doubts: of the series that it is from.
        device_note: why a GPU that is there was not used.
        scan_notes: what had to be made up of where the scan lies.
        input_notes: what is to be said of what the network saw.
    """

    prediction: Prediction
    likeness: Likeness | None = None
    doubts: SequenceDoubts = field(default_factory=SequenceDoubts)
    device_note: str = ""
    scan_notes: tuple[str, ...] = ()
    input_notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of it, in sentences."""
        unlike = self.likeness is not None and self.likeness.unlike
        return (
            *([self.likeness.words] if self.likeness is not None and unlike else []),
            *self.scan_notes,
            *self.doubts.warnings,
            *self.input_notes,
            *([self.device_note] if self.device_note else []),
        )


def ask(scan: Scan, bundle: Bundle, classifier: Classifier, model_input: ModelInput) -> Answered:
    """Ask the model, and whether the image is of the kind that it was trained on.

    Args:
        scan: that the input is of, for its header.
        bundle: whose model it is.
        classifier: the model.
        model_input: what it sees.
    """
    settings = bundle.explain_settings
    likeness = likeness_of(bundle, classifier, model_input)
    doubts = SequenceDoubts() if settings.sequence is None else sequence_doubts(scan, settings.sequence)
    reason = doubts.contradiction
    if reason is None and likeness is not None and likeness.unlike:
        reason = UNLIKE
    prediction = replace(predict(classifier, model_input), presumes=settings.presumes, outside_because=reason)
    return Answered(prediction, likeness, doubts, classifier.device_note, scan.notes, input_warnings(model_input))


def predict(classifier: Classifier, model_input: ModelInput) -> Prediction:
    """The model's answer on its input, whatever that is."""
    return prediction_from(classifier, classifier.logits(model_input.image[None])[0])


def prediction_from(classifier: Classifier, logits: Tensor) -> Prediction:
    """The model's answer from one image's logits, shape ``(K,)``."""
    probabilities = classifier.probabilities(logits[None])[0].double()
    names = classifier.class_names
    single = len(logits) == 1
    return Prediction(
        most_probable=names[int(probabilities.argmax())],
        probabilities={name: float(p) for name, p in zip(names, probabilities, strict=True)},
        logits={name: float(z) for name, z in zip(names[-1:] if single else names, logits.double(), strict=True)},
    )


def explaining_baseline(bundle: Bundle, model_input: ModelInput, name: str | None) -> tuple[dict[str, Any], Tensor]:
    """The baseline asked for, else the bundle's, else a blur: its record and the image ``(C, *S)``.

    Channels that hold guidance (a mask) are their own baseline: they stay as they are when regions are removed.
    """
    own = bundle.explain_settings.baseline
    if name is None and own is not None:
        name, options = own.name, dict(own.options)
    else:
        name = name or DEFAULT_BASELINE
        options = dict(own.options) if own is not None and own.name == name else {}
    baseline = make_baseline(name, model_input, **options)
    fixed = list(bundle.guidance_channels)
    baseline[fixed] = model_input.image[fixed]
    return {"name": name, **options}, baseline


def _segmentations(scan: Scan, bundle: Bundle, model_input: ModelInput, wanted: Settings) -> tuple[Regions, ...]:
    if wanted.regions is not None:
        given = wanted.regions
        if not isinstance(given, Regions):
            given = regions_from_file(given, scan, model_input, names=wanted.region_names)
        return (given if wanted.subdivide is None else subdivided(given, model_input, wanted.subdivide),)
    count = _first_given(wanted.n_regions, bundle.explain_settings.n_regions, DEFAULT_REGIONS)
    number = _first_given(wanted.segmentations, DEFAULT_SEGMENTATIONS)
    if not 1 <= number <= MOST_SEGMENTATIONS:
        raise RequestError(f"{number} segmentations were asked for", hint=f"give 1 to {MOST_SEGMENTATIONS}")
    jitters = [None, *[1000 * wanted.seed + i for i in range(1, number)]]
    return tuple(supervoxels(model_input, count, jitter_seed=jitter) for jitter in jitters)


def _first_given(*values: Any) -> Any:
    return next(value for value in values if value is not None)
