"""Log-odds against probabilities, batches, memory that runs out, and the network left as it was found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from camlime.classifier import Classifier, log_odds
from camlime.device import select_device
from camlime.errors import BundleError, DeviceError, RequestError

TWO = ("no", "yes")


class Small(nn.Module):
    """Convolution, batch norm, dropout, linear: everything that behaves differently in training."""

    def __init__(self, classes: int = 2, channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(-2, -1)))


class Shaped(nn.Module):
    """Answers with a function of the mean of each image."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(x.flatten(1).mean(dim=1))


class Greedy(nn.Module):
    """Runs out of memory beyond a batch size."""

    def __init__(
        self, most: int, error: type[Exception] = torch.cuda.OutOfMemoryError, words: str = "too much"
    ) -> None:
        super().__init__()
        self.most, self.error, self.words = most, error, words
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.error(self.words)
        mean = x.flatten(1).mean(dim=1)
        return torch.stack([mean, -mean], dim=1)


def classifier_of(network: nn.Module, **settings: Any) -> Classifier:
    options = {"class_names": TWO, "activation": "softmax", "device": "cpu", "batch_size": 4} | settings
    return Classifier(network, **options)


def both(mean: Tensor) -> Tensor:
    return torch.stack([mean, 2 - mean], dim=1)


@pytest.mark.parametrize(
    ("activation", "classes", "outputs"), [("softmax", 2, 2), ("softmax", 5, 5), ("sigmoid", 3, 3), ("sigmoid", 2, 1)]
)
def test_log_odds_are_those_of_the_probabilities(activation: Any, classes: int, outputs: int) -> None:
    logits = torch.randn(6, outputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    classifier = classifier_of(Small(), class_names=[f"c{i}" for i in range(classes)], activation=activation)
    probabilities = classifier.probabilities(logits)
    assert probabilities.shape == (6, classes)
    for c in range(classes):
        expected = torch.log(probabilities[:, c]) - torch.log1p(-probabilities[:, c])
        torch.testing.assert_close(classifier.log_odds(logits, c), expected, rtol=1e-9, atol=1e-9)
    if activation == "softmax" or outputs == 1:
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(6, dtype=torch.float64))


def test_log_odds_do_not_know_a_softmax_shift_and_do_not_overflow() -> None:
    logits = torch.tensor([[1000.0, 1.0, -1000.0]])
    torch.testing.assert_close(log_odds(logits, 0, "softmax"), log_odds(logits - 1000, 0, "softmax"))
    assert log_odds(logits, 2, "softmax").item() == pytest.approx(-2000)


def test_one_sigmoid_output_with_one_name_is_that_class() -> None:
    classifier = classifier_of(Shaped(lambda m: m[:, None]), class_names=("polyp",), activation="sigmoid")
    logits = classifier.logits(torch.full((1, 1, 2, 2), 0.7))
    assert classifier.log_odds(logits, 0).item() == pytest.approx(0.7)
    assert classifier.probabilities(logits).shape == (1, 1)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_class_number_that_does_not_exist_is_a_request_error(index: int) -> None:
    with pytest.raises(RequestError, match="class number"):
        classifier_of(Small()).log_odds(torch.zeros(1, 2), index)


def test_a_class_by_name() -> None:
    classifier = classifier_of(Small())
    assert classifier.class_index("yes") == 1
    with pytest.raises(RequestError, match="no, yes"):
        classifier.class_index("maybe")


@pytest.mark.parametrize("size", [1, 3, 7, 64])
def test_batches_do_not_matter(size: int) -> None:
    torch.manual_seed(0)
    network, images = Small(), torch.randn(10, 1, 8, 8)
    reference = torch.cat([copy.deepcopy(network).eval()(image[None]) for image in images]).detach()
    classifier = classifier_of(network, batch_size=size)
    logits = classifier.logits(images)
    torch.testing.assert_close(logits, reference, rtol=1e-5, atol=1e-6)
    assert logits.dtype == torch.float32
    assert not logits.requires_grad
    assert classifier.passes.forward == 10


@pytest.mark.parametrize(
    "answer",
    [
        both,
        lambda m: both(m)[:, :, None, None],
        lambda m: both(m)[:, :, None, None, None],
        lambda m: (both(m), "hidden states"),
        lambda m: [both(m)],
    ],
    ids=["N,K", "N,K,1,1", "N,K,1,1,1", "tuple", "list"],
)
def test_shapes_of_outputs(answer: Callable[[Tensor], object]) -> None:
    images = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 1, 2, 2)
    logits = classifier_of(Shaped(answer), batch_size=3).logits(images)
    assert logits.tolist() == [[float(n), 2.0 - n] for n in range(5)]


def test_an_output_without_a_batch_axis_for_one_image() -> None:
    assert classifier_of(Shaped(lambda m: both(m)[0]), batch_size=1).logits(torch.ones(2, 1, 2, 2)).shape == (2, 2)


