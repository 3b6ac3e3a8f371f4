"""What a classifier's outputs mean: rows of logits, and the log-odds of one class."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camlime.errors import BundleError

Activation = Literal["softmax", "sigmoid"]


def log_odds(logits: Tensor, class_index: int, activation: Activation, *, two_classes: bool = False) -> Tensor:
    r"""Log-odds of one class against all others.

    For a softmax, :math:`\log\frac{p_c}{1-p_c} = z_c - \log\sum_{k\ne c} e^{z_k}`, which unlike the logit :math:`z_c`
    alone does not depend on the arbitrary shift that a softmax ignores; for a sigmoid, the logit itself.

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


def checked_finite(logits: Tensor) -> Tensor:
    """Return the logits.

    Raises:
        BundleError: one of them is NaN or infinite, so that nothing could be concluded from them.
    """
    if not bool(torch.isfinite(logits).all()):
        raise BundleError(
            "the network answered with a logit that is not a finite number",
            hint="are its weights sound? without mixed precision and with another baseline it may be well",
        )
    return logits


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
            f"the network's output has shape {tuple(output.shape)} for {count} image(s), not one row of classes each",
            hint="only classifiers can be explained; a segmentation network is none",
        )
    rows: Tensor = output.as_tensor() if hasattr(output, "as_tensor") else output
    return rows.reshape(count, -1)
