"""The plain rules, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from camlime.attribution import Attribution
from camlime.methods.combine import RULES, combine

CAM = [2.0, -4.0, 0.0, 1.0, 99.0]
LIME = [0.5, -0.25, 0.125, -0.5, -99.0]
VALID = np.array([True, True, True, True, False])


def parent(method: str, values: list[float], **numbers: float) -> Attribution:
    return Attribution(method=method, values=np.array(values, dtype=np.float32), **numbers)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("mean", [(0.5 + 1) / 2, (-1 - 0.5) / 2, (0 + 0.25) / 2, (0.25 - 1) / 2, 0]),
        ("geometric", [np.sqrt(0.5), -np.sqrt(0.5), 0, 0, 0]),
        ("rank", [(1 + 1) / 2, (-1 - 1 / 3) / 2, (-1 / 3 + 1 / 3) / 2, (1 / 3 - 1) / 2, 0]),
    ],
)
def test_rules_by_hand(rule: str, expected: list[float]) -> None:
    combined = combine(rule, parent("gradcam", CAM), parent("lime", LIME), VALID)
    assert combined.values == pytest.approx(expected, abs=1e-6)
    assert combined.values.dtype == np.float32
    assert combined.std is None
    assert combined.method == rule


def test_ties_share_a_rank() -> None:
    flat = combine("rank", parent("a", [1, 1, 2, 3, 0]), parent("b", [1, 1, 2, 3, 0]), VALID)
    assert flat.values == pytest.approx([-2 / 3, -2 / 3, 1 / 3, 1, 0], abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_costs_add_up_and_an_empty_map_is_no_trouble(rule: str) -> None:
    cam = parent("gradcam", [0.0] * 5, forward_passes=1, backward_passes=1, seconds=0.5)
    combined = combine(rule, cam, parent("lime", LIME, forward_passes=64, seconds=2.0), VALID)
    assert np.isfinite(combined.values).all()
    assert (combined.forward_passes, combined.backward_passes, combined.seconds) == (65, 1, 2.5)
    assert combined.parameters == {"of": ["gradcam", "lime"]}
    assert np.isfinite(combine(rule, cam, cam, np.zeros(5, dtype=bool)).values).all()