@pytest.mark.parametrize(
    "answer",
    [
        lambda m: m[:, None, None, None].expand(-1, 2, 4, 4),
        lambda m: {"logits": both(m)},
        lambda m: both(m)[:1],
        lambda m: m.sum(),
        lambda m: torch.stack([m, m, m], dim=1),
        lambda m: m[:, None],
        lambda m: both(m) * float("nan"),
        lambda m: both(m) @ torch.ones(3, 3),
    ],
    ids=["segmentation", "dictionary", "rows lost", "scalar", "three for two", "softmax of one", "NaN", "raises"],
)
def test_what_is_no_classifier_is_a_bundle_error(answer: Callable[[Tensor], object]) -> None:
    with pytest.raises(BundleError):
        classifier_of(Shaped(answer)).logits(torch.ones(3, 1, 2, 2))


def test_a_wrong_channel_count_is_a_bundle_error_and_no_pass() -> None:
    classifier = classifier_of(Small(channels=3))
    with pytest.raises(BundleError, match="fails on an image of shape"):
        classifier.logits(torch.zeros(1, 1, 8, 8))
    assert classifier.passes.forward == 0


def global_flags() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.get_float32_matmul_precision(),
        cudnn.allow_tf32,
        cudnn.benchmark,
        cudnn.deterministic,
        cudnn.enabled,
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
    )


def state_of(network: nn.Module) -> list[object]:
    training = [module.training for module in network.modules()]
    gradients = [(p.requires_grad, None if p.grad is None else p.grad.tolist()) for p in network.parameters()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()]
    return [training, gradients, hooks, {name: t.tolist() for name, t in network.state_dict().items()}]


def used_network() -> nn.Module:
    """In training, half frozen, with gradients lying about."""
    torch.manual_seed(0)
    network = Small().train()
    network.features[1].eval()
    network.features[0].bias.requires_grad_(False)
    network(torch.randn(2, 1, 8, 8)).sum().backward()
    return network


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("raises", [False, True])
def test_network_and_settings_are_left_as_found(raises: bool, precision: Any) -> None:
    network = used_network()
    before_setting = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.benchmark = True
    try:
        state, flags = state_of(network), global_flags()
        classifier = classifier_of(network)
        images = torch.randn(3, 1 if not raises else 2, 8, 8, requires_grad=True)
        with pytest.raises(BundleError) if raises else nullcontext():
            classifier.logits(images)
        assert (state_of(network), global_flags()) == (state, flags)
        with pytest.raises(BundleError) if raises else nullcontext(), classifier.gradients():
            assert not any(p.requires_grad for p in network.parameters())
            assert not any(module.training for module in network.modules())
            assert torch.get_float32_matmul_precision() == "highest"
            answers = classifier.forward(images)
            torch.autograd.grad(answers.sum(), images)
        assert (state_of(network), global_flags()) == (state, flags)
        assert images.grad is None
    finally:
        torch.backends.cudnn.benchmark = False
        torch.set_float32_matmul_precision(before_setting)


NEWER_SWITCHES = """
import torch
from camlime.device import repeatable_arithmetic
matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
torch.set_float32_matmul_precision("high")
for wanted in (("ieee", "tf32"), ("tf32", "ieee"), ("ieee", "ieee")):  # torch may refuse to read its older switches now
    matmul.fp32_precision, conv.fp32_precision = wanted
    with repeatable_arithmetic():
        assert "tf32" not in (matmul.fp32_precision, conv.fp32_precision)
    assert (matmul.fp32_precision, conv.fp32_precision) == wanted, wanted
rnn = torch.backends.cudnn.rnn
rnn.fp32_precision = "tf32"
with repeatable_arithmetic():
    assert rnn.fp32_precision == "ieee"
assert rnn.fp32_precision == "tf32"
"""


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="this torch has the old switches only"
)
def test_torchs_newer_precision_switches_are_no_trouble(run_python: Callable[[str], str]) -> None:
    run_python(NEWER_SWITCHES)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, nullcontext])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_in_any_mode_of_the_caller(mode: Callable[[], Any], frozen: bool) -> None:
    torch.manual_seed(0)
    network = Small().train().requires_grad_(not frozen)
    image = torch.randn(2, 1, 8, 8)
    leaf = image.clone().requires_grad_(True)
    expected = torch.autograd.grad(copy.deepcopy(network).eval()(leaf)[:, 1].sum(), leaf)[0]
    classifier = classifier_of(network)
    with mode():
        classifier.logits(image)  # must leave nothing in the network that a gradient could not pass
        with classifier.gradients():
            batch = image.clone().requires_grad_(True)
            gradient = torch.autograd.grad(classifier.forward(batch)[:, 1].sum(), batch)[0]
    torch.testing.assert_close(gradient, expected)
    assert all(p.requires_grad is not frozen for p in network.parameters())


