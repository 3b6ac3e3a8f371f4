"""Writes miniature bundles for the tests."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import DenseNet
from torch import nn

TINY = {"init_features": 4, "growth_rate": 2, "block_config": [1, 1], "bn_size": 1}


def network_def(dims: int = 2, channels: int = 1, classes: int = 2) -> dict[str, Any]:
    return {"_target_": "DenseNet", "spatial_dims": dims, "in_channels": channels, "out_channels": classes, **TINY}


def network(dims: int = 2, channels: int = 1, classes: int = 2) -> nn.Module:
    torch.manual_seed(dims + channels + classes)
    return DenseNet(spatial_dims=dims, in_channels=channels, out_channels=classes, **TINY).eval()


def metadata(shape: list[Any], channels: int = 1, names: list[str] | None = None, **extra: Any) -> dict[str, Any]:
    names = ["healthy", "ill"] if names is None else names
    image = {"num_channels": channels, "spatial_shape": shape}
    output: dict[str, Any] = {"num_channels": len(names), "channel_def": {str(i): n for i, n in enumerate(names)}}
    formats = {"inputs": {"image": image}, "outputs": {"pred": output}}
    return {"version": "1.2.3", "name": "Tiny", "network_data_format": formats, **extra}


def compose(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"_target_": "Compose", "transforms": list(steps)}


def step(name: str, keys: Any = "image", **arguments: Any) -> dict[str, Any]:
    return {"_target_": name, "keys": keys, **arguments}


def inference(dims: int = 2, channels: int = 1, classes: int = 2, steps: Any = (), **extra: Any) -> dict[str, Any]:
    """An inference config in the manner of the Model Zoo: much of it is about files, and has to stay behind."""
    config = {
        "imports": ["$import os", "$import glob", "$import json"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "images": "$list(sorted(glob.glob(@bundle_root + '/*.png')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network_def(dims, channels, classes),
        "network": "$@network_def.to(@device)",
        "preprocessing": compose(step("LoadImaged"), step("EnsureChannelFirstd"), *steps),
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @images]", "transform": "@preprocessing"},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": compose(
            step("Activationsd", "pred", softmax=True),
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ),
        "evaluator": {"_target_": "SupervisedEvaluator", "network": "@network", "val_handlers": ["$lambda x: x"]},
        "run": ["$@evaluator.run()"],
    }
    config.update(extra)
    return deepcopy(config)


@cache
def default_weights() -> bytes:
    buffer = BytesIO()
    torch.save(network().state_dict(), buffer)
    return buffer.getvalue()


def write(
    root: Path,
    config: dict[str, Any] | str | None = None,
    meta: dict[str, Any] | None = None,
    weights: Any = None,
    *,
    config_name: str = "inference.json",
    explain: Any = None,
) -> Path:
    """Write a bundle; ``weights``: a network, anything that torch.save takes, or ``False`` for none."""
    (root / "configs").mkdir(parents=True, exist_ok=True)
    (root / "models").mkdir(exist_ok=True)
    content = inference() if config is None else config
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "configs" / config_name).write_text(text)
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata([16, 16]) if meta is None else meta))
    if explain is not None:
        (root / "configs" / "explain.json").write_text(json.dumps(explain))
    if weights is None:
        (root / "models" / "model.pt").write_bytes(default_weights())
    elif weights is not False:
        torch.save(weights.state_dict() if isinstance(weights, nn.Module) else weights, root / "models" / "model.pt")
    return root
