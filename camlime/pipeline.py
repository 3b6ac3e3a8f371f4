"""One case from a scan and a bundle to an explanation."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from camlime.attribution import Attribution
from camlime.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.errors import RequestError
from camlime.evidence import Evidence, Remake, measure, scoring_baselines
from camlime.explanation import Explanation, Prediction, leading
from camlime.masking import make_baseline
from camlime.methods import cam
from camlime.methods.agreement import Agreement
from camlime.methods.budget import Budget
from camlime.methods.case import Case, Progress
from camlime.methods.combine import RULES, combine
from camlime.methods.fused import Fused
from camlime.methods.lime import Lime
from camlime.methods.sampling import Cancelled
from camlime.methods.stopping import StoppingRule
from camlime.region_source import regions_from_file
from camlime.regions import Regions, supervoxels
from camlime.scan import Scan
from camlime.version import __version__

METHODS = (*cam.METHODS, "lime", "fused", *RULES)
"""Every method that can be asked for."""

DEFAULT_METHODS = ("gradcam", "lime", "fused")
DEFAULT_BUDGET = 1024
DEFAULT_REGIONS = 100
DEFAULT_SEGMENTATIONS = 2
DEFAULT_BASELINE = "blur"

WHOLE_SCAN_FACTOR = 2.5
"""A scan that is larger than a region bundle's field of view by this factor along two axes needs a point to look at."""

MOSTLY_PADDING = 0.5
"""Share of padding in view beyond which the answer itself is called doubtful."""

MOST_SEGMENTATIONS = 50

RECORDED_PACKAGES = ("torch", "monai", "grad-cam", "lime", "numpy", "scikit-image", "SimpleITK", "nibabel")


@dataclass(frozen=True)
class Settings:
    """What is asked for; what is ``None`` is taken from the bundle's ``explain.json``, else from the engine's defaults.

    Args:
        methods: of :data:`METHODS`.
        class_name: the class to explain; the predicted one if ``None``.
        point: RAS mm; the centre of what a region bundle looks at.
        regions: a label map (file) or :class:`Regions` on the input grid; supervoxels if ``None``.
        n_regions: about how many supervoxels.
        segmentations: how many jittered segmentations share the budget; 1 with ``regions``.
        budget: pass-equivalents for each of LIME and fused, or ``"auto"``: until certain.
        lime_mode: ``default`` or ``stock``.
        seed: of every random choice.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: measured if ``None``.
        amp: mixed precision.
        target_layer: of the CAMs; chosen if ``None``.
        baseline: name of what removed regions are replaced by.
        evidence_budget: pass-equivalents for the evidence on the map to show first; 0 for no evidence; ``None``: what
            it takes, see :func:`camlime.evidence.plan.default_budget`.
    """

    methods: Sequence[str] | None = None
    class_name: str | None = None
    point: Sequence[float] | None = None
    regions: str | Path | Regions | None = None
    n_regions: int | None = None
    segmentations: int | None = None
    budget: int | Literal["auto"] | None = None
    lime_mode: Literal["default", "stock"] = "default"
    seed: int = 0
    device: str = "auto"
    batch_size: int | None = None
    amp: bool = False
    target_layer: str | None = None
    baseline: str | None = None
    evidence_budget: int | None = None


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
        input: what the network sees, from ``bundle.prepare(focus(scan, bundle, point))``.
        classifier: the bundle's model on a device, with the batch size that it has measured.

    Example:
        >>> bundle, scan = Bundle.load("lung_nodule_ct"), Scan.read("ct.nii.gz")  # doctest: +SKIP
        >>> point = (-62.0, 14.0, -120.0)
        >>> ready = Prepared(bundle.prepare(focus(scan, bundle, point)), classifier_of(bundle))  # doctest: +SKIP
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
    if isinstance(wanted.budget, str) and wanted.budget != "auto":
        raise RequestError(f"budget '{wanted.budget}' is not a number of passes", hint="give a whole number, or auto")
    if wanted.seed < 0:
        raise RequestError(f"seed {wanted.seed} is negative", hint="give 0 or a positive whole number")
    heard = listeners or Listeners()
    read_bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle, trust_code=trust_code)
    methods = checked_methods(wanted.methods or read_bundle.explain_settings.methods or DEFAULT_METHODS)
    read_scan = scan if isinstance(scan, Scan) else Scan.read(scan, series=series)
    if prepared is None:
        prepared = Prepared(
            read_bundle.prepare(focus(read_scan, read_bundle, wanted.point)),
            classifier_of(read_bundle, device=wanted.device, amp=wanted.amp, batch_size=wanted.batch_size),
        )
    model_input, classifier = prepared.input, prepared.classifier
    if wanted.class_name is not None:
        classifier.class_index(wanted.class_name)
    baseline_name, baseline = _baseline(read_bundle, model_input, wanted.baseline)
    segmentations = _segmentations(read_scan, read_bundle, model_input, wanted)
    prediction = predict(classifier, model_input)
    explained = wanted.class_name or prediction.class_name
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
    budget = _first_given(wanted.budget, read_bundle.explain_settings.budget, DEFAULT_BUDGET)
    runner = _Runner(case, wanted, StoppingRule() if budget == "auto" else budget, read_bundle, heard)
    runner.check(methods)
    examiner = _Examiner(case, wanted, read_bundle, runner)
    complete = runner.run(methods)
    attributions = {name: runner.done[name] for name in methods if name in runner.done}
    complete = complete and examiner.run(leading(attributions))
    return Explanation(
        prediction=prediction,
        explained_class=explained,
        attributions=attributions,
        regions=case.regions[0],
        input=model_input,
        agreement=runner.agreement,
        evidence=examiner.done,
        provenance=_provenance(read_bundle, read_scan, classifier, wanted, budget, baseline_name),
        warnings=_warnings(read_bundle, runner, examiner, model_input),
        complete=complete,
    )


