"""A trained classifier as the methods need it: images in, logits out, and the network left as it was found."""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from camlime.device import (
    chosen_device,
    failures_told,
    first_line,
    is_failure,
    is_out_of_memory,
    no_room,
    repeatable_arithmetic,
)
from camlime.errors import BundleError, RequestError
from camlime.outputs import Activation, as_rows, checked_finite, log_odds

Inferer = Callable[[Tensor, nn.Module], Tensor]
Result = TypeVar("Result")

LARGEST_TUNED_BATCH = 64
"""Beyond this, throughput of the networks we measured no longer grows, and the first answer comes late."""

WORTHWHILE_GAIN = 0.97
"""A larger batch must cost less than this share of the smaller one's time per image to be preferred."""

TUNING_SECONDS = 0.3
"""Each batch size is timed up to three times, but no further once it has taken this long."""

CPU_VOXELS_AT_ONCE = 1 << 24
"""Voxels in a tuned batch on the CPU, where running out of memory ends the process instead of raising an error."""


@dataclass
class PassCounter:
    """How many images went forward and backward through the network; one backward costs about two forward."""

    forward: int = 0
    backward: int = 0

    @property
    def equivalents(self) -> int:
        """Pass-equivalents: forward passes plus two for each backward pass."""
        return self.forward + 2 * self.backward


