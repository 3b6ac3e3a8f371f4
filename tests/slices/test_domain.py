"""The out-of-domain score: its formula, its promised rate, what it finds, and files that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.covariance import LedoitWolf
from support.slice_cases import LAYERS, training_slices

from camlime.bundle.slice_settings import DomainSettings
from camlime.domain import Domain, answers_and_features
from camlime.errors import BundleError
from camlime.pipeline import classifier_of


def test_score_is_the_mahalanobis_distance():
    rng = np.random.default_rng(0)
    training = rng.normal(size=(4000, 3)) @ np.array([[2.0, 0.3, 0], [0, 1.0, 0.5], [0, 0, 0.1]]) + (1, 2, 3)
    domain = Domain.fit(training, training[:50], ["a"])
    point = np.array([[4.0, 1.0, 3.2]])
    away = point[0] - training.mean(0)
    scale = training.std(0)
    shrunk = LedoitWolf().fit((training - training.mean(0)) / scale).covariance_ * np.outer(scale, scale)
    assert domain.scores(point)[0] == pytest.approx(np.sqrt(away @ np.linalg.inv(shrunk) @ away), rel=1e-6)
    assert domain.scores(point)[0] == pytest.approx(np.sqrt(away @ np.linalg.inv(np.cov(training.T)) @ away), rel=0.1)


def test_the_promised_share_of_the_same_kind_is_flagged():
    rng = np.random.default_rng(0)
    domain = Domain.fit(rng.normal(size=(2000, 6)), rng.normal(size=(2000, 6)), ["a"], quantile=0.95)
    fresh = domain.scores(rng.normal(size=(4000, 6)))
    assert np.mean(fresh > domain.threshold) == pytest.approx(0.05, abs=0.015)
    shares = [domain.share_beyond(score) for score in fresh]
    assert np.mean(np.array(shares) <= 0.05) == pytest.approx(0.05, abs=0.015)
    assert 0 < domain.share_beyond(1e9) < 0.001


def test_features_are_means_and_deviations_of_the_layers(bundle):
    classifier = classifier_of(bundle, device="cpu")
    images = training_slices(bundle, 1)
    logits, features = answers_and_features(classifier, images, LAYERS)
    outputs, x = {}, images
    for name, module in bundle.network.named_modules():
        if name in LAYERS:
            outputs[name] = module
    with torch.no_grad():
        x = outputs["net.layer_0"](images)
        first = x
        for name, module in bundle.network.named_modules():
            if name.startswith("net.layer_") and name.count(".") == 1 and name != "net.layer_0":
                x = module(x)
                if name == "net.layer_2":
                    break
    parts = [(y.mean((2, 3)), y.std((2, 3), correction=0)) for y in (first, x)]
    expected = torch.cat([part for pair in parts for part in pair], 1)
    np.testing.assert_allclose(features, expected, atol=1e-6)
    np.testing.assert_allclose(logits, classifier.logits(images), atol=1e-6)
    assert not any(module._forward_hooks for module in classifier.network.modules())


def test_other_kinds_of_slices_are_flagged(bundle):
    domain, classifier = Domain.of(bundle), classifier_of(bundle, device="cpu")

    def flagged(images):
        return np.mean(domain.scores(answers_and_features(classifier, images, domain.layers)[1]) > domain.threshold)

    same = training_slices(bundle, 4, seed=9)
    assert flagged(same) < 0.1
    assert flagged(1.2 - same) == 1
    assert flagged(torch.zeros_like(same[:20])) == 1
    assert flagged(torch.rand(20, *same.shape[1:])) == 1


def test_it_comes_back_from_its_file(tmp_path):
    rng = np.random.default_rng(0)
    domain = Domain.fit(rng.normal(size=(100, 4)), rng.normal(size=(30, 4)), ["a"], quantile=0.9)
    domain.save(tmp_path / "d.safetensors")
    again = Domain.read(tmp_path, DomainSettings("d.safetensors", ("a",)))
    assert again.threshold == pytest.approx(domain.threshold, rel=1e-5)
    points = rng.normal(size=(5, 4))
    np.testing.assert_allclose(again.scores(points), domain.scores(points), rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("mean"), "has to hold"),
        (lambda t: t.update(whitening=torch.eye(3)), "do not fit"),
        (lambda t: t.update(mean=torch.full((4,), float("nan"))), "do not fit"),
        (lambda t: t.update(quantile=torch.tensor([1.5])), "do not fit"),
        (lambda t: t.update(reference=torch.zeros(0)), "do not fit"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, change, said):
    tensors = {
        "mean": torch.zeros(4),
        "whitening": torch.eye(4),
        "reference": torch.arange(5.0),
        "quantile": torch.tensor([0.9]),
    }
    change(tensors)
    save_file(tensors, str(tmp_path / "d.safetensors"))
    with pytest.raises(BundleError, match=said):
        Domain.read(tmp_path, DomainSettings("d.safetensors", ("a",)))


def test_a_file_out_of_the_bundle_or_missing_or_damaged_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.safetensors").write_bytes(b"no tensors")
    for name, said in (("../out.safetensors", "leads out"), ("none", "has no none"), ("bad.safetensors", "damaged")):
        with pytest.raises(BundleError, match=said):
            Domain.read(tmp_path / "in", DomainSettings(name, ("a",)))


def test_a_layer_that_is_not_there_is_named(bundle):
    with pytest.raises(BundleError, match="no layer 'encoder'"):
        answers_and_features(classifier_of(bundle, device="cpu"), torch.zeros(1, 1, 48, 48), ["encoder"])


def test_a_network_that_is_run_window_by_window_cannot_be_compared(bundle):
    """Two passes on an image would give two rows of features."""
    classifier = classifier_of(bundle, device="cpu")
    inner = classifier.logits_of_batch
    classifier.logits_of_batch = lambda images: (inner(images) + inner(images)) / 2
    with pytest.raises(BundleError, match="runs 6 times on 3 image"):
        answers_and_features(classifier, torch.rand(3, 1, 48, 48), LAYERS)