def classify(
    scan: Scan | str | Path,
    bundle: Bundle | str | Path,
    *,
    point: Sequence[float] | None = None,
    series: str | None = None,
    device: str = "auto",
    trust_code: bool = False,
) -> Prediction:
    """Only the model's answer; arguments and errors as in :func:`explain`."""
    read_bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle, trust_code=trust_code)
    read_scan = scan if isinstance(scan, Scan) else Scan.read(scan, series=series)
    model_input = read_bundle.prepare(focus(read_scan, read_bundle, point))
    return predict(classifier_of(read_bundle, device=device), model_input)


def checked_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The methods' own names, in order and each once.

    Raises:
        RequestError: there is no such method.
    """
    found: list[str] = []
    for name in (names,) if isinstance(names, str) else names:
        known = name if name in METHODS else cam.ALIASES.get(name.lower(), name.lower())
        if known in cam.REFUSED:
            cam.checked_method(known)
        if known not in METHODS:
            raise RequestError(f"there is no method '{name}'", hint="methods: " + ", ".join(METHODS))
        if known not in found:
            found.append(known)
    if not found:
        raise RequestError("no method was asked for", hint="methods: " + ", ".join(METHODS))
    return tuple(found)


def focus(scan: Scan, bundle: Bundle, point: Sequence[float] | None) -> Scan:
    """Cut the scan down to what a region bundle looks at around a point (RAS mm); without a point, the scan itself.

    Raises:
        RequestError: the point lies outside the scan; the bundle does not work on a region; or it does, the scan is
            much larger, and there is no point.
    """
    view = bundle.field_of_view_mm
    if point is not None:
        if view is None or len(view) != 3:
            raise RequestError(
                f"bundle '{bundle.name}' looks at the whole image, so there is no point to give",
                hint="leave the point out",
            )
        return scan.crop(tuple(point), view)
    if bundle.explain_settings.field_of_view_mm is not None and len(scan.shape) == 3 and view is not None:
        extent = np.array(scan.shape) * np.array(scan.spacing)
        if int((extent > WHOLE_SCAN_FACTOR * max(view)).sum()) >= 2:
            raise RequestError(
                f"bundle '{bundle.name}' looks at {_mm(view)} mm, the scan is {_mm(extent)} mm: "
                "it has to know where to look",
                hint="give --point R A S in mm (the position that 3D Slicer shows), --point-lps or --center-voxel",
            )
    return scan


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


def predict(classifier: Classifier, model_input: ModelInput) -> Prediction:
    """The model's answer on its input."""
    return prediction_from(classifier, classifier.logits(model_input.image[None])[0])


