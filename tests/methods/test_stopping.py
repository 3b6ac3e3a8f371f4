"""When the rule says that it is enough, and how budgets are split."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from camlime.errors import RequestError
from camlime.methods.budget import split_pairs
from camlime.methods.evidence_model import Posterior
from camlime.methods.stopping import StoppingRule


def posterior(mean: list[float], std: float | list[float], correlation: float = 0.0) -> Posterior:
    spread = np.broadcast_to(np.asarray(std, dtype=float), len(mean))
    matrix: NDArray[np.float64] = np.full((len(mean), len(mean)), correlation)
    np.fill_diagonal(matrix, 1.0)
    nothing = np.zeros(0)
    return Posterior(np.array(mean), matrix * np.outer(spread, spread), nothing, nothing, nothing, 1.0, 1.0, 0.0, 10.0)


@pytest.mark.parametrize(
    ("case", "enough"),
    [
        (posterior([10, 8, 1, 0], 0.4), True),
        (posterior([10, 8, 1, 0], [0.4, 0.4, 0.4, 0.6]), False),  # one error over 5 % of the largest weight
        (posterior([10, 8, 7.2, 0], 0.4), False),  # 0.8 apart, 0.57 the error of the difference: needs 0.93
        (posterior([10, 8, 7.2, 0], 0.4, correlation=0.6), True),  # the error of the difference is 0.36
        (posterior([10, -8, 7.2, 0], 0.4, correlation=0.6), False),  # of |a| and |b| of opposite sign it is 0.72
        (posterior([10, -8, 7.2, 0], 0.4, correlation=-0.6), True),
        (posterior([10, 8, 7.8, 0], 0.4), True),  # a tie: less than 5 % of the largest apart
        (posterior([0, 0, 0, 0], 0.4), True),
        (posterior([3.0], 0.01), True),
    ],
)
def test_certain_enough(case: Posterior, enough: bool) -> None:
    assert StoppingRule(relative_error=0.05, top=2, confidence=0.95).satisfied(case) is enough


@pytest.mark.parametrize(
    ("budget", "regions", "spent", "expected"),
    [
        (100, [10], 0, [50]),
        (100, [10, 12, 11], 0, [16] * 3),
        (101, [10, 12], 31, [17, 17]),
        (StoppingRule(most_passes=200), [10, 10], 0, [50, 50]),
    ],
)
def test_all_segmentations_together_keep_to_the_budget(
    budget: int, regions: list[int], spent: int, expected: list[int]
) -> None:
    assert split_pairs(budget, regions, spent=spent) == expected


@pytest.mark.parametrize(
    ("budget", "segmentations", "spent"), [(15, 1, 0), (-4, 1, 0), (16, 9, 0), (40, 1, 39), (20, 1, 80)]
)
def test_too_small_a_budget_is_a_request_error_that_names_one_that_will_do(
    budget: int, segmentations: int, spent: int
) -> None:
    regions = [10] * segmentations
    with pytest.raises(RequestError) as error:
        split_pairs(budget, regions, spent=spent)
    enough = int(error.value.hint.rsplit(" ", 1)[1])
    assert min(split_pairs(enough, regions, spent=spent)) >= 1
