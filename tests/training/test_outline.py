"""The trainee is the network itself, and its losses are those that they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import ResNet
from torch import nn

from camlime.training.outline import OutlineLoss, OutlineTrainee


def resnet(**settings):
    torch.manual_seed(0)
    return ResNet("basic", [1, 1, 1, 1], [4, 8, 8, 16], spatial_dims=2, n_input_channels=3, num_classes=5, **settings)


@pytest.mark.parametrize("settings", [{}, {"no_max_pool": True, "conv1_t_stride": 2}])
def test_it_answers_as_the_network_does(settings):
    network, images = resnet(**settings), torch.rand(2, 3, 64, 64)
    trainee = OutlineTrainee(network, 8).eval()
    with torch.no_grad():
        logits, outline = trainee(images)
        np.testing.assert_allclose(logits, network(images), atol=1e-5)
        first = network.layer1(network.act(network.bn1(network.conv1(images))))
    assert outline.shape[:2] == (2, 1)
    assert first.shape[2:] == outline.shape[2:] or not network.no_max_pool


def test_bfloat16_is_near_and_comes_out_as_float32():
    network, images = resnet(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        near = OutlineTrainee(network, 8, bfloat16=True).eval()(images)
        exact = network.eval()(images)
    assert {part.dtype for part in near} == {torch.float32}
    assert 0 < (near[0] - exact).abs().max() < 0.05 * exact.abs().max() + 0.02


def test_the_loss_adds_up():
    logits, outline = torch.randn(3, 5), torch.randn(3, 1, 8, 8)
    label, mask = torch.tensor([0, 2, 4]), (torch.rand(3, 1, 32, 32) > 0.5).float()
    loss = OutlineLoss(nn.BCEWithLogitsLoss(), 0.5, 0.0, [1.0] * 5)((logits, outline), {"label": label, "mask": mask})
    share = mask.reshape(3, 1, 8, 4, 8, 4).mean((3, 5))
    own = -torch.log_softmax(logits, 1)[range(3), label].mean()
    probability = torch.sigmoid(outline)
    drawn = -(share * probability.log() + (1 - share) * (1 - probability).log()).mean()
    assert loss.item() == pytest.approx((own + 0.5 * drawn).item(), rel=1e-5)


def test_the_outline_teaches_the_network():
    network = resnet()
    trainee = OutlineTrainee(network, 8)
    loss = OutlineLoss(nn.BCEWithLogitsLoss(), 1.0, 0.0, [1.0] * 5)
    answer = trainee(torch.rand(2, 3, 64, 64))
    target = {"label": torch.tensor([0, 1]), "mask": torch.ones(2, 1, 64, 64)}
    loss((answer[0].detach(), answer[1]), target).backward()
    assert network.layer1[0].conv1.weight.grad.abs().sum() > 0