def prediction_from(classifier: Classifier, logits: Tensor) -> Prediction:
    """The model's answer from one image's logits, shape ``(K,)``."""
    probabilities = classifier.probabilities(logits[None])[0].double()
    names = classifier.class_names
    single = len(logits) == 1
    return Prediction(
        class_name=names[int(probabilities.argmax())],
        probabilities={name: float(p) for name, p in zip(names, probabilities, strict=True)},
        logits={name: float(z) for name, z in zip(names[-1:] if single else names, logits.double(), strict=True)},
    )


class _Runner:
    """Runs methods in the order asked for, each once, parents of a combination first."""

    def __init__(self, case: Case, wanted: Settings, budget: Budget, bundle: Bundle, heard: Listeners) -> None:
        self._case = case
        self._wanted = wanted
        self._budget = budget
        self._layer = wanted.target_layer or bundle.explain_settings.target_layer
        self._heard = heard
        self.done: dict[str, Attribution] = {}
        self.agreement: Agreement | None = None

    def check(self, methods: Sequence[str]) -> None:
        """Find out before the long work whether every method can do what is asked of it.

        Raises:
            RequestError: a budget is too small, or there is no such layer.
        """
        for name in methods:
            for parent in ("gradcam", "lime") if name in RULES else (name,):
                self._method(parent).check(self._case)

    def run(self, methods: Sequence[str]) -> bool:
        """Run them; ``False`` if cancelled on the way."""
        for name in methods:
            if self._heard.cancelled():
                return False
            try:
                self._get(name)
            except Cancelled:
                return False
        return not self._heard.cancelled()

    def _get(self, name: str) -> Attribution:
        if name not in self.done:
            self.done[name] = self._explain(name)
            self._heard.on_attribution(self.done[name])
        return self.done[name]

    def _explain(self, name: str) -> Attribution:
        for rule in RULES:
            if name == rule:
                return combine(rule, self._get("gradcam"), self._get("lime"), self._case.input.valid.numpy())
        method = self._method(name)
        attribution = method.explain(self._case)
        if isinstance(method, Fused):
            self.agreement = method.agreement
        return attribution

    def remake(self, name: str) -> Remake:
        """The method's map of another case, within so many passes."""

        def make(case: Case, passes: int) -> Attribution:
            for rule in RULES:
                if name == rule:
                    gradcam, lime = (self._method(parent, passes).explain(case) for parent in ("gradcam", "lime"))
                    return combine(rule, gradcam, lime, case.input.valid.numpy())
            return self._method(name, passes).explain(case)

        return make

    def _method(self, name: str, passes: int | None = None) -> cam.Cam | Lime | Fused:
        budget = passes or self._budget
        if name == "lime":
            return Lime(budget=budget, mode=self._wanted.lime_mode)
        if name == "fused":
            return Fused(budget=budget, target_layer=self._layer)
        return cam.Cam(name, target_layer=self._layer)


