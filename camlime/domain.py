r"""How unlike the training data an image is, told by what the network's layers say of it.

A classifier answers whatever it is given, and its probabilities do not say that it has never seen the like. Here each
named layer's output is summarised by its mean and its standard deviation over space, and the distance of this vector
``f`` from those of the training images is measured in units of their spread (Mahalanobis distance of features, as in
Lee et al. 2018, NeurIPS, "A simple unified framework for detecting out-of-distribution samples"):

.. math:: s = \sqrt{(f - \mu)^\top \Sigma^{-1} (f - \mu)}

with the covariance shrunk as Ledoit and Wolf (2004) have it. Scores of images that were held back from training make a
scale of it: an image is flagged where its score lies beyond their stated quantile. Which images are flagged by mistake
is thereby known beforehand (5 % at a quantile of 0.95); which unlike ones are found has to be measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from camlime.archives import hash_file
from camlime.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.bundle.slice_settings import DomainSettings
from camlime.classifier import Classifier
from camlime.errors import BundleError

MOST_BYTES = 64 << 20
"""Of a domain file; a thousand features take 8 MB."""

UNLIKE = "unlike the training data"
"""In what an image is outside the training domain, where its score says so."""

BATCH = 16
"""Images a pass where the user did not ask for a number."""

_DEAD = 1e-6
_SMALLEST_VARIANCE = 1e-4
_TENSORS = ("mean", "whitening", "reference", "quantile")


@dataclass(frozen=True)
class Domain:
    r"""The training data as the network sees them.

    Args:
        layers: modules whose outputs are summarised.
        mean: shape ``(D,)``.
        whitening: shape ``(D, D)``: ``W`` with :math:`W W^T = \Sigma^{-1}`.
        reference: shape ``(M,)``, ascending: scores of images that were held back.
        quantile: of ``reference``, beyond which an image is flagged.

    Example:
        >>> domain = Domain.of(bundle)  # doctest: +SKIP
        >>> logits, features = answers_and_features(classifier, images, domain.layers)  # doctest: +SKIP
        >>> domain.scores(features) > domain.threshold  # doctest: +SKIP
        array([False, True])
    """

    layers: tuple[str, ...]
    mean: NDArray[np.float64]
    whitening: NDArray[np.float64]
    reference: NDArray[np.float64]
    quantile: float

    @property
    def threshold(self) -> float:
        """The score beyond which an image is flagged."""
        return float(np.quantile(self.reference, self.quantile))

    def scores(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Distances from the training data, shape ``(N,)``, of features ``(N, D)``."""
        distance: NDArray[np.float64] = np.linalg.norm((features - self.mean) @ self.whitening, axis=1)
        return distance

    def share_beyond(self, score: float) -> float:
        """How many held-back images of the training data have such a score or a higher one: a p-value in (0, 1]."""
        beyond = len(self.reference) - int(np.searchsorted(self.reference, score, side="left"))
        return (1 + beyond) / (1 + len(self.reference))

    @classmethod
    def fit(
        cls,
        training: NDArray[np.floating],
        held_back: NDArray[np.floating],
        layers: Sequence[str],
        quantile: float = 0.95,
    ) -> Domain:
        """Measure the training data's features ``(N, D)``, and the scale of scores on others ``(M, D)``."""
        from sklearn.covariance import LedoitWolf

        spread = training.std(axis=0)
        scale = np.where(spread > _DEAD, spread, 1.0)
        standard = LedoitWolf().fit((training - training.mean(axis=0)) / scale)
        # A channel that is always the same has no variance: by eigenvalues, which a floor keeps above zero.
        variance, directions = np.linalg.eigh(standard.covariance_)
        whitening = directions / np.sqrt(np.maximum(variance, _SMALLEST_VARIANCE)) / scale[:, None]
        domain = cls(tuple(layers), training.mean(axis=0), whitening, np.zeros(1), quantile)
        return cls(domain.layers, domain.mean, whitening, np.sort(domain.scores(held_back)), quantile)

    def save(self, path: str | Path) -> None:
        """Write it as safetensors, float32."""
        values = (self.mean, self.whitening, self.reference, np.array([self.quantile]))
        tensors = {
            name: torch.from_numpy(value.astype(np.float32)) for name, value in zip(_TENSORS, values, strict=True)
        }
        Path(path).write_bytes(save(tensors))

    @classmethod
    def of(cls, bundle: Bundle) -> Domain | None:
        """Read what a bundle knows of its training data; ``None`` where it says nothing.

        Raises:
            BundleError: the file is missing, damaged or leads out of the bundle.
        """
        settings = bundle.explain_settings.domain
        return None if settings is None else cls.read(bundle.root, settings)

    @classmethod
    def read(cls, root: Path, settings: DomainSettings) -> Domain:
        """As :meth:`of`."""
        path = domain_file(root, settings)
        try:
            tensors = load_file(str(path))
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{path} is damaged: {error}", hint="it has to be a safetensors file") from error
        if set(tensors) != set(_TENSORS):
            raise BundleError(f"{path} has to hold {', '.join(_TENSORS)}, not {', '.join(sorted(tensors))[:200]}")
        mean, whitening, reference, quantile = (tensors[name].double().numpy() for name in _TENSORS)
        fits = mean.ndim == 1 and whitening.shape == (len(mean), len(mean)) and reference.ndim == 1
        finite = all(np.isfinite(values).all() for values in (mean, whitening, reference, quantile))
        if not fits or not finite or not len(reference) or quantile.shape != (1,) or not 0 < quantile[0] < 1:
            raise BundleError(f"{path} holds tensors of shapes or values that do not fit together")
        return cls(settings.layers, mean, whitening, np.sort(reference), float(quantile[0]))


