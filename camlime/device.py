"""The device that a network runs on: which one, arithmetic that repeats itself there, and running out of its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from camlime.errors import DeviceError

NO_MEMORY_WORDS = ("out of memory", "can't allocate memory", "_ALLOC_FAILED")
"""How torch, cuDNN and cuBLAS say that memory ran out where they do not raise ``OutOfMemoryError``."""


def select_device(name: str = "auto") -> torch.device:
    """Return the device that ``name`` asks for: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DeviceError: there is no such device on this machine.

    Example:
        >>> select_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"'{name}' is not the name of a device", hint="use auto, cpu, cuda or cuda:N") from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise DeviceError(f"device '{name}' is not supported", hint="use auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(f"device '{name}' was asked for, but there is no CUDA GPU here", hint="use --device cpu")
    if (device.index or 0) >= count:
        raise DeviceError(f"device '{name}' is not there: this machine has {count} GPU(s)", hint="use cuda:0")
    return torch.device("cuda", torch.cuda.current_device()) if device.index is None else device


@contextmanager
def repeatable_arithmetic() -> Iterator[None]:
    """Full float32 products and deterministic cuDNN algorithms; the caller's settings restored afterwards.

    torch has older and newer switches for TF32, and reading the older may raise an error once the newer were used:
    then the newer are used, and they are restored last where torch has them.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    newer = [(matmul, "fp32_precision"), (cudnn.conv, "fp32_precision")] if hasattr(matmul, "fp32_precision") else []
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
        yield
    finally:
        if products is not None:
            torch.set_float32_matmul_precision(products)
        for owner, switch, value in before:
            setattr(owner, switch, value)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that memory ran out, on the GPU or on the CPU."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY_WORDS)
    )
