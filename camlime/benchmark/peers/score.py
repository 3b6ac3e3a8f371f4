"""The classifier as other packages want it: a module that answers with one number, the class's log-odds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from camlime.classifier import as_rows
from camlime.methods.case import Case


class LogOdds(nn.Module):
    """Images ``(N, C, *S)`` in, log-odds of the class ``(N, 1)`` out.

    Works on a copy of the network, since packages leave hooks and modes behind; the passes count for the case's
    classifier, backward ones when a gradient arrives at the answer.

    Args:
        case: classifier and class.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.network = copy.deepcopy(case.classifier.network).eval()
        self._case = (case,)  # in a tuple, so that it is no part of the module

    def forward(self, images: Tensor) -> Tensor:
        """Answer; differentiable where gradients are on."""
        (case,) = self._case
        classifier = case.classifier
        output = self.network(images) if classifier.inferer is None else classifier.inferer(images, self.network)
        classifier.passes.forward += len(images)
        answers = classifier.log_odds(as_rows(output, len(images)).float(), case.class_index)[:, None]
        if answers.requires_grad:
            answers.register_hook(self._count)
        return answers

    def _count(self, gradient: Tensor) -> None:
        self._case[0].classifier.passes.backward += len(gradient)


@contextmanager
def scored(case: Case, *, gradients: bool) -> Iterator[tuple[LogOdds, Tensor]]:
    """The module and the image as a batch of one ``(1, C, *S)`` on the device, with seeded random numbers.

    The caller's random state and gradient mode are restored.
    """
    cuda = [case.classifier.device] if case.classifier.device.type == "cuda" else []
    with (
        torch.random.fork_rng(cuda),
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
        case.classifier.as_in_use(),
    ):
        torch.manual_seed(case.seed)
        image = case.input.image.detach().clone()
        image = image.as_tensor() if hasattr(image, "as_tensor") else image
        yield LogOdds(case), image[None].to(case.classifier.device)