class _Examiner:
    """Measures the evidence on the map to show first.

    Raises:
        RequestError: the budget is negative, or the bundle names a baseline that does not exist.
    """

    def __init__(self, case: Case, wanted: Settings, bundle: Bundle, runner: _Runner) -> None:
        self._case = case
        self._runner = runner
        self._budget = wanted.evidence_budget
        if self._budget is not None and self._budget < 0:
            raise RequestError(f"{self._budget} passes are no budget for the evidence", hint="give 0 for no evidence")
        self._baselines = scoring_baselines(
            bundle.explain_settings.score_baselines, case.input, case.baseline, fixed=bundle.guidance_channels
        )
        self.done: dict[str, Evidence] = {}
        self.cut_short = False

    def run(self, attribution: Attribution | None) -> bool:
        """Measure it; ``False`` if cancelled on the way, and then there is none."""
        if attribution is None or self._budget == 0:
            return True
        remake = self._runner.remake(attribution.method)
        try:
            evidence = measure(self._case, attribution, remake, self._baselines, budget=self._budget)
        except Cancelled:
            self.cut_short = True
            return False
        self.done[attribution.method] = evidence
        return True


def _baseline(bundle: Bundle, model_input: ModelInput, name: str | None) -> tuple[dict[str, Any], Tensor]:
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
    if isinstance(wanted.regions, Regions):
        return (wanted.regions,)
    if wanted.regions is not None:
        return (regions_from_file(wanted.regions, scan, model_input),)
    count = _first_given(wanted.n_regions, bundle.explain_settings.n_regions, DEFAULT_REGIONS)
    number = _first_given(wanted.segmentations, DEFAULT_SEGMENTATIONS)
    if not 1 <= number <= MOST_SEGMENTATIONS:
        raise RequestError(f"{number} segmentations were asked for", hint=f"give 1 to {MOST_SEGMENTATIONS}")
    jitters = [None, *[1000 * wanted.seed + i for i in range(1, number)]]
    return tuple(supervoxels(model_input, count, jitter_seed=jitter) for jitter in jitters)


def _provenance(
    bundle: Bundle, scan: Scan, classifier: Classifier, wanted: Settings, budget: object, baseline: dict[str, Any]
) -> dict[str, Any]:
    return {
        "camlime": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in RECORDED_PACKAGES},
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "bundle": {
            "name": bundle.name,
            "version": bundle.version,
            "sha256": dict(bundle.fingerprint),
            "trusted_code": bundle.trusted_code,
            "assumptions": list(bundle.assumptions),
        },
        "scan": {"name": scan.source.name, "series_uid": scan.series_uid},
        "point_ras_mm": None if wanted.point is None else [float(x) for x in wanted.point],
        "seed": wanted.seed,
        "device": str(classifier.device),
        "mixed_precision": wanted.amp,
        "batch_size": wanted.batch_size,
        "budget": budget,
        "baseline": baseline,
        "regions": Path(wanted.regions).name if isinstance(wanted.regions, (str, Path)) else None,
    }


def _warnings(bundle: Bundle, runner: _Runner, examiner: _Examiner, model_input: ModelInput) -> tuple[str, ...]:
    said = [*bundle.assumptions]
    padded = 1 - float(model_input.valid.double().mean())
    if padded > 0:
        said.append(
            f"{padded:.0%} of what the network sees is padding beyond the scan; it is neither explained nor shown"
            + (". The answer itself is to be doubted: most of its input was made up" if padded > MOSTLY_PADDING else "")
        )
    seen = model_input.image[:, model_input.valid]
    if bool((seen.amax(dim=1) == seen.amin(dim=1)).all()):
        said.append(
            "what the network sees is the same everywhere: is the point right? There is nothing to explain here"
        )
    for name, attribution in runner.done.items():
        said += [f"{name}: {note}" for note in attribution.parameters.get("notes", [])]
        if attribution.parameters.get("cancelled"):
            said.append(
                f"{name}: cut short; its standard deviations hold what was sampled, and not the variation between "
                "segmentations that were not reached"
            )
        if attribution.parameters.get("intervals_supported") is False:
            said.append(
                f"{name}: too few masked images for this many regions to trust the standard errors; raise the budget"
            )
    if examiner.cut_short:
        said.append("the evidence was stopped on the way: whether the model used what the map shows is not known")
    return tuple(dict.fromkeys(said))


def _first_given(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _mm(lengths: Sequence[float] | np.ndarray) -> str:
    return " x ".join(f"{length:.0f}" for length in lengths)
