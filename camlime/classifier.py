"""A trained classifier as the methods need it: images in, logits out, and the network left as it was found."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from camlime.errors import BundleError, DeviceError, RequestError

Activation = Literal["softmax", "sigmoid"]
Inferer = Callable[[Tensor, nn.Module], Tensor]

LARGEST_TUNED_BATCH = 64
"""Beyond this, throughput of the networks we measured no longer grows, and the first answer comes late."""

WORTHWHILE_GAIN = 0.97
"""A larger batch must cost less than this share of the smaller one's time per image to be preferred."""


@dataclass
class PassCounter:
    """How many images went forward and backward through the network; one backward costs about two forward."""

    forward: int = 0
    backward: int = 0

    @property
    def equivalents(self) -> int:
        """Pass-equivalents: forward passes plus two for each backward pass."""
        return self.forward + 2 * self.backward


def select_device(name: str = "auto") -> torch.device:
    """Return the device that ``name`` asks for: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DeviceError: there is no such device on this machine.

    Example:
        >>> select_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
    return device


def log_odds(logits: Tensor, class_index: int, activation: Activation, *, two_classes: bool = False) -> Tensor:
    r"""Log-odds of one class against all others.

    For a softmax, :math:`\log\frac{p_c}{1-p_c} = z_c - \log\sum_{k\ne c} e^{z_k}`, which unlike the logit :math:`z_c` alone
    does not depend on the arbitrary shift that a softmax ignores; for a sigmoid, the logit itself.

    Args:
        logits: shape ``(N, K)``.
        class_index: the class ``c``.
        activation: how the network's outputs become probabilities.
        two_classes: a single output stands for two classes, (absent, present); then class 0 has the negated logit.

    Returns:
        Shape ``(N,)``; differentiable.

    Example:
        >>> log_odds(torch.tensor([[0.0, 2.0]]), 1, "softmax")
        tensor([2.])
    """
    if logits.shape[1] == 1:
        return -logits[:, 0] if two_classes and class_index == 0 else logits[:, 0]
    if activation == "sigmoid":
        return logits[:, class_index]
    others = torch.cat([logits[:, :class_index], logits[:, class_index + 1 :]], dim=1)
    return logits[:, class_index] - torch.logsumexp(others, dim=1)


class Classifier:
    """A network on a device that answers with logits, in batches of the best size.

    The network is used in eval mode and restored after each call; on another device a copy is used, so that the
    caller's network stays where and as it was.

    Args:
        network: takes ``(N, C, *S)`` and returns ``(N, K)``, or any shape that flattens to it, such as ``(N, K, 1, 1)``.
        class_names: one name a class. Two names with a single sigmoid output mean (absent, present).
        activation: ``softmax`` or ``sigmoid``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        amp: mixed precision (float16 on a GPU, bfloat16 on the CPU). Faster on some GPUs; log-odds then carry a relative
            error of about 1e-2 (bfloat16) or 1e-3 (float16), and bit-for-bit repeatability is not promised.
        batch_size: images a forward pass; measured on first use if ``None``.
        inferer: a MONAI inferer; ``None`` calls the network itself.

    Raises:
        DeviceError: the device is not there.

    Example:
        >>> from monai.networks.nets import resnet10
        >>> classifier = Classifier(resnet10(spatial_dims=3, n_input_channels=1, num_classes=2),
        ...                         class_names=("benign", "malignant"), activation="softmax", device="cpu", batch_size=2)
        >>> classifier.logits(torch.zeros(5, 1, 32, 32, 32)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        class_names: Sequence[str],
        activation: Activation,
        device: str = "auto",
        amp: bool = False,
        batch_size: int | None = None,
        inferer: Inferer | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise RequestError(f"batch size {batch_size} is not a positive number", hint="leave it out to have it measured")
        self.device = select_device(device)
        self.network = self._on_device(network)
        self.class_names = tuple(class_names)
        self.activation: Activation = activation
        self.amp = amp
        self.inferer = inferer
        self.passes = PassCounter()
        self._batch_size = batch_size
        self._tuned: dict[tuple[int, ...], int] = {}

    def _on_device(self, network: nn.Module) -> nn.Module:
        tensors = [*network.parameters(), *network.buffers()]
        if all(t.device == self.device or (t.device.type == self.device.type == "cpu") for t in tensors):
            return network
        try:
            return copy.deepcopy(network).to(self.device)
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(f"the network does not fit into the memory of {self.device}", hint="use --device cpu") from error

    def class_index(self, name: str) -> int:
        """Return the index of a class.

        Raises:
            RequestError: there is no such class; the message lists those there are.
        """
        if name in self.class_names:
            return self.class_names.index(name)
        raise RequestError(f"there is no class '{name}'", hint="classes: " + ", ".join(self.class_names))

    def log_odds(self, logits: Tensor, class_index: int) -> Tensor:
        """Log-odds of a class from logits ``(N, K)``, shape ``(N,)``; see :func:`log_odds`."""
        return log_odds(logits, class_index, self.activation, two_classes=len(self.class_names) == 2)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities by class from logits ``(N, K)``, shape ``(N, number of classes)``."""
        if self.activation == "softmax":
            return torch.softmax(logits, dim=1)
        present = torch.sigmoid(logits)
        if logits.shape[1] == 1 and len(self.class_names) == 2:
            return torch.cat([1 - present, present], dim=1)
        return present

    @contextmanager
    def as_in_use(self) -> Iterator[None]:
        """Eval mode and repeatable arithmetic while it lasts; training flags and global settings restored afterwards."""
        training = [(module, module.training) for module in self.network.modules()]
        matmul_tf32 = torch.backends.cuda.matmul.allow_tf32
        self.network.eval()
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
            for module, was_training in training:
                module.training = was_training

    @contextmanager
    def gradients(self) -> Iterator[None]:
        """Enable gradients with respect to images and activations, whatever the caller's mode.

        Inside, the parameters are frozen (no gradient of theirs is computed, which saves time and leaves their ``.grad``
        alone) and the network is in eval mode; the caller makes the *input* require gradients. All flags are restored.
        """
        flags = [(parameter, parameter.requires_grad) for parameter in self.network.parameters()]
        with torch.inference_mode(False), torch.enable_grad(), self.as_in_use():
            for parameter, _ in flags:
                parameter.requires_grad_(False)
            try:
                yield
            finally:
                for parameter, required in flags:
                    parameter.requires_grad_(required)

    def forward(self, batch: Tensor) -> Tensor:
        """One pass of ``(N, C, *S)``, already on the device: logits ``(N, K)`` on the device, in the caller's grad mode.

        Raises:
            BundleError: the network does not accept this input, or its output is not one row of classes an image.
        """
        self.passes.forward += batch.shape[0]
        kind = torch.float16 if self.device.type == "cuda" else torch.bfloat16
        with torch.autocast(self.device.type, dtype=kind) if self.amp else nullcontext():
            output = self.network(batch) if self.inferer is None else self.inferer(batch, self.network)
        return as_rows(output, batch.shape[0])

    def logits(self, images: Tensor) -> Tensor:
        """Logits of images ``(N, C, *S)`` on any device: ``(N, K)`` float32 on the CPU, without gradients.

        Raises:
            DeviceError: even a single image does not fit into the device's memory.
        """
        rows: list[Tensor] = []
        start = 0
        while start < len(images):
            size = self.batch_size(images[0])
            rows.append(self.logits_of_batch(images[start : start + size]))
            start += len(rows[-1])
        return torch.cat(rows)

    def logits_of_batch(self, images: Tensor) -> Tensor:
        """As :meth:`logits`, in one pass; if memory runs out, the batch is halved, also for all later calls."""
        parts = [images]
        rows: list[Tensor] = []
        while parts:
            part = parts.pop(0)
            try:
                with torch.inference_mode(), self.as_in_use():
                    rows.append(self.forward(part.to(self.device)).float().cpu())
            except torch.cuda.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                if len(part) == 1:
                    raise DeviceError(
                        f"one image of shape {tuple(part.shape[1:])} does not fit into the memory of {self.device}",
                        hint="use --device cpu",
                    ) from error
                half = (len(part) + 1) // 2
                self._limit_batch(part[0], half)
                parts[:0] = [part[:half], part[half:]]
        return torch.cat(rows)

    def _limit_batch(self, image: Tensor, size: int) -> None:
        if self._batch_size is not None:
            self._batch_size = min(self._batch_size, size)
        self._tuned[tuple(image.shape)] = size

    def batch_size(self, image: Tensor) -> int:
        """The batch size for images like this one ``(C, *S)``: the given one, or the fastest per image, measured once."""
        if self._batch_size is not None:
            return self._batch_size
        shape = tuple(image.shape)
        if shape not in self._tuned:
            self._tuned[shape] = self._measure_batch_size(image)
        return self._tuned[shape]

    def _measure_batch_size(self, image: Tensor) -> int:
        """Double the batch while an image gets cheaper; larger batches can be slower on a CPU, so this is measured."""
        passes = copy.copy(self.passes)
        best_size, best_time, size = 1, float("inf"), 1
        try:
            while size <= LARGEST_TUNED_BATCH:
                batch = image.detach().expand(size, *image.shape).to(self.device).contiguous()
                try:
                    seconds = min(self._seconds(batch) for _ in range(3 if size > 1 else 4)) / size
                except torch.cuda.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    break
                if seconds < best_time * WORTHWHILE_GAIN:
                    best_size, best_time = size, seconds
                elif size >= 4 * best_size:
                    break
                size *= 2
        finally:
            self.passes.forward, self.passes.backward = passes.forward, passes.backward
        return best_size

    def _seconds(self, batch: Tensor) -> float:
        with torch.inference_mode(), self.as_in_use():
            start = time.perf_counter()
            self.forward(batch)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            return time.perf_counter() - start


def as_rows(output: object, count: int) -> Tensor:
    """Flatten a classifier's output to ``(count, K)``.

    Raises:
        BundleError: it is not a tensor with one row of classes an image.
    """
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise BundleError(f"the network returned {type(output).__name__}, not a tensor of logits")
    if output.ndim == 1 and count == 1:
        return output[None]
    if output.ndim == 0 or output.shape[0] != count or output[0].numel() != (output.shape[1] if output.ndim > 1 else 1):
        raise BundleError(
            f"the network's output has shape {tuple(output.shape)} for {count} image(s), which is not one row of classes",
            hint="only classifiers can be explained; a segmentation network is none",
        )
    rows: Tensor = output.as_tensor() if hasattr(output, "as_tensor") else output
    return rows.reshape(count, -1)

