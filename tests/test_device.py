"""What goes wrong with a GPU, said as it is; and that arithmetic repeats itself there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.standin_device import Standin
from support.toy_cases import OfPresence, grid_regions
from torch import Tensor, nn

import camlime.device
from camlime.classifier import Classifier
from camlime.device import (
    chosen_device,
    failures_told,
    is_failure,
    is_out_of_memory,
    repeatable_arithmetic,
    select_device,
)
from camlime.errors import BundleError, CamlimeError, DeviceError
from camlime.worker.engine import work

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, and it works")


class Failing(nn.Module):
    """Raises from a batch of ``least`` images on."""

    def __init__(self, words: str, least: int = 1) -> None:
        super().__init__()
        self.words, self.least = words, least
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        if len(x) >= self.least:
            raise RuntimeError(self.words)
        return x.flatten(1).mean(dim=1, keepdim=True) * self.weight


def classifier(network: nn.Module, **settings: Any) -> Classifier:
    return Classifier(network, class_names=("it",), activation="sigmoid", device="cpu", **settings)


@pytest.fixture
def a_card_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch sees one; computing there fails for want of a driver, as for want of code for it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


@needs_no_gpu
@pytest.mark.usefixtures("a_card_that_does_not_work")
def test_a_card_that_does_not_work_is_an_error_if_asked_for_and_else_passed_over() -> None:
    with pytest.raises(DeviceError, match=r"the GPU cuda:0 cannot be used: .*(NVIDIA|CUDA)") as told:
        select_device("cuda")
    assert "--device cpu" in told.value.hint
    device, note = chosen_device("auto")
    assert device == torch.device("cpu") and "cannot be used" in note and note.endswith("the CPU was used")
    assert chosen_device("cpu") == (torch.device("cpu"), "")


@needs_no_gpu
@pytest.mark.usefixtures("a_card_that_does_not_work")
def test_an_explanation_says_that_the_card_was_passed_over() -> None:
    import numpy as np

    import camlime

    scan = camlime.Scan.from_array(np.random.default_rng(0).normal(size=(1, 48, 48, 20)).astype(np.float32), np.eye(4))
    found = camlime.explain(scan, "lung_nodule_ct", methods=["gradcam"], evidence_budget=0)
    assert found.provenance["device"] == "cpu"
    assert any("cannot be used" in warning and "the CPU was used" in warning for warning in found.warnings)


@needs_no_gpu
def test_where_torch_sees_no_gpu_its_reason_is_given() -> None:
    with pytest.raises(DeviceError, match=r"no CUDA GPU here: .*(NVIDIA|CUDA)"):
        select_device("cuda")


def test_a_card_is_tried_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camlime.device, "_usable", set())
    with Standin() as device:
        assert select_device("cuda") == torch.device("cuda", 0)
        tried = dict(device.operations)
        assert tried and select_device("cuda:0") == torch.device("cuda", 0)
        assert device.operations == tried


@pytest.mark.parametrize(
    ("words", "memory", "failure"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", True, False),
        ("CUDA error: out of memory", True, False),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", True, False),
        ("GET was unable to find an engine to execute this computation", True, False),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True, False),
        ("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes", True, False),
        ("CUDA error: no kernel image is available for execution on the device", False, True),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", False, True),
        ("CUDA driver error: invalid argument", False, True),
        ("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)", False, False),
    ],
)
def test_what_torch_says_is_understood(words: str, memory: bool, failure: bool) -> None:
    error = RuntimeError(words)
    assert (is_out_of_memory(error), is_failure(error)) == (memory, failure)
    expected = DeviceError if memory or failure else RuntimeError
    with pytest.raises(expected), failures_told(torch.device("cuda", 0), work="the work"):
        raise error


def test_a_gpu_that_fails_within_the_network_is_not_the_bundles_fault() -> None:
    failing = classifier(Failing("CUDA error: no kernel image is available for execution on the device\nmore"))
    with pytest.raises(DeviceError, match="failed: CUDA error: no kernel image is available for execution on the dev"):
        failing.logits(torch.zeros(1, 1, 4, 4))
    with pytest.raises(BundleError, match="the network fails"):
        classifier(Failing("shapes cannot be multiplied")).logits(torch.zeros(1, 1, 4, 4))


def test_a_batch_that_is_too_large_for_an_operation_is_not_chosen() -> None:
    network = Failing("Expected canUse32BitIndexMath(input) to be true, but got false", least=4)
    assert classifier(network).batch_size(torch.zeros(1, 4, 4)) in {1, 2}


def test_gradients_that_do_not_fit_do_not_make_batches_of_answers_smaller() -> None:
    images = torch.zeros(8, 1, 4, 4)
    asked = classifier(OfPresence(grid_regions((4, 4), 4), lambda p: p.sum(dim=1)), batch_size=8)
    seen: list[int] = []

    def work_on(part: Tensor) -> int:
        seen.append(len(part))
        if len(part) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return len(part)

    assert asked.in_parts(images, work_on, images[0], gradients=True) == [2, 2, 2, 2]
    assert seen == [8, 4, 2, 2, 4, 2, 2]
    assert (asked.batch_size(images[0]), asked.batch_size(images[0], gradients=True)) == (8, 2)


@pytest.mark.parametrize("mode", ["default", "warn", "error"])
def test_on_a_gpu_sums_are_in_a_fixed_order_and_the_callers_setting_is_restored(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.set_deterministic_debug_mode(mode)
    try:
        before = torch.get_deterministic_debug_mode()
        with pytest.raises(KeyError), repeatable_arithmetic():
            assert torch.are_deterministic_algorithms_enabled()
            raise KeyError
        assert torch.get_deterministic_debug_mode() == before
        assert torch.utils.deterministic.fill_uninitialized_memory == filled
    finally:
        torch.set_deterministic_debug_mode("default")


def test_a_recurrent_network_has_gradients_without_cudnn() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head, self.cudnn = nn.GRU(4, 3, batch_first=True), nn.Linear(3, 1), True

        def forward(self, x: Tensor) -> Tensor:
            self.cudnn = torch.backends.cudnn.enabled
            return self.head(self.rnn(x[:, 0])[0][:, -1])

    network = Recurrent().eval()
    asked = classifier(network, batch_size=2)
    asked.logits(torch.zeros(1, 1, 4, 4))
    assert network.cudnn
    with asked.gradients():
        asked.forward(torch.zeros(1, 1, 4, 4).requires_grad_(True)).sum().backward()
    assert not network.cudnn and torch.backends.cudnn.enabled


class Line:
    """The line to and from the worker, with one request."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def write(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def cancelled(self, name: str) -> bool:
        return False


