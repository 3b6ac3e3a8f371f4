"""How a network's outputs become probabilities, as the bundle's post-processing says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import torch
from monai.transforms import Activations, Activationsd, Compose
from torch import Tensor, nn

from camlime.bundle.limits import MAX_STEPS
from camlime.errors import BundleError

Activation = Literal["softmax", "sigmoid"]


def find_activation(postprocessing: object) -> Activation | None:
    """Return the first activation in resolved post-processing, ``None`` if there is none.

    Args:
        postprocessing: a transform, a composition, a list of them, or ``None``.

    Example:
        >>> find_activation(Compose([Activationsd("pred", sigmoid=True)]))
        'sigmoid'
    """
    for step in islice(_steps(postprocessing), MAX_STEPS):
        if isinstance(step, (Activations, Activationsd)):
            if _any(step.softmax) or _any(step.other, _SOFTMAX):
                return "softmax"
            if _any(step.sigmoid) or _any(step.other, _SIGMOID):
                return "sigmoid"
        elif isinstance(step, nn.Softmax):
            return "softmax"
        elif isinstance(step, nn.Sigmoid):
            return "sigmoid"
    return None


def final_activation(network: nn.Module) -> str | None:
    """Return the name of the activation that a network's last layer applies, ``None`` if its outputs are logits."""
    last = list(network.modules())[-1]
    return type(last).__name__ if isinstance(last, (nn.Softmax, nn.LogSoftmax, nn.Sigmoid)) else None


def flatten_output(output: object) -> Tensor:
    """Bring a network's output to shape ``(N, K)``.

    Args:
        output: ``(N, K)``, ``(N, K, 1, ...)`` or ``(N,)``; of several outputs the first counts.

    Raises:
        BundleError: it keeps axes in space, as a segmentation does, or is no tensor.

    Example:
        >>> flatten_output(torch.zeros(2, 3, 1, 1)).shape
        torch.Size([2, 3])
    """
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor) or output.ndim == 0:
        raise BundleError(f"the network returns {type(output).__name__}, not a tensor of class scores")
    if output.ndim == 1:
        return output[:, None]
    if any(size != 1 for size in output.shape[2:]):
        raise BundleError(
            f"the network's output has shape {tuple(output.shape)}: a segmentation or other map, not a classification",
            hint="only classifiers can be explained",
        )
    return output.flatten(1)


_SOFTMAX = (torch.softmax, nn.functional.softmax, nn.Softmax)
_SIGMOID = (torch.sigmoid, nn.functional.sigmoid, nn.Sigmoid)


def _steps(postprocessing: object) -> Iterator[object]:
    if isinstance(postprocessing, Compose):
        yield from _steps(postprocessing.transforms)
    elif isinstance(postprocessing, (list, tuple)):
        for step in postprocessing:
            yield from _steps(step)
    elif postprocessing is not None:
        yield postprocessing


def _any(values: Any, wanted: Sequence[object] = (True,)) -> bool:
    items = values if isinstance(values, (list, tuple)) else (values,)
    return any(
        item is choice or (isinstance(choice, type) and isinstance(item, choice)) for item in items for choice in wanted
    )
