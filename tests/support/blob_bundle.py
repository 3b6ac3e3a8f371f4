"""A MONAI bundle whose network sees a bright blob by construction, so that maps have a place where they must be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import Classifier
from torch import nn


def blob_network(shape: Sequence[int], channels: int = 1, strides: Sequence[int] = (2, 2, 1)) -> nn.Module:
    """Averages twice with stride 2, then counts brightness above 0.4: more of it speaks for "bright"."""
    network = Classifier(
        in_shape=(channels, *shape),
        classes=2,
        channels=[1] * len(strides),
        strides=list(strides),
        kernel_size=3,
        num_res_units=0,
        act="relu",
        norm=None,
        bias=True,
    )
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                module.weight.fill_(1 / module.weight[0].numel())
                module.bias.fill_(0.0)
            elif isinstance(module, nn.Linear):
                module.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, module.in_features) / 4)
                module.bias.copy_(torch.tensor([1.0, -1.0]))
    return network.eval()


def write_blob_bundle(
    root: Path,
    shape: Sequence[int],
    *,
    channels: int = 1,
    steps: Sequence[dict[str, Any]] = (),
    explain: dict[str, Any] | None = None,
) -> Path:
    """Write the bundle; ``steps`` are preprocessing transforms after loading, ending in an image of ``shape``."""
    strides = [2, 2, 1]
    network = {
        "_target_": "monai.networks.nets.Classifier",
        "in_shape": [channels, *shape],
        "classes": 2,
        "channels": [1, 1, 1],
        "strides": strides,
        "kernel_size": 3,
        "num_res_units": 0,
        "act": "relu",
        "norm": None,
        "bias": True,
    }
    load = [{"_target_": "LoadImaged", "keys": "image"}, {"_target_": "EnsureChannelFirstd", "keys": "image"}]
    inference = {
        "network_def": network,
        "preprocessing": {"_target_": "Compose", "transforms": [*load, *steps]},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    }
    metadata = {
        "version": "0.1.0",
        "name": "Blob",
        "network_data_format": {
            "inputs": {"image": {"num_channels": channels, "spatial_shape": list(shape)}},
            "outputs": {"pred": {"num_channels": 2, "channel_def": {"0": "dark", "1": "bright"}}},
        },
    }
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs" / "inference.json").write_text(json.dumps(inference))
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata))
    settings = {"baseline": {"name": "constant", "value": 0.0}, **(explain or {})}
    (root / "configs" / "explain.json").write_text(json.dumps({"explain": settings}))
    torch.save(blob_network(shape, channels, strides).state_dict(), root / "models" / "model.pt")
    return root
