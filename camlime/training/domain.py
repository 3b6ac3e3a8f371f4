"""What a 2D bundle's network knows of its training data, for telling images unlike them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from camlime.classifier import Classifier
from camlime.domain import Domain, answers_and_features
from camlime.training.weights import plain


def fit_domain(
    network: nn.Module,
    class_names: Sequence[str],
    training: Iterable[Mapping],
    validation: Iterable[Mapping],
    layers: Sequence[str],
    path: str | Path,
    quantile: float = 0.95,
) -> None:
    """Measure the training images as the shipped network sees them; the validation part makes the scale of it.

    Args:
        network: with the weights as shipped.
        class_names: in the order of the outputs.
        training: loader of the training part, without augmentation.
        validation: loader of the validation part.
        layers: whose features are measured.
        path: file of `camlime.domain.Domain`.
        quantile: of the validation part's scores that the threshold is set at.
    """
    classifier = Classifier(network, class_names=tuple(class_names), activation="softmax", device="cpu")

    def features(loader: Iterable[Mapping]) -> np.ndarray:
        parts = [answers_and_features(classifier, plain(batch["image"]), layers)[1] for batch in loader]
        return np.concatenate(parts)

    Domain.fit(features(training), features(validation), layers, quantile).save(path)