def domain_file(root: Path, settings: DomainSettings) -> Path:
    """Where the file lies.

    Raises:
        BundleError: it is missing, leads out of the bundle, or is too large.
    """
    path = (root / settings.file).resolve()
    if not path.is_relative_to(root.resolve()):
        raise BundleError(f"'{settings.file}' leads out of the bundle {root}", hint="put the file into the bundle")
    if not path.is_file():
        raise BundleError(f"the bundle {root} has no {settings.file}, which its explain.json names under domain")
    if path.stat().st_size > MOST_BYTES:
        raise BundleError(f"{path} is larger than {MOST_BYTES >> 20} MB")
    return path


def domain_digest(bundle: Bundle) -> dict[str, str]:
    """SHA-256 of the domain file by its name, for the provenance; empty where there is none."""
    settings = bundle.explain_settings.domain
    return {} if settings is None else {settings.file: hash_file(domain_file(bundle.root, settings))}


def answers_and_features(
    classifier: Classifier, images: Tensor, layers: Sequence[str]
) -> tuple[Tensor, NDArray[np.float64]]:
    """Logits and features of images in the same passes.

    Args:
        classifier: whose network is listened to.
        images: ``(N, C, *S)``.
        layers: modules of the network; each gives its mean and its standard deviation over space, one a channel.
            Empty for none.

    Returns:
        Logits ``(N, K)`` and features ``(N, D)``.

    Raises:
        BundleError: there is no such layer, its output has no channels, or an image takes more than one pass.
    """
    size = classifier.given_batch_size or BATCH
    with _listening(classifier.network, layers) as heard:
        logits = torch.cat([classifier.logits_of_batch(part) for part in images.split(size)])
    features = torch.cat(heard) if layers else torch.zeros(len(images), 0)
    if len(features) != len(images):
        raise BundleError(
            f"the network runs {len(features)} times on {len(images)} image(s): with an inferer that looks at windows "
            "of an image, its layers cannot be compared with training data",
            hint="leave domain out of explain.json",
        )
    return logits, features.double().numpy()


@dataclass(frozen=True)
class Likeness:
    """How unlike the training data one image is.

    Args:
        score: its distance, see :class:`Domain`.
        threshold: the score beyond which an image is flagged.
        quantile: how many images of the training data's kind lie within it.
    """

    score: float
    threshold: float
    quantile: float

    @property
    def unlike(self) -> bool:
        """Whether the image is flagged: the network's answer means nothing."""
        return self.score > self.threshold

    @property
    def words(self) -> str:
        """What to say of a flagged image."""
        return (
            f"the image is unlike the training data (score {self.score:.1f}, beyond {self.threshold:.1f}, which "
            f"{1 - self.quantile:.0%} of their kind exceed): the answer means nothing"
        )


def likeness_of(bundle: Bundle, classifier: Classifier, model_input: ModelInput) -> Likeness | None:
    """Compare an input with the training data; ``None`` where the bundle cannot tell."""
    domain = Domain.of(bundle)
    if domain is None:
        return None
    _, features = answers_and_features(classifier, model_input.image[None], domain.layers)
    return Likeness(float(domain.scores(features)[0]), domain.threshold, domain.quantile)


@contextmanager
def _listening(network: nn.Module, layers: Sequence[str]) -> Iterator[list[Tensor]]:
    """A list that grows by the features ``(N, D)`` of each pass that ends well (one may run out of memory)."""
    modules = dict(network.named_modules())
    for name in layers:
        if name not in modules:
            raise BundleError(f"the network has no layer '{name}', which explain.json names under domain")
    now: dict[str, Tensor] = {}
    done: list[Tensor] = []

    def keep(name: str) -> object:
        def hook(module: nn.Module, given: object, output: object) -> None:
            if not isinstance(output, Tensor) or output.ndim < 2:
                raise BundleError(f"layer '{name}' does not give channels, and cannot be compared with training data")
            flat = output.detach().reshape(*output.shape[:2], -1).float()
            now[name] = torch.cat([flat.mean(-1), flat.std(-1, correction=0)], dim=1).cpu()

        return hook

    def finish(module: nn.Module, given: object, output: object) -> None:
        done.append(torch.cat([now[name] for name in layers], dim=1))

    handles = [modules[name].register_forward_hook(keep(name)) for name in layers]
    if layers:
        handles.append(network.register_forward_hook(finish))
    try:
        yield done
    finally:
        for handle in handles:
            handle.remove()
