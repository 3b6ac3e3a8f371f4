"""The device that a network runs on: which one, arithmetic that repeats itself there, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import deterministic

from camlime.errors import DeviceError

NO_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "_ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "unable to find an engine to execute",
    "CUBLAS_STATUS_NOT_INITIALIZED",
)
"""How torch, cuDNN and cuBLAS say that memory ran out where they do not raise ``OutOfMemoryError``."""

FAILURE_WORDS = ("CUDA error", "CUDA driver error", "cuDNN error", "NVIDIA driver", "CUBLAS_STATUS", "CUDNN_STATUS")
"""How they say that the GPU failed, whatever the network."""

_usable: set[torch.device] = set()
"""GPUs that have worked in this process."""


def select_device(name: str = "auto") -> torch.device:
    """Return the device that ``name`` asks for: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    A GPU is tried out on first use: torch also sees those that it has no code for.

    Raises:
        DeviceError: there is no such device on this machine, or it does not work.

    Example:
        >>> select_device("cpu")
        device(type='cpu')
    """
    return chosen_device(name)[0]


def chosen_device(name: str = "auto") -> tuple[torch.device, str]:
    """As :func:`select_device`; with it, why ``auto`` did not take a GPU that there is (else empty)."""
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu"), ""
        try:
            return select_device("cuda"), ""
        except DeviceError as error:
            return torch.device("cpu"), f"{error.message}; the CPU was used"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"'{name}' is not the name of a device", hint="use auto, cpu, cuda or cuda:N") from error
    if device.type == "cpu":
        return device, ""
    if device.type != "cuda":
        raise DeviceError(f"device '{name}' is not supported", hint="use auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(
            f"device '{name}' was asked for, but there is no CUDA GPU here: {_why_none()}", hint="use --device cpu"
        )
    if (device.index or 0) >= count:
        raise DeviceError(f"device '{name}' is not there: this machine has {count} GPU(s)", hint="use cuda:0")
    if device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    _try_out(device)
    return device, ""


def _why_none() -> str:
    """What torch says when it is made to look for a GPU."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return "torch sees none"


def _try_out(device: torch.device) -> None:
    """Compute something on a GPU, once in a process.

    Raises:
        DeviceError: it cannot, as on a card that this torch has no code for, or one that is full.
    """
    if device in _usable:
        return
    try:
        (torch.zeros(2, device=device) + 1).cpu()
    except Exception as error:  # torch has an error of its own that is no RuntimeError for what it had put off
        raise DeviceError(
            f"the GPU {device} cannot be used: {first_line(error)}",
            hint="use --device cpu, or install a torch that is built for this GPU",
        ) from error
    _usable.add(device)


def device_title(device: torch.device) -> str:
    """What computes there, as far as results may depend on it: ``CPU``, or the GPU with CUDA's and cuDNN's versions."""
    if device.type == "cpu":
        return "CPU"
    name = torch.cuda.get_device_name(device)
    return f"{name}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextmanager
def repeatable_arithmetic() -> Iterator[None]:
    """Full float32 products and algorithms that add in a fixed order; the caller's settings restored afterwards.

    On a GPU that also holds for torch's own operations, as far as it has such algorithms; it warns where it has none.

    torch has older and newer switches for TF32, and reading the older may raise an error once the newer were used:
    then the newer are used, and they are restored last where torch has them.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    owners = [owner for owner in (matmul, cudnn.conv, cudnn.rnn) if hasattr(owner, "fp32_precision")]
    newer = [(owner, "fp32_precision") for owner in owners]
    wanted: list[tuple[Any, str, object]] = [(cudnn, "benchmark", False), (cudnn, "deterministic", True)]
    products: str | None = None
    try:
        products, _ = torch.get_float32_matmul_precision(), cudnn.allow_tf32
        wanted.append((cudnn, "allow_tf32", False))
    except RuntimeError:
        products = None
        wanted += [(owner, switch, "ieee") for owner, switch in newer]
    before = [(owner, switch, getattr(owner, switch)) for owner, switch, _ in wanted]
    before += [(owner, switch, getattr(owner, switch)) for owner, switch in newer]
    try:
        for owner, switch, value in wanted:
            setattr(owner, switch, value)
        if products is not None:
            torch.set_float32_matmul_precision("highest")
        with _fixed_order():
            yield
    finally:
        if products is not None:
            torch.set_float32_matmul_precision(products)
        for owner, switch, value in before:
            setattr(owner, switch, value)


@contextmanager
def _fixed_order() -> Iterator[None]:
    """Torch's deterministic algorithms, where a GPU is in use: on the CPU they are no others, and cost time."""
    if not torch.cuda.is_initialized() or torch.get_deterministic_debug_mode():
        yield
        return
    filled = deterministic.fill_uninitialized_memory
    try:
        torch.set_deterministic_debug_mode("warn")
        deterministic.fill_uninitialized_memory = False  # which finds errors, and takes as long as a pass
        yield
    finally:
        torch.set_deterministic_debug_mode("default")
        deterministic.fill_uninitialized_memory = filled


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that memory ran out, on the GPU or on the CPU."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY_WORDS)
    )


def is_failure(error: BaseException) -> bool:
    """Whether torch says that the GPU itself failed; the process may not be able to use it again."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    kind = getattr(torch, "AcceleratorError", None)
    return (kind is not None and isinstance(error, kind)) or any(words in str(error) for words in FAILURE_WORDS)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


@contextmanager
def failures_told(device: torch.device, *, work: str = "") -> Iterator[None]:
    """Turn what torch raises where a GPU fails into a DeviceError; where ``work`` is named, also if it has no room."""
    try:
        yield
    except RuntimeError as error:
        if is_failure(error):
            raise DeviceError(f"{device} failed: {first_line(error)}", hint="use --device cpu") from error
        if work and is_out_of_memory(error):
            raise no_room(device, work) from error
        raise


def no_room(device: torch.device, what: str) -> DeviceError:
    """The error for something that does not fit into the device's memory."""
    return DeviceError(
        f"{what} does not fit into the memory of {device}",
        hint="use a smaller image" if device.type == "cpu" else "use --device cpu",
    )