class Classifier:
    """A network on a device that answers with logits, in batches of the best size.

    The network is used in eval mode and restored after each call; on another device, and where its weights were made in
    inference mode, a copy is used, so that the caller's network stays where and as it was.

    Args:
        network: takes ``(N, C, *S)`` and returns ``(N, K)``, or any shape that flattens to it, such as ``(N, K, 1,
            1)``.
        class_names: one name a class. Two names with a single sigmoid output mean (absent, present).
        activation: ``softmax`` or ``sigmoid``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        amp: mixed precision (float16 on a GPU, bfloat16 on the CPU). Faster on some GPUs; log-odds then carry a
            relative error of about 1e-2 (bfloat16) or 1e-3 (float16), and bit-for-bit repeatability is not promised.
        batch_size: images a forward pass; measured on first use if ``None``.
        inferer: a MONAI inferer; ``None`` calls the network itself.

    Raises:
        DeviceError: the device is not there.

    Example:
        >>> from monai.networks.nets import resnet10
        >>> classifier = Classifier(resnet10(spatial_dims=3, n_input_channels=1, num_classes=2),
        ...                         class_names=("benign", "malignant"), activation="softmax", device="cpu")
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
            raise RequestError(
                f"batch size {batch_size} is not a positive number", hint="leave it out to have it measured"
            )
        self.device, self.device_note = chosen_device(device)
        self.network = self._on_device(network)
        self.class_names = tuple(class_names)
        self.activation: Activation = activation
        self.amp = amp
        self.inferer = inferer
        self.passes = PassCounter()
        self._batch_size = batch_size
        self._tuned: dict[tuple[int, ...], int] = {}
        self._most_gradients: dict[tuple[int, ...], int] = {}

    def _on_device(self, network: nn.Module) -> nn.Module:
        tensors = [*network.parameters(), *network.buffers()]
        if all(t.device == self.device and not t.is_inference() for t in tensors):
            return network
        try:
            with torch.inference_mode(False):  # whose tensors could serve no gradient
                return copy.deepcopy(network).to(self.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise no_room(self.device, "the network") from error

    def class_index(self, name: str) -> int:
        """Return the index of a class.

        Raises:
            RequestError: there is no such class; the message lists those there are.
        """
        if name in self.class_names:
            return self.class_names.index(name)
        raise RequestError(f"there is no class '{name}'", hint="classes: " + ", ".join(self.class_names))

    def log_odds(self, logits: Tensor, class_index: int) -> Tensor:
        """Log-odds of a class from logits ``(N, K)``, shape ``(N,)``; see :func:`log_odds`.

        Raises:
            RequestError: there is no class of this number.
        """
        if not 0 <= class_index < len(self.class_names):
            raise RequestError(
                f"there is no class number {class_index}", hint=f"classes are 0 to {len(self.class_names) - 1}"
            )
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
        """Eval mode and repeatable arithmetic; training flags and global settings restored afterwards."""
        training = [module for module in self.network.modules() if module.training]
        try:
            if training:
                self.network.eval()
            with repeatable_arithmetic():
                yield
        finally:
            for module in training:
                module.training = True

    @contextmanager
    def gradients(self) -> Iterator[None]:
        """Enable gradients with respect to images and activations, whatever the caller's mode.

        Inside, the parameters are frozen (no gradient of theirs is computed, which saves time and leaves their
        ``.grad`` alone) and the network is in eval mode; the caller makes the *input* require gradients. All flags
        are restored.
        """
        flags = [(parameter, parameter.requires_grad) for parameter in self.network.parameters()]
        cudnn, enabled = torch.backends.cudnn, torch.backends.cudnn.enabled
        with torch.inference_mode(False), torch.enable_grad(), self.as_in_use():
            for parameter, _ in flags:
                parameter.requires_grad_(False)
            try:
                if any(isinstance(module, nn.RNNBase) for module in self.network.modules()):
                    cudnn.enabled = False  # which gives a recurrent network's gradients in training mode alone
                yield
            finally:
                cudnn.enabled = enabled
                for parameter, required in flags:
                    parameter.requires_grad_(required)

    def forward(self, batch: Tensor) -> Tensor:
        """One pass of ``(N, C, *S)`` on the device: logits ``(N, K)`` on the device, in the caller's grad mode.

        Mixed precision is for answers alone: gradients are taken in full precision, since those of float16 underflow.

        Raises:
            BundleError: the network fails on this input, or its output is not one row of classes an image.
        """
        kind = torch.float16 if self.device.type == "cuda" else torch.bfloat16
        mixed = self.amp and not torch.is_grad_enabled()
        try:
            with torch.autocast(self.device.type, dtype=kind) if mixed else nullcontext():
                output = self.network(batch) if self.inferer is None else self.inferer(batch, self.network)
        except (RuntimeError, ValueError, TypeError) as error:
            if is_out_of_memory(error) or is_failure(error):
                raise
            raise BundleError(
                f"the network fails on an image of shape {tuple(batch.shape[1:])}: {first_line(error)}",
                hint="does the preprocessing make the channels and the size that the network expects?",
            ) from error
        self.passes.forward += batch.shape[0]
        rows = as_rows(output, batch.shape[0])
        single_output = rows.shape[1] == 1 and len(self.class_names) == 2 and self.activation == "sigmoid"
        if rows.shape[1] != len(self.class_names) and not single_output:
            raise BundleError(
                f"the network answers with {rows.shape[1]} logit(s), which does not fit {len(self.class_names)} class "
                f"name(s) and a {self.activation}",
                hint="classes: " + ", ".join(self.class_names),
            )
        return rows

    def logits(self, images: Tensor) -> Tensor:
        """Logits of images ``(N, C, *S)`` on any device: ``(N, K)`` float32 on the CPU, without gradients.

        Raises:
            DeviceError: even a single image does not fit into the device's memory.
        """
        return self.logits_of_made(images, lambda part: part, images[0])

    def logits_of_made(self, rows: Tensor, make: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        """As :meth:`logits`, of images that are made a batch at a time, on the device, where they may be too many.

        Args:
            rows: ``(N, ...)``, what the images are made from.
            make: gives images ``(n, C, *S)`` for some of the rows.
            image: ``(C, *S)``, one like those that are made.

        Raises:
            DeviceError: as :meth:`logits`.
        """
        found: list[Tensor] = []
        start = 0
        while start < len(rows):
            part = rows[start : start + self.batch_size(image)]
            found += self.in_parts(part, lambda some: self._answers(make(some)), image)
            start += len(part)
        return torch.cat(found)

    def logits_of_batch(self, images: Tensor) -> Tensor:
        """As :meth:`logits`, in one pass; if memory runs out, the batch is halved, also for all later calls."""
        return torch.cat(self.in_parts(images, self._answers, images[0]))

    def _answers(self, images: Tensor) -> Tensor:
        with failures_told(self.device), torch.inference_mode(False), torch.no_grad(), self.as_in_use():
            return checked_finite(self.forward(images.to(self.device)).float().cpu())

    def in_parts(
        self, rows: Tensor, work: Callable[[Tensor], Result], image: Tensor, *, gradients: bool = False
    ) -> list[Result]:
        """Do ``work`` on all rows at once or, where memory runs out, on halves of them (and so on), in order.

        Args:
            rows: ``(N, ...)``, one for each image.
            work: is done again on both halves where memory ran out, so it must leave nothing half-done.
            image: ``(C, *S)``, one like those that work is done on.
            gradients: are taken in the work; what there was no memory for then limits gradients alone.

        Raises:
            DeviceError: even a single image does not fit into the device's memory.
        """
        parts, results = [rows], []
        while parts:
            part = parts.pop(0)
            try:
                results.append(work(part))
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise no_room(self.device, f"one image of shape {tuple(image.shape)}") from error
            # Only now, with the error and the tensors in its traceback gone, can their memory be given back.
            gc.collect()  # of the graph, which is held in a ring
            torch.cuda.empty_cache()
            half = (len(part) + 1) // 2
            self._limit_batch(tuple(image.shape), half, gradients)
            parts[:0] = [part[:half], part[half:]]
        return results

    @property
    def given_batch_size(self) -> int | None:
        """The batch size that was asked for, or what is left of it after memory ran out; ``None`` if it is measured."""
        return self._batch_size

    def used_batch_size(self, image: Tensor) -> int | None:
        """The batch size that images like this ``(C, *S)`` had, given or measured; ``None`` where there were none."""
        return self._batch_size or self._tuned.get(tuple(image.shape))

    def _limit_batch(self, shape: tuple[int, ...], size: int, gradients: bool) -> None:
        if gradients:
            self._most_gradients[shape] = size
            return
        if self._batch_size is not None:
            self._batch_size = min(self._batch_size, size)
        self._tuned[shape] = size

    def batch_size(self, image: Tensor, *, gradients: bool = False) -> int:
        """The batch size for images like this ``(C, *S)``: the given one, or the fastest per image, measured once.

        For gradients it is less where memory was seen to run out in taking them.
        """
        if gradients:
            size = self.batch_size(image)
            return min(size, self._most_gradients.get(tuple(image.shape), size))
        if self._batch_size is not None:
            return self._batch_size
        shape = tuple(image.shape)
        if shape not in self._tuned:
            self._tuned[shape] = self._measure_batch_size(image)
        return self._tuned[shape]

    def _measure_batch_size(self, image: Tensor) -> int:
        """Double the batch while an image gets cheaper; larger batches can be slower on a CPU, so this is measured."""
        passes = copy.copy(self.passes)
        largest = LARGEST_TUNED_BATCH
        if self.device.type == "cpu":
            largest = min(largest, max(CPU_VOXELS_AT_ONCE // image[0].numel(), 1))
        best_size, best_time, size = 1, float("inf"), 1
        try:
            while size <= largest:
                seconds = self._seconds_per_image(image, size)
                if seconds < best_time * WORTHWHILE_GAIN:
                    best_size, best_time = size, seconds
                elif size >= 4 * best_size:
                    break
                size *= 2
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        except BundleError:
            if size == 1:
                raise  # else only so many at once are too much for an operation
        finally:
            self.passes.forward, self.passes.backward = passes.forward, passes.backward
        torch.cuda.empty_cache()
        return best_size

    def _seconds_per_image(self, image: Tensor, size: int) -> float:
        """Least time of up to three passes of ``size`` copies of an image, after one in which kernels are loaded."""
        batch = image.detach().expand(size, *image.shape).to(self.device).contiguous()
        if size == 1 or self.device.type == "cuda":
            self._answers(batch)
        times: list[float] = []
        while len(times) < 3 and sum(times) < TUNING_SECONDS:
            start = time.perf_counter()
            self._answers(batch)
            times.append(time.perf_counter() - start)
        return min(times) / size