def test_a_network_may_keep_what_it_computed_once() -> None:
    """A cache that was filled while answering must still serve gradients, the caller's training included."""

    class Caching(Small):
        kept: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.kept is None:
                self.kept = torch.linspace(0.5, 1, x.shape[-1])
            return super().forward(x * self.kept)

    network = Caching()
    with torch.inference_mode():
        classifier_of(network).logits(torch.randn(2, 1, 8, 8))
    image = torch.randn(2, 1, 8, 8, requires_grad=True)
    network(image).sum().backward()
    assert image.grad is not None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.cuda.OutOfMemoryError, "CUDA out of memory"),
        (RuntimeError, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        (RuntimeError, "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
)
def test_batches_are_halved_when_memory_runs_out_and_stay_so(error: type[Exception], words: str) -> None:
    network = Greedy(3, error, words)
    classifier = classifier_of(network, batch_size=10)
    images = torch.arange(20.0).reshape(20, 1, 1, 1)
    logits = classifier.logits(images)
    assert logits[:, 0].tolist() == list(range(20))
    assert network.sizes[:3] == [10, 5, 3]
    assert classifier.passes.forward == 20
    network.sizes.clear()
    classifier.logits(images)
    assert max(network.sizes) <= 3
    assert classifier.batch_size(images[0]) <= 3


def test_not_even_one_image_in_memory_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="one image"):
        classifier_of(Greedy(0)).logits(torch.zeros(5, 1, 2, 2))


def test_batch_size_tuning_counts_no_passes_and_survives_little_memory() -> None:
    network = Greedy(5)
    classifier = classifier_of(network, batch_size=None)
    image = torch.zeros(1, 4, 4)
    size = classifier.batch_size(image)
    assert 1 <= size <= 4
    assert (classifier.passes.forward, classifier.passes.backward) == (0, 0)
    tuned = len(network.sizes)
    assert classifier.batch_size(image) == size
    assert len(network.sizes) == tuned
    assert classifier.logits(torch.zeros(9, 1, 4, 4)).shape == (9, 2)


def test_batch_size_tuning_prefers_the_least_time_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that says: a pass costs 4 ticks and 1 an image up to 8 images, beyond 4 an image."""
    now = 0.0
    monkeypatch.setattr("camlime.classifier.time.perf_counter", lambda: now)

    def answer(mean: Tensor) -> Tensor:
        nonlocal now
        now += 4 + (len(mean) if len(mean) <= 8 else 4 * len(mean))
        return both(mean)

    assert classifier_of(Shaped(answer), batch_size=None).batch_size(torch.zeros(1, 2, 2)) == 8


def test_the_callers_network_error_while_tuning_is_not_swallowed() -> None:
    classifier = classifier_of(Small(channels=3), batch_size=None)
    with pytest.raises(BundleError):
        classifier.batch_size(torch.zeros(1, 8, 8))


def test_an_inferer_is_used() -> None:
    seen: list[int] = []

    def inferer(batch: Tensor, network: nn.Module) -> Tensor:
        seen.append(len(batch))
        return 2 * network(batch)

    logits = classifier_of(Shaped(both), inferer=inferer).logits(torch.ones(5, 1, 2, 2))
    assert seen == [4, 1]
    assert logits.tolist() == [[2.0, 2.0]] * 5


def test_mixed_precision_is_near_and_gradients_are_taken_without_it() -> None:
    torch.manual_seed(0)
    network, images = Small(), torch.randn(4, 1, 8, 8)
    full, mixed = classifier_of(network), classifier_of(network, amp=True)
    difference = (full.logits(images) - mixed.logits(images)).abs().max().item()
    assert 0 < difference < 0.02
    with mixed.gradients():
        exact = mixed.forward(images)
    assert torch.equal(exact, full.logits(images))


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "mps", "cuda:-2", ""])
def test_a_device_that_is_not_there_is_a_device_error(name: str) -> None:
    with pytest.raises(DeviceError):
        select_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_without_a_gpu_is_a_device_error_and_auto_is_the_cpu() -> None:
    with pytest.raises(DeviceError, match="no CUDA GPU"):
        classifier_of(Small(), device="cuda")
    assert select_device("auto") == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_on_the_gpu_a_copy_is_used_and_answers_are_the_same() -> None:
    network, images = Small(), torch.randn(5, 1, 8, 8)
    on_gpu = classifier_of(network, device="cuda")
    assert next(network.parameters()).device.type == "cpu"
    np.testing.assert_allclose(on_gpu.logits(images), classifier_of(network).logits(images), atol=1e-5)


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_size_that_is_none_is_a_request_error(size: int) -> None:
    with pytest.raises(RequestError):
        classifier_of(Small(), batch_size=size)
