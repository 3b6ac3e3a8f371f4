"""One network, one training: auxiliary targets, averaged weights, a log."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from monai.losses import DiceCELoss
from monai.utils import set_determinism
from sklearn.metrics import roc_auc_score
from torch import nn

from .augment import Augment
from .data import CLASSES, Volumes


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
    size_weight: float = 1.0
    outline_epochs: int = 0
    mixup: float = 0.0
    teacher_weight: float = 0.7


class Trainee(nn.Module):
    """The network with what only its training needs: further outputs behind the classes, and a map of the nodule.

    The map is read off the second stage, whose cells are 4 x 4 x 2 voxels: the network has to know where the nodule
    is and how far it reaches, which a few hundred labels alone teach poorly.

    Attributes:
        network: copy of the network whose last layer (``fc``) has further outputs.
        outline: 1 x 1 x 1 convolution from the second stage to the map's logits.
    """

    def __init__(self, network: nn.Module, outputs: int):
        super().__init__()
        self.network = copy.deepcopy(network)
        self.network.fc = nn.Linear(network.fc.in_features, len(CLASSES) + outputs)
        self.outline = nn.Conv3d(network.layer2[-1].conv2.out_channels, 1, kernel_size=1)

    def forward(self, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs ``(B, 2 + A)`` and the map's logits ``(B, 1, x, y, z)``, for boxes ``(B, 1, X, Y, Z)``."""
        network = self.network
        stage = network.layer2(network.layer1(network.act(network.bn1(network.conv1(boxes)))))
        pooled = network.avgpool(network.layer4(network.layer3(stage)))
        return network.fc(pooled.flatten(1)), self.outline(stage)


def coarse(mask: torch.Tensor) -> torch.Tensor:
    """Share of nodule around the centre of each cell of the second stage: voxels 4i, 4j, 2k of the box."""
    return F.avg_pool3d(mask, kernel_size=(5, 5, 3), stride=(4, 4, 2), padding=(2, 2, 1), count_include_pad=False)


def narrow(
    network: nn.Module, trained: Mapping[str, torch.Tensor], slope: float = 1.0, intercept: float = 0.0
) -> nn.Module:
    """The network as it is shipped: auxiliary outputs cut off, calibration folded into the last layer.

    The calibrated log-odds are ``slope * (z_malignant - z_benign) + intercept``.

    Args:
        network: the network to ship, untrained.
        trained: weights of its trained copy, with further outputs in the last layer.
        slope: of the calibration.
        intercept: of the calibration.
    """
    shipped = copy.deepcopy(network)
    state = {name: value.clone() for name, value in trained.items()}
    difference = state["fc.weight"][1] - state["fc.weight"][0]
    offset = state["fc.bias"][1] - state["fc.bias"][0]
    # Half the log-odds on either side: the softmax is unchanged and both rows carry evidence.
    state["fc.weight"] = slope * torch.stack([-difference / 2, difference / 2])
    state["fc.bias"] = torch.stack([-(slope * offset + intercept) / 2, (slope * offset + intercept) / 2])
    shipped.load_state_dict(state)
    return shipped.eval()


@torch.no_grad()
def predict(network: nn.Module, boxes: torch.Tensor, batch_size: int = 64) -> np.ndarray:
    """All outputs of the network, float32 ``(cases, outputs)``, for boxes ``(cases, 1, X, Y, Z)``."""
    network.eval()
    return torch.cat([network(batch) for batch in boxes.split(batch_size)]).numpy()


def log_odds(outputs: np.ndarray) -> np.ndarray:
    """Log-odds of malignant against benign, ``(cases,)``."""
    return outputs[:, 1] - outputs[:, 0]


def loss_function(
    answer: tuple[torch.Tensor, torch.Tensor],
    target: torch.Tensor,
    auxiliary: torch.Tensor,
    mask: torch.Tensor,
    recipe: Recipe,
    class_weight: float = 1.0,
) -> torch.Tensor:
    """Cross-entropy of the class, smooth L1 of the auxiliary targets, Dice and cross-entropy of the map.

    Args:
        answer: the trainee's outputs ``(B, 2 + A)`` and map logits.
        target: probability of malignant, ``(B,)``.
        auxiliary: ``(B, A)``, standardised; the last two are sizes.
        mask: the outline in the view, ``(B, 1, X, Y, Z)``.
        recipe: weights.
        class_weight: of the cross-entropy of the class.
    """
    outputs, outline = answer
    loss = class_weight * F.cross_entropy(outputs[:, : len(CLASSES)], torch.stack([1 - target, target], 1))
    if recipe.auxiliary_weight > 0:
        errors = F.smooth_l1_loss(outputs[:, len(CLASSES) :], auxiliary, reduction="none").mean(0)
        weights = torch.ones_like(errors)
        weights[-2:] = recipe.size_weight
        loss = loss + recipe.auxiliary_weight * (errors * weights).mean()
    if recipe.outline_weight > 0:
        loss = loss + recipe.outline_weight * OUTLINE_LOSS(outline, coarse(mask))
    return loss


OUTLINE_LOSS = DiceCELoss(sigmoid=True, batch=True)


@torch.no_grad()
def taught(target: torch.Tensor, images: torch.Tensor, teachers: Sequence[nn.Module], weight: float) -> torch.Tensor:
    """The target mixed with what the teachers say of the very same views, ``(B,)``.

    Args:
        target: probability of malignant, ``(B,)``.
        images: views, ``(B, 1, X, Y, Z)``.
        teachers: networks in eval mode; their log-odds are averaged.
        weight: of the teachers, 0 to 1.
    """
    odds = torch.stack([network(images) for network in teachers]).mean(0)
    return (1 - weight) * target + weight * torch.sigmoid(odds[:, 1] - odds[:, 0])


def mixed(share: torch.Tensor, order: torch.Tensor, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Each value ``(B, ...)`` with a share ``(B,)`` of that of another case, whose number ``order`` ``(B,)`` says."""

    def mix(value: torch.Tensor) -> torch.Tensor:
        return torch.lerp(value, value[order], share.reshape(-1, *[1] * (value.ndim - 1)))

    return tuple(mix(value) for value in values)


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
    model = Trainee(network, auxiliary.shape[1])
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
