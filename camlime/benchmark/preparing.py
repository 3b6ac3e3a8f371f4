"""From a line of the cohort to a case: scan read, point moved, network's input, regions, outline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from camlime.benchmark.cohort import CohortCase
from camlime.benchmark.settings import BenchmarkSettings
from camlime.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.errors import RegionsError, RequestError
from camlime.methods.case import Case
from camlime.pipeline import DEFAULT_REGIONS, classifier_of, explaining_baseline, predict
from camlime.regions import Regions, regions_from_label_map, supervoxels
from camlime.scan import Scan, load_label_map
from camlime.view import focus

TRIES = 20
"""How far beyond twice the wanted number of supervoxels is asked for, to get an exact number of regions."""


@dataclass(frozen=True)
class Prepared:
    """A case, and what is known about it.

    Args:
        case: for the methods, seed 0.
        bundle: its bundle.
        layer: target layer for CAMs; ``None``: chosen.
        class_name: explained.
        probability: the model's, of that class.
        offset_mm: how far the point was moved, RAS.
        mask: the outline on the input grid ``(*S,)``, or ``None``.
        no_mask_because: in words, where there is none although the line names a file.
    """

    case: Case
    bundle: Bundle
    layer: str | None
    class_name: str
    probability: float
    offset_mm: tuple[float, ...]
    mask: NDArray[np.bool_] | None
    no_mask_because: str


@lru_cache(maxsize=1)
def _bundle(path: str, trust_code: bool) -> Bundle:
    return Bundle.load(path, trust_code=trust_code)


def prepare(line: CohortCase, settings: BenchmarkSettings, fingerprint: dict[str, str]) -> Prepared:
    """Make the case, the same on every machine.

    Raises:
        RequestError: the bundle here is not the one whose results are asked for.
        CamlimeError: whatever is wrong with the scan, the bundle or the class.
    """
    bundle = _bundle(settings.bundle, settings.trust_code)
    if dict(bundle.fingerprint) != fingerprint:
        raise RequestError(
            f"bundle '{settings.bundle}' on this machine is not the one that the benchmark was started with",
            hint="weights and configs must be the same on every machine",
        )
    scan = Scan.read(line.image)
    point, offset = _moved_point(scan, bundle, line, settings.jitter_mm)
    model_input = bundle.prepare(focus(scan, bundle, point))  # at random: no need to be nearer
    classifier = classifier_of(bundle, device=settings.device, batch_size=settings.batch_size)
    prediction = predict(classifier, model_input)
    class_name = line.class_name or prediction.most_probable
    _, baseline = explaining_baseline(bundle, model_input, settings.baseline)
    count = settings.n_regions or bundle.explain_settings.n_regions or DEFAULT_REGIONS
    first = supervoxels(model_input, count) if line.regions is None else exactly(model_input, line.regions)
    others = [supervoxels(model_input, first.count, jitter_seed=i) for i in range(1, settings.segmentations)]
    mask, problem = _outline(line, model_input)
    return Prepared(
        case=Case(classifier, model_input, classifier.class_index(class_name), (first, *others), baseline),
        bundle=bundle,
        layer=settings.target_layer or bundle.explain_settings.target_layer,
        class_name=class_name,
        probability=prediction.probabilities[class_name],
        offset_mm=offset,
        mask=mask,
        no_mask_because=problem,
    )


def exactly(model_input: ModelInput, wanted: int) -> Regions:
    """Exactly so many supervoxels: somewhat more are made, and the smallest merged into what lies next to it.

    Raises:
        RegionsError: the image is too small for so many.
    """
    asked = wanted * wanted / max(supervoxels(model_input, wanted).count, 1)
    found = supervoxels(model_input, max(round(asked), 2))
    while found.count < wanted and asked <= 2 * wanted + TRIES:
        asked = 1.02 * asked + 1
        found = supervoxels(model_input, round(asked))
    if found.count < wanted:
        raise RegionsError(
            f"no more than {found.count} supervoxels can be made here, not {wanted}", hint="ask for fewer in the table"
        )
    labels = found.labels.copy()
    while (count := int(labels.max())) > wanted:
        smallest = int(np.bincount(labels.ravel(), minlength=count + 1)[1:].argmin()) + 1
        small = labels == smallest
        away = small | (labels == 0)
        nearest = ndimage.distance_transform_edt(
            away, sampling=model_input.spacing, return_distances=False, return_indices=True
        )
        labels[small] = labels[tuple(nearest)][small]
        labels[labels > smallest] -= 1
    return Regions(labels, origin=f"{found.origin}, merged to {wanted}")


def _moved_point(
    scan: Scan, bundle: Bundle, line: CohortCase, jitter_mm: float
) -> tuple[tuple[float, ...] | None, tuple[float, ...]]:
    """Where to look, and by how much that was moved: drawn from the case's name alone."""
    if not jitter_mm:
        return line.point, (0.0, 0.0, 0.0)
    view = bundle.field_of_view_mm
    if view is None or len(view) != 3 or len(scan.shape) != 3:
        raise RequestError(
            f"bundle '{bundle.name}' looks at the whole image, so there is no point to move",
            hint="leave out --jitter-mm",
        )
    rng = np.random.default_rng(list(sha256(line.case.encode()).digest()))
    reach = jitter_mm * np.array(view) / max(view)
    middle = np.array(line.point) if line.point is not None else scan.voxel_to_ras((np.array(scan.shape) - 1) / 2)
    offset = rng.uniform(-1, 1, 3) * reach
    while not scan.covers(middle + offset) and np.abs(offset).max() > 1e-3:
        offset = offset / 2
    return tuple(float(x) for x in middle + offset), tuple(float(x) for x in offset)


def _outline(line: CohortCase, model_input: ModelInput) -> tuple[NDArray[np.bool_] | None, str]:
    if line.mask is None:
        return None, ""
    labels, affine, _ = load_label_map(line.mask)
    try:
        found = regions_from_label_map(labels, affine, model_input, source=str(line.mask))
    except RegionsError as error:
        return None, error.message
    mask = (found.labels > 0) & model_input.valid.numpy()
    if mask.sum() == model_input.valid.sum():
        return None, f"{line.mask} covers all that the network sees: nothing could be told by it"
    return mask, ""
