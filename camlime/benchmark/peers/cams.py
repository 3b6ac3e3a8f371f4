"""Grad-CAM as four other packages make it, each with its own way to the input grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from camlime.attribution import Attribution
from camlime.benchmark.peers.score import LogOdds, scored
from camlime.extras import needed
from camlime.methods.cam import target
from camlime.methods.case import Case

Maker = Callable[[LogOdds, str, Tensor], Tensor]
"""From the module, the layer's name in it and the batch to a map that has ``S`` as its last axes."""


def explain(case: Case, make: Maker, name: str, layer: str | None) -> Attribution:
    """Run a maker at the layer that our own CAMs use.

    Raises:
        RequestError: the package is not installed, or there is no such layer.
    """
    chosen, _ = target(case, layer)
    with scored(case, gradients=True) as (module, batch):
        values = make(module, f"network.{chosen.name}", batch).detach().cpu().float().numpy()
    shaped = values.reshape(case.input.spatial_shape).astype(np.float32)
    return Attribution(name, shaped, target_layer=chosen.name)


def grad_cam(module: LogOdds, layer: str, batch: Tensor) -> Tensor:
    """The package grad-cam as it is: rectified, scaled to 0..1, enlarged with aligned corners."""
    package = needed("pytorch_grad_cam", extra="peers", purpose="the method 'grad-cam'")
    with package.GradCAM(module, [module.get_submodule(layer)]) as maker:
        return torch.from_numpy(np.asarray(maker(batch, [lambda answer: answer[0]])))


def captum_layer(module: LogOdds, layer: str, batch: Tensor) -> Tensor:
    """LayerGradCam of captum, not rectified (its default), enlarged by its own ``LayerAttribution.interpolate``."""
    attr = needed("captum.attr", extra="peers", purpose="the method 'captum-gradcam'")
    found = attr.LayerGradCam(module, module.get_submodule(layer)).attribute(batch, target=0)
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[batch.ndim - 2]
    enlarged: Tensor = attr.LayerAttribution.interpolate(found, tuple(batch.shape[2:]), interpolate_mode=mode)
    return enlarged


def monai(module: LogOdds, layer: str, batch: Tensor) -> Tensor:
    """MONAI's GradCAM; its default map is largest where there is least, so it is turned round."""
    from monai.visualize import GradCAM

    found: Tensor = GradCAM(nn_module=module, target_layers=layer)(batch, class_idx=0)
    return -torch.as_tensor(found)


def torch_cam(module: LogOdds, layer: str, batch: Tensor) -> Tensor:
    """torch-cam's GradCAM, rectified and scaled to 0..1; it leaves enlarging to the user: half-pixel linear."""
    methods = needed("torchcam.methods", extra="peers", purpose="the method 'torchcam'")
    with methods.GradCAM(module, target_layer=layer) as maker:
        answers = module(batch)
        (found,) = maker(0, answers)
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[batch.ndim - 2]
    return torch.nn.functional.interpolate(found[:, None], tuple(batch.shape[2:]), mode=mode, align_corners=False)
