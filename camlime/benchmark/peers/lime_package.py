"""The lime package: ``LimeImageExplainer`` in 2D, its ``LimeBase`` in 3D, and its recipe on our target."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camlime.attribution import Attribution, FloatArray
from camlime.errors import RequestError
from camlime.extras import needed
from camlime.masking import Masker
from camlime.methods.case import Case
from camlime.methods.lime import Lime, stock_coefficients

RGB = 3


def explain(case: Case, budget: int) -> Attribution:
    """The package's own recipe: probability, each region filled with its mean, independent coins, cosine kernel, ridge.

    Raises:
        RequestError: a 2D image with other than one or three channels, which the package does not take.
    """
    if len(case.input.spatial_shape) == 2:
        return _image_explainer(case, budget)
    return Lime(budget=budget, mode="stock").explain(case)


def on_log_odds(case: Case, budget: int) -> Attribution:
    """The package's coins, kernel and ridge on log-odds, and with the case's baseline."""
    regions = case.regions[0]
    masks, answers = coins_and_answers(case, budget)
    weights, _, _ = stock_coefficients(masks, answers, seed=case.seed)
    return Attribution("lime-package-log-odds", regions.paint(weights), region_weights=weights)


def coins_and_answers(case: Case, budget: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Masks ``(N, d)`` drawn as the package does, the first keeps all, and their log-odds ``(N,)``."""
    regions, classifier = case.regions[0], case.classifier
    masks = np.random.RandomState(case.seed).randint(0, 2, budget * regions.count).reshape(budget, regions.count)
    masks[0, :] = 1
    masker = Masker(case.input.image, case.baseline, regions, classifier.device)
    answers = []
    for part in torch.from_numpy(masks).split(classifier.batch_size(case.input.image)):
        answers.append(classifier.log_odds(classifier.logits(masker(part)).double(), case.class_index).numpy())
    return masks, np.concatenate(answers)


def _image_explainer(case: Case, budget: int) -> Attribution:
    lime_image = needed("lime.lime_image", extra="peers", purpose="the method 'lime-package'")
    classifier, regions = case.classifier, case.regions[0]
    channels = case.input.image.shape[0]
    if channels not in (1, RGB):
        raise RequestError(
            f"the lime package explains grey and RGB images, not {channels} channels", hint="leave 'lime-package' out"
        )
    first = int(regions.labels.min())

    def answers(images: NDArray[Any]) -> NDArray[np.float64]:
        batch = torch.from_numpy(np.moveaxis(images, -1, 1)[:, :channels].astype(np.float32))
        return classifier.probabilities(classifier.logits(batch)).double().numpy()

    image = np.moveaxis(case.input.image.numpy(), 0, -1)
    explainer = lime_image.LimeImageExplainer(random_state=case.seed, verbose=False)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar cannot be turned off
        explanation = explainer.explain_instance(
            image.squeeze(-1) if channels == 1 else image,
            answers,
            labels=(case.class_index,),
            top_labels=None,
            num_samples=budget,
            batch_size=classifier.batch_size(case.input.image),
            segmentation_fn=lambda _: regions.labels - first,
            random_seed=case.seed,
        )
    weights = np.zeros(regions.count + 1 - first)
    for region, weight in explanation.local_exp[case.class_index]:
        weights[region] = weight
    weights = weights[1 - first :]
    return Attribution("lime-package", regions.paint(weights), region_weights=weights)
