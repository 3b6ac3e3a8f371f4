"""Columns in the wrong place, and partners that see the same masked images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet10
from support.toy_cases import case_of, grid_regions

from camlime.benchmark.methods import METHODS
from camlime.benchmark.wrong_columns import PAIRS
from camlime.methods.layers import candidate_layers


@pytest.mark.parametrize(("wrong", "partner"), PAIRS.items())
def test_partners_see_as_many_masked_images(wrong: str, partner: str) -> None:
    torch.manual_seed(0)
    network = resnet10(spatial_dims=2, n_input_channels=1, num_classes=2, widen_factor=0.125).eval()
    shape = (24, 24)
    case = case_of(network, torch.rand(1, *shape), (grid_regions(shape, 20),), names=("a", "b"), activation="softmax")
    candidate_layers(case.classifier, case.input.image)
    counts, weights = {}, {}
    for name in (wrong, partner, "fused"):
        case.classifier.passes.forward = case.classifier.passes.backward = 0
        made = METHODS[name].explain(case, 128, "layer2")
        counts[name] = made.forward_passes
        weights[name] = made.region_weights
    cam_forward = 1
    assert counts[wrong] == counts["fused"] == counts[partner] + cam_forward
    assert not np.allclose(weights[wrong], weights["fused"])
