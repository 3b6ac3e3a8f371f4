"""Columns in the wrong place, and partners that are fitted to the same answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet10
from support.toy_cases import case_of, grid_regions

from camlime.benchmark.methods import METHODS
from camlime.benchmark.wrong_columns import PAIRS
from camlime.methods import profiled_model
from camlime.methods.evidence_model import RunningSums
from camlime.methods.layers import candidate_layers


@pytest.mark.parametrize(("wrong", "partner"), PAIRS.items())
def test_partners_see_the_same_answers_as_fused(wrong: str, partner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = resnet10(spatial_dims=2, n_input_channels=1, num_classes=2, widen_factor=0.125).eval()
    shape = (24, 24)
    case = case_of(network, torch.rand(1, *shape), (grid_regions(shape, 100),), names=("a", "b"), activation="softmax")
    candidate_layers(case.classifier, case.input.image)
    seen: list[RunningSums] = []
    fit = profiled_model.fit_profiled

    def listening(sums: RunningSums, *hints):
        seen.append(sums)
        return fit(sums, *hints)

    for module in ("fused", "wrong_columns"):
        monkeypatch.setattr(
            f"camlime.{'methods' if module == 'fused' else 'benchmark'}.{module}.fit_profiled", listening
        )
    weights = {name: METHODS[name].explain(case, 128, "layer2").region_weights for name in (wrong, partner, "fused")}
    assert len(seen) == 3
    assert all(sums.n == seen[0].n for sums in seen)
    assert np.array_equal(seen[0].xty, seen[1].xty)
    assert np.array_equal(seen[0].xty, seen[2].xty) == (partner == "fused-no-cam")
    assert not np.array_equal(weights[wrong], weights["fused"])
    assert not np.array_equal(weights[wrong], weights[partner])
