"""What training needs around the network: an outline of the tumour read off its stages, and the losses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from monai.losses import DiceCELoss
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork
from torch import nn


class Trainee(nn.Module):
    """A MONAI ``ResNet`` and a feature pyramid on its stages that draws where the tumour is.

    1600 labels alone teach poorly what a tumour is; the outline makes the stages find it. Nothing of the pyramid is
    shipped.

    Args:
        network: the network, trained in place.
        width: channels of the pyramid.
    """

    def __init__(self, network: nn.Module, width: int = 32) -> None:
        super().__init__()
        self.network = network
        stages = [network.layer1, network.layer2, network.layer3, network.layer4]
        self.pyramid = FeaturePyramidNetwork(2, [stage[-1].conv2.out_channels for stage in stages], width)
        self.outline = nn.Conv2d(width, 1, kernel_size=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits ``(B, classes)`` and the outline's logits ``(B, 1, x, y)`` at the first stage's grid."""
        network = self.network
        x = network.act(network.bn1(network.conv1(image)))
        if not network.no_max_pool:
            x = network.maxpool(x)
        features = OrderedDict()
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = features[name] = getattr(network, name)(x)
        logits = network.fc(network.avgpool(x).flatten(1))
        return logits, self.outline(self.pyramid(features)["layer1"])


class Loss(nn.Module):
    """Cross-entropy of the class, and Dice with cross-entropy of the outline.

    Args:
        outline_weight: weight of the outline against the class.
        smoothing: of the labels.
        class_weight: one factor a class.
    """

    def __init__(self, outline_weight: float, smoothing: float, class_weight: list[float]) -> None:
        super().__init__()
        self.outline_weight = outline_weight
        self.entropy = nn.CrossEntropyLoss(torch.tensor(class_weight), label_smoothing=smoothing)
        self.overlap = DiceCELoss(sigmoid=True, batch=True)

    def forward(self, answer: tuple[torch.Tensor, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Loss of logits and outline against ``label`` ``(B,)`` and ``mask`` ``(B, 1, X, Y)``."""
        logits, outline = answer
        share = F.adaptive_avg_pool2d(target["mask"], outline.shape[2:])
        return self.entropy(logits, target["label"]) + self.outline_weight * self.overlap(outline, share)


def prepare_batch(batch: dict, device: torch.device, non_blocking: bool = False, **_: object) -> tuple:
    """What MONAI's engines ask for: the input, and the targets of `Loss`."""

    def to(value: torch.Tensor) -> torch.Tensor:
        plain = value.as_tensor() if hasattr(value, "as_tensor") else value
        return plain.to(device, non_blocking=non_blocking)

    return to(batch["image"]), {"label": to(batch["label"]), "mask": to(batch["mask"])}
