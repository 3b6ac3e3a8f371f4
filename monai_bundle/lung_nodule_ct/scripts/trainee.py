"""The network as it is trained, with what only its training needs, and as it is shipped, without."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from .data import CLASSES


class Trainee(nn.Module):
    """The network with what only its training needs: further outputs behind the classes, and a map of the nodule.

    The map is read off the second stage, whose cells are 4 x 4 x 2 voxels: the network has to know where the nodule
    is and how far it reaches, which a few hundred labels alone teach poorly.

    Attributes:
        network: copy of the network whose last layer (``fc``) has further outputs.
        outline: 1 x 1 x 1 convolution from the second stage to the map's logits.
        fine: the same from the first stage, whose cells are 2 x 2 x 1 voxels; None if not asked for.
    """

    def __init__(self, network: nn.Module, outputs: int, fine: bool = False):
        super().__init__()
        self.network = copy.deepcopy(network)
        self.network.fc = nn.Linear(network.fc.in_features, len(CLASSES) + outputs)
        self.outline = nn.Conv3d(network.layer2[-1].conv2.out_channels, 1, kernel_size=1)
        self.fine = nn.Conv3d(network.layer1[-1].conv2.out_channels, 1, kernel_size=1) if fine else None

    def forward(self, boxes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Outputs ``(B, 2 + A)`` and the logits of each map ``(B, 1, x, y, z)``, for boxes ``(B, 1, X, Y, Z)``."""
        network = self.network
        first = network.layer1(network.act(network.bn1(network.conv1(boxes))))
        second = network.layer2(first)
        pooled = network.avgpool(network.layer4(network.layer3(second)))
        maps = [self.outline(second)] if self.fine is None else [self.outline(second), self.fine(first)]
        return network.fc(pooled.flatten(1)), *maps


def fine(mask: torch.Tensor) -> torch.Tensor:
    """Share of nodule around the centre of each cell of the first stage: voxels 2i, 2j, k of the box."""
    return F.avg_pool3d(mask, kernel_size=(3, 3, 1), stride=(2, 2, 1), padding=(1, 1, 0), count_include_pad=False)


def size_in_view(mask: torch.Tensor) -> torch.Tensor:
    """Logarithms of the outline's largest area in a slice and of its volume, in voxels of the view, ``(B, 2)``.

    Mean and standard deviation over the nodules are near 0 and 1, as of the other auxiliary targets. Unlike the
    nodule's own size, this can be told from a view that is cut short.
    """
    area = mask.sum((1, 2, 3)).amax(1)
    volume = mask.sum((1, 2, 3, 4))
    return torch.stack([(torch.log(area + 4) - 4.3) / 1.0, (torch.log(volume + 4) - 5.6) / 1.4], 1)


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
