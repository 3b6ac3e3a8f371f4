"""What if this were not there? The model's answer with a part of the image replaced, or with only that part kept.

Another question than a map's: here the user says which voxels, such as a nodule's outline, and the model is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlime.bundle import Bundle, NamedOptions
from camlime.bundle.model_input import ModelInput
from camlime.errors import RegionsError
from camlime.evidence.baselines import titled
from camlime.explanation import Prediction
from camlime.guidance import guided
from camlime.masking import make_baseline
from camlime.pipeline import Prepared, ask, classifier_of, prediction_from
from camlime.region_source import labels_from_file
from camlime.regions import regions_from_label_map
from camlime.scan import Scan
from camlime.view import input_around

ALWAYS = (NamedOptions("mean"), NamedOptions("median"), NamedOptions("blur"))
"""Baselines asked about beside those that the bundle names."""


@dataclass(frozen=True)
class Answer:
    """The model's answer to one changed image.

    Args:
        baseline: what stands in the place of what was removed.
        kept: ``rest`` (the marked part is replaced) or ``part`` (all but the marked part is replaced).
        prediction: the answer.
        log_odds: by class.
    """

    baseline: str
    kept: str
    prediction: Prediction
    log_odds: dict[str, float]


@dataclass(frozen=True)
class WhatIf:
    """The model's answers with and without a part of the image.

    Where the image is outside the training domain, no answer has a class.

    Args:
        untouched: the answer to the image as it is.
        untouched_log_odds: by class.
        answers: for each baseline, without the part and with only the part.
        voxels: of the network's input that are marked.
        share: of the valid voxels.
        name: of the part.
        bundle: name and version.
        assumptions: about the bundle, in words.
        warnings: about the image, in words: whether it is outside the training domain, or of another series.
    """

    untouched: Prediction
    untouched_log_odds: dict[str, float]
    answers: tuple[Answer, ...]
    voxels: int
    share: float
    name: str
    bundle: dict[str, str]
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            "part": {"name": self.name, "voxels": self.voxels, "share_of_input": self.share},
            "untouched": _answer(self.untouched, self.untouched_log_odds),
            "answers": [
                {"baseline": a.baseline, "kept": a.kept, **_answer(a.prediction, a.log_odds)} for a in self.answers
            ],
            "bundle": self.bundle,
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
        }


def what_if(
    scan: Scan | str | Path,
    bundle: Bundle | str | Path,
    *,
    mask: str | Path | NDArray[Any],
    label: int | str | None = None,
    point: Sequence[float] | None = None,
    guidance: str | Path | NDArray[Any] | None = None,
    guidance_label: int | None = None,
    series: str | None = None,
    device: str = "auto",
    trust_code: bool = False,
    prepared: Prepared | None = None,
) -> WhatIf:
    """Ask the model about the image without a marked part, and about the marked part alone.

    Args:
        scan: a scan, or a file or DICOM folder to read.
        bundle: a bundle, its folder, or the name of a shipped one.
        mask: a label map file, or an array ``(*S,)`` of whole numbers or bool, on the scan's voxels or on the network's
            input grid; a file may cover a part of the scan.
        label: which label, by value or by name; all that are not 0 if ``None``.
        point: RAS mm; the centre of what a region bundle looks at.
        guidance: for bundles that take a mask as their last channel; see :func:`camlime.guidance.guided`.
        guidance_label: only this label of it.
        series: which DICOM series, where a folder holds several.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        trust_code: let the bundle run code of its own; see :class:`camlime.Bundle`.
        prepared: made before from this scan, bundle, point and device.

    Raises:
        RegionsError: the mask lies on another grid, does not hold the label, or marks nothing (or everything) that the
            network sees.
        CamlimeError: as :func:`camlime.explain`.

    Example:
        >>> result = what_if("ct.nii.gz", "lung_nodule_ct", mask="nodule.nrrd", point=(-62, 14, -120))  # doctest: +SKIP
        >>> [(a.baseline, a.kept, a.prediction.probabilities["malignant"]) for a in result.answers]  # doctest: +SKIP
    """
    read_bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle, trust_code=trust_code)
    read_scan = scan if isinstance(scan, Scan) else Scan.read(scan, series=series)
    read_scan = guided(read_scan, read_bundle, guidance, guidance_label)
    if prepared is None:
        model_input = input_around(read_scan, read_bundle, point)
        prepared = Prepared(model_input, classifier_of(read_bundle, device=device))
    model_input, classifier = prepared.input, prepared.classifier
    part, name = marked(mask, label, read_scan, model_input)
    images, asked = _images(read_bundle, model_input, torch.from_numpy(part))
    logits = classifier.logits(images)
    odds = torch.stack([classifier.log_odds(logits.double(), i) for i in range(len(classifier.class_names))], dim=1)
    found = ask(read_scan, read_bundle, classifier, model_input)
    presumes, outside = found.prediction.presumes, found.prediction.outside_because
    predictions = [
        replace(prediction_from(classifier, row), presumes=presumes, outside_because=outside) for row in logits
    ]
    log_odds = [dict(zip(classifier.class_names, row.tolist(), strict=True)) for row in odds]
    return WhatIf(
        untouched=predictions[0],
        untouched_log_odds=log_odds[0],
        answers=tuple(
            Answer(baseline, kept, prediction, by_class)
            for (baseline, kept), prediction, by_class in zip(asked, predictions[1:], log_odds[1:], strict=True)
        ),
        voxels=int(part.sum()),
        share=float(part.sum() / model_input.valid.sum()),
        name=name,
        bundle={"name": read_bundle.name, "version": read_bundle.version},
        assumptions=read_bundle.assumptions,
        warnings=found.warnings,
    )


def marked(
    mask: str | Path | NDArray[Any], label: int | str | None, scan: Scan, model_input: ModelInput
) -> tuple[NDArray[np.bool_], str]:
    """What a mask marks on the network's input grid, bool ``(*S,)``, and what to call it.

    Raises:
        RegionsError: as :func:`what_if`.
    """
    if isinstance(mask, np.ndarray):
        source, names = "the mask", dict[int, str]()
        labels, affine = _array(mask, scan, model_input)
    else:
        source = str(mask)
        labels, affine, names = labels_from_file(mask, scan, model_input)
    wanted, name = _chosen(labels, names, label, source)
    regions = regions_from_label_map(wanted, affine, model_input, source=f"{source} ({name})" if label else source)
    part: NDArray[np.bool_] = regions.labels > 0
    if part.sum() == int(model_input.valid.sum()):
        raise RegionsError(f"{source} marks all that the network sees", hint="mark a part, or choose one by its label")
    return part, name


def _array(mask: NDArray[Any], scan: Scan, model_input: ModelInput) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    if mask.dtype.kind not in "biu":
        raise RegionsError(f"the mask holds values of type {mask.dtype}", hint="give whole numbers or bool")
    for shape, affine in ((scan.shape, scan.affine), (model_input.spatial_shape, model_input.affine)):
        if mask.shape == tuple(shape):
            return mask.astype(np.int32), affine
    grids = f"the scan has {tuple(scan.shape)}, the network's input {model_input.spatial_shape}"
    raise RegionsError(
        f"the mask has shape {mask.shape}, {grids}",
        hint="give one number for each voxel of the scan or of the network's input",
    )


def _chosen(
    labels: NDArray[np.int32], names: dict[int, str], label: int | str | None, source: str
) -> tuple[NDArray[np.int32], str]:
    """1 where the label is, 0 elsewhere, and its name."""
    if label is None:
        return (labels != 0).astype(np.int32), "all labels"
    value = next((number for number, name in names.items() if name == label), None) if isinstance(label, str) else label
    if value is None or value == 0 or not (labels == value).any():
        there = ", ".join(f"{v} ({names[v]})" if v in names else str(v) for v in np.unique(labels[labels != 0])[:20])
        raise RegionsError(f"{source} has no label {label}", hint=f"labels: {there or 'none'}")
    return (labels == value).astype(np.int32), names.get(value, f"label {value}")


def _images(bundle: Bundle, model_input: ModelInput, part: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """The image and its changed copies ``(N, C, *S)``, and baseline and what is kept for each of the copies.

    Padding and channels that hold guidance stay as they are.
    """
    fixed = list(bundle.guidance_channels)
    image, valid = model_input.image, model_input.valid
    images, asked = [image], []
    for title, kind in _kinds(bundle).items():
        baseline = make_baseline(kind.name, model_input, **kind.options)
        baseline[fixed] = image[fixed]
        for kept, removed in (("rest", part), ("part", valid & ~part)):
            images.append(torch.where(removed, baseline, image))
            asked.append((title, kept))
    return torch.stack(images), asked


def _kinds(bundle: Bundle) -> dict[str, NamedOptions]:
    """What to replace by: the bundle's own baseline, those that it scores with, and what is asked about always."""
    settings = bundle.explain_settings
    kinds: dict[str, NamedOptions] = {}
    for kind in [*([settings.baseline] if settings.baseline else []), *settings.score_baselines]:
        if kind not in kinds.values():
            kinds[titled(kind) if kind.name in kinds else kind.name] = kind
    return {**kinds, **{kind.name: kind for kind in ALWAYS if kind.name not in kinds}}


def _answer(prediction: Prediction, log_odds: dict[str, float]) -> dict[str, Any]:
    return {**prediction.as_dict(), "log_odds": log_odds}