def worked(monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Exception | None) -> tuple[list[str], list[str]]:
    """Events of a request that ends in an error; and what was done about the models."""
    line: Any = Line()
    done: list[str] = []

    def fail(task: Any, warm: Any) -> Any:
        raise error from cause

    monkeypatch.setattr(work, "answer", fail)
    engine = work.Engine(line, line, started=0.0)
    monkeypatch.setattr(engine._warm, "clear", lambda: done.append("cleared"))
    try:
        engine._do({"id": "1", "request": "classify"})
    except SystemExit as end:
        done.append(f"exit {end.code}")
    return [event.get("kind", event["event"]) for event in line.events], done


@pytest.mark.parametrize(
    ("error", "cause", "events", "done"),
    [
        (DeviceError("cuda:0 failed"), RuntimeError("CUDA error: launch failure"), ["device"], ["exit 1"]),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), None, ["defect"], ["exit 1"]),
        (
            DeviceError("does not fit"),
            torch.cuda.OutOfMemoryError("CUDA out of memory"),
            ["device", "idle"],
            ["cleared"],
        ),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), None, ["memory", "idle"], ["cleared"]),
        (BundleError("bad"), RuntimeError("shapes"), ["bundle", "idle"], []),
    ],
)
def test_the_worker_starts_anew_after_a_gpu_failed_and_lets_go_of_models_if_it_was_full(
    monkeypatch: pytest.MonkeyPatch,
    error: CamlimeError,
    cause: Exception | None,
    events: list[str],
    done: list[str],
) -> None:
    assert worked(monkeypatch, error, cause) == (events, done)
