"""Maps on the way: the last one is the result, and to take them changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from support.toy_cases import presence_case

from camlime.attribution import Attribution
from camlime.methods.fused import Fused
from camlime.methods.lime import Lime


def answer(presence: torch.Tensor) -> torch.Tensor:
    return presence @ torch.arange(presence.shape[1], dtype=presence.dtype) - 2 * presence[:, 0] * presence[:, 1]


@pytest.mark.parametrize("method", [Lime(budget=256), Fused(budget=256, cam_columns=())], ids=["lime", "fused"])
def test_the_last_draft_is_the_map(method: Lime | Fused) -> None:
    drafts: list[Attribution] = []

    def heard(name: str, draft: Callable[[], Attribution]) -> None:
        assert name == method.name
        drafts.append(draft())

    quiet = method.explain(presence_case(answer, 6, segmentations=2))
    result = method.explain(presence_case(answer, 6, segmentations=2, on_draft=heard))
    assert len(drafts) > 4
    np.testing.assert_array_equal(result.values, quiet.values)
    last = drafts[-1]
    np.testing.assert_array_equal(last.values, result.values)
    np.testing.assert_array_equal(last.std, result.std)
    np.testing.assert_array_equal(last.region_weights, result.region_weights)
    passes = [draft.forward_passes for draft in drafts]
    assert passes == sorted(set(passes)) and passes[-1] == result.forward_passes


def test_drafts_sharpen() -> None:
    """Within one segmentation; between segmentations the variance between them comes in."""
    drafts: list[Attribution] = []
    case = presence_case(
        lambda p: answer(p) + torch.sin(9 * p.sum(1)), 12, on_draft=lambda _, make: drafts.append(make())
    )
    Lime(budget=1024).explain(case)
    spread = [float(draft.std.max()) for draft in drafts if draft.std is not None]
    assert len(spread) == len(drafts) and spread[-1] < spread[1] / 2
