"""One network, one training: auxiliary targets, averaged weights, a log."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.utils import set_determinism
from sklearn.metrics import roc_auc_score
from torch import nn

from .augment import Augment
from .data import Volumes
from .objective import loss_function, mixed, taught
from .trainee import Trainee, size_in_view


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        epochs: passes over the training cases.
        batch_size: cases a step.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        auxiliary_weight: weight of the auxiliary targets against the class.
        outline_weight: weight of the map of the nodule against the class.
        score_weight: how much of the class target is the reader's malignancy score (1 to 5 brought to 0 to 1).
        average_decay: of the exponential moving average of the weights, per step.
        warm_up: fraction of the steps before the peak.
        fine_outline_weight: weight of a second, finer map of the nodule, read off the first stage.
        size_in_view: the last two auxiliary targets are the size of the outline in each view, not of the nodule.
        size_weight: weight of diameter and volume against each other auxiliary target.
        outline_epochs: how many epochs at first teach the outline and the auxiliary targets, not the class.
        mixup: largest share of another case of the batch in a view and its targets.
        teacher_weight: how much of the class target is the mean answer of the teachers, where there are any.
    """

    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    auxiliary_weight: float = 0.5
    outline_weight: float = 0.5
    score_weight: float = 0.0
    average_decay: float = 0.99
    warm_up: float = 0.15
    fine_outline_weight: float = 0.0
    size_in_view: bool = False
    size_weight: float = 1.0
    outline_epochs: int = 0
    mixup: float = 0.0
    teacher_weight: float = 0.7


@torch.no_grad()
def predict(network: nn.Module, boxes: torch.Tensor, batch_size: int = 64) -> np.ndarray:
    """All outputs of the network, float32 ``(cases, outputs)``, for boxes ``(cases, 1, X, Y, Z)``."""
    network.eval()
    return torch.cat([network(batch) for batch in boxes.split(batch_size)]).numpy()


def log_odds(outputs: np.ndarray) -> np.ndarray:
    """Log-odds of malignant against benign, ``(cases,)``."""
    return outputs[:, 1] - outputs[:, 0]


def schedule(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Factor on the learning rate: linear rise, then half a cosine down to 1 % of the peak."""
    rise = max(1, int(recipe.warm_up * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

    return factor


def fit(
    network: nn.Module,
    volumes: Volumes,
    target: np.ndarray,
    label: np.ndarray,
    auxiliary: np.ndarray,
    train: np.ndarray,
    augment: Augment,
    recipe: Recipe,
    seed: int,
    boxes: torch.Tensor,
    validation: np.ndarray,
    log: Callable[[dict], None],
    teachers: Sequence[nn.Module] = (),
) -> nn.Module:
    """Train the network; the last averaged weights are kept, so nothing is chosen on the validation cases.

    Args:
        network: the network to ship, untrained (a copy is trained).
        volumes: all cases.
        target: probability of malignant to train on, for all cases.
        label: 0 or 1 for all cases, for the log.
        auxiliary: auxiliary targets of all cases, ``(cases, A)``.
        train: indices of the training cases.
        augment: the random views.
        recipe: how to train.
        seed: of weights and views.
        boxes: all cases as inference sees them, to log the AUC of ``validation`` every fifth epoch.
        validation: indices; may be empty.
        log: called with one row an epoch.
        teachers: networks in eval mode that are asked about each view, see ``Recipe.teacher_weight``.

    Returns:
        The network with averaged weights and further outputs, in eval mode.
    """
    set_determinism(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Trainee(network, auxiliary.shape[1], fine=recipe.fine_outline_weight > 0)
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    # On a CPU the channels-last layout halves the time of a step.
    model = model.to(memory_format=torch.channels_last_3d)
    average = copy.deepcopy(model)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
    )
    steps = recipe.epochs * (len(train) // recipe.batch_size)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule(recipe, steps))
    targets, auxiliaries = torch.as_tensor(target, dtype=torch.float32), torch.as_tensor(auxiliary)
    cases, step = torch.as_tensor(train), 0
    for epoch in range(recipe.epochs):
        model.train()
        start, total = time.perf_counter(), 0.0
        order = cases[torch.randperm(len(cases), generator=generator)]
        # The rest of a pass that does not fill a batch is left out: other cases each time.
        for index in order[: len(order) // recipe.batch_size * recipe.batch_size].split(recipe.batch_size):
            views, goal, extra = augment(volumes, index, generator), targets[index], auxiliaries[index]
            if teachers:
                goal = taught(goal, views[:, :1], teachers, recipe.teacher_weight)
            if recipe.size_in_view:
                extra = torch.cat([extra[:, :-2], size_in_view(views[:, 1:])], 1)
            if recipe.mixup > 0:
                share = recipe.mixup * torch.rand(len(index), generator=generator)
                partner = torch.randperm(len(index), generator=generator)
                views, goal, extra = mixed(share, partner, views, goal, extra)
            image, mask = views[:, :1], views[:, 1:]
            answer = model(image.contiguous(memory_format=torch.channels_last_3d))
            loss = loss_function(answer, goal, extra, mask, recipe, float(epoch >= recipe.outline_epochs))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            step += 1
            # A short memory at first, else the average would keep the random start.
            update_average(average, model, min(recipe.average_decay, (1 + step) / (10 + step)))
            total += loss.item()
        row = {"seed": seed, "epoch": epoch + 1, "loss": total / (len(train) // recipe.batch_size)}
        row["seconds"] = time.perf_counter() - start
        if len(validation) and (epoch % 5 == 4 or epoch + 1 == recipe.epochs):
            scores = log_odds(predict(average.network, boxes[validation]))
            row["auc"] = roc_auc_score(label[validation], scores)
        log(row)
    return average.network.eval()


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights, and the running statistics with them, towards the model's."""
    for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
