"""What training needs around the network: an outline of the glands read off its stages, the losses, the views."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork
from torch import nn

from .views import Views


class Trainee(nn.Module):
    """A MONAI ``ResNet`` and a feature pyramid on its stages that draws what the experts outlined.

    1500 labels alone teach poorly what to look at; the outline makes the stages find it. Nothing of the pyramid is
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
        """Logits ``(B, classes)`` and the outline's logits ``(B, 1, x, y)`` at the first stage's grid, float32.

        Computed in bfloat16, which takes half the time and the same exponents as float32.
        """
        network = self.network
        with torch.autocast(image.device.type, torch.bfloat16):
            x = network.maxpool(network.act(network.bn1(network.conv1(image))))
            features = OrderedDict()
            for name in ("layer1", "layer2", "layer3", "layer4"):
                x = features[name] = getattr(network, name)(x)
            logits = network.fc(network.avgpool(x).flatten(1))
            outline = self.outline(self.pyramid(features)["layer1"])
        return logits.float(), outline.float()


class Loss(nn.Module):
    """Cross-entropy of the class and of the outline.

    Args:
        outline_weight: weight of the outline against the class.
        smoothing: of the labels.
        class_weight: one factor a class.
    """

    def __init__(self, outline_weight: float, smoothing: float, class_weight: list[float]) -> None:
        super().__init__()
        self.outline_weight = outline_weight
        self.entropy = nn.CrossEntropyLoss(torch.tensor(class_weight), label_smoothing=smoothing)

    def forward(self, answer: tuple[torch.Tensor, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Loss of logits and outline against ``label`` ``(B,)`` and ``mask`` ``(B, 1, X, Y)``."""
        logits, outline = answer
        share = F.adaptive_avg_pool2d(target["mask"], outline.shape[2:])
        overlap = F.binary_cross_entropy_with_logits(outline, share)
        return self.entropy(logits, target["label"]) + self.outline_weight * overlap


def preparing(views: Views) -> Callable[..., tuple]:
    """The function that MONAI's trainer asks for: a batch's random views, and the targets of `Loss`.

    Per-tile transforms would take longer than the network: the whole batch is drawn at once.
    """

    def prepare_batch(batch: dict, device: torch.device, non_blocking: bool = False, **_: object) -> tuple:
        image, mask = (batch[name].to(device, non_blocking=non_blocking) for name in ("image", "mask"))
        # The bundle's preprocessing leaves -1 to 1; stains are told on 0 to 1.
        image, mask = views((image.float() + 1) / 2, mask)
        image = (2 * image - 1).to(memory_format=torch.channels_last)
        return image, {"label": batch["label"].to(device), "mask": mask}

    return prepare_batch
