"""Learning what to look at: a network's stages are taught to draw the experts' outline beside telling the class."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork
from torch import nn


class OutlineTrainee(nn.Module):
    """A 2D MONAI ``ResNet`` with a feature pyramid (Lin et al. 2017, CVPR) on its stages that draws an outline.

    A label says nothing of where a class is told; the outline makes the stages find what was outlined. Nothing of the
    pyramid is shipped: the network is trained in place and is the same without it.

    Args:
        network: a ``ResNet`` of basic blocks.
        width: channels of the pyramid.
        bfloat16: compute in bfloat16, which takes half the time of float32 where the CPU has instructions for it.
    """

    def __init__(self, network: nn.Module, width: int = 32, bfloat16: bool = False) -> None:
        super().__init__()
        self.network, self.bfloat16 = network, bfloat16
        stages = [network.layer1, network.layer2, network.layer3, network.layer4]
        self.pyramid = FeaturePyramidNetwork(2, [stage[-1].conv2.out_channels for stage in stages], width)
        self.outline = nn.Conv2d(width, 1, kernel_size=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits ``(B, classes)`` and the outline's logits ``(B, 1, x, y)`` at the first stage's grid, float32."""
        network = self.network
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bfloat16):
            x = network.act(network.bn1(network.conv1(image)))
            if not network.no_max_pool:
                x = network.maxpool(x)
            features = OrderedDict()
            for name in ("layer1", "layer2", "layer3", "layer4"):
                x = features[name] = getattr(network, name)(x)
            logits = network.fc(network.avgpool(x).flatten(1))
            outline = self.outline(self.pyramid(features)["layer1"])
        return logits.float(), outline.float()


class OutlineLoss(nn.Module):
    """Cross-entropy of the class, and a loss of the outline.

    Args:
        overlap: loss of the outline's logits against the share of each cell that is inside, both ``(B, 1, x, y)``.
        outline_weight: weight of the outline against the class.
        smoothing: of the labels.
        class_weight: one factor a class.
    """

    def __init__(self, overlap: nn.Module, outline_weight: float, smoothing: float, class_weight: list[float]) -> None:
        super().__init__()
        self.overlap, self.outline_weight = overlap, outline_weight
        self.entropy = nn.CrossEntropyLoss(torch.tensor(class_weight), label_smoothing=smoothing)

    def forward(self, answer: tuple[torch.Tensor, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Loss of logits and outline against ``label`` ``(B,)`` and ``mask`` ``(B, 1, X, Y)``."""
        logits, outline = answer
        share = F.adaptive_avg_pool2d(target["mask"], outline.shape[2:])
        return self.entropy(logits, target["label"]) + self.outline_weight * self.overlap(outline, share)
