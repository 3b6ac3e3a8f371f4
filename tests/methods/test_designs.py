"""Fold-over designs: orthogonal, balanced, complementary, and nearer to orthogonal than coins below one block."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from support.rows import paired_rows

from camlime.methods.designs import (
    MOST_IN_FULL,
    NOISE_SHARE,
    TIERS,
    block_pairs,
    fold_over_block,
    order_by_information,
    paley,
    supports_intervals,
)


def drawn(regions: int, pairs: int, seed: int = 0) -> list[np.ndarray]:
    return list(paired_rows(regions, pairs, np.random.default_rng(seed)))


def legendre(number: int, q: int) -> int:
    """Euler's criterion: 1 for a square modulo the prime q, -1 for none, 0 for a multiple."""
    power = pow(number % q, (q - 1) // 2, q)
    return power - q if power == q - 1 else power


@pytest.mark.parametrize("q", [3, 7, 19, 67, 131])
def test_paleys_matrix_is_that_of_quadratic_residues(q: int) -> None:
    found = paley(q + 1).astype(int)
    residues = np.array([[legendre(i - j, q) for j in range(q)] for i in range(q)])
    assert np.array_equal(found[1:, 1:], -(residues + np.eye(q, dtype=int)))
    assert (found[0] == 1).all()
    assert (found[:, 0] == 1).all()
    assert np.array_equal(found.T @ found, (q + 1) * np.eye(q + 1, dtype=int))


@pytest.mark.parametrize("order", [2, 6, 16, 28, 40, 64, 100])
def test_an_order_without_such_a_prime_is_refused(order: int) -> None:
    with pytest.raises(ValueError, match=f"no Paley matrix of order {order}"):
        paley(order)


def test_a_block_is_hardly_larger_than_the_regions_are_many() -> None:
    regions = np.arange(1, 1000)
    orders = np.array([block_pairs(d) for d in regions])
    assert (orders > regions).all()
    assert (orders[48:] <= 1.25 * regions[48:]).all()
    assert [block_pairs(d) for d in (1, 59, 60, 63, 127, 128, 129, 131, 132)] == [
        4,
        60,
        68,
        68,
        128,
        132,
        132,
        132,
        140,
    ]


@pytest.mark.parametrize("regions", [1, 2, 3, 4, 7, 8, 15, 32, 63, 64, 100])
def test_a_block_is_orthogonal_also_to_the_constant(regions: int) -> None:
    block = fold_over_block(regions, np.random.default_rng(0)).astype(int)
    m = block_pairs(regions)
    assert block.shape == (m, regions)
    assert np.array_equal(np.unique(block), [-1, 1])
    assert np.array_equal(block.T @ block, m * np.eye(regions, dtype=int))
    assert not block.sum(axis=0).any()
    assert m > regions
    assert regions < 3 or 3 < regions <= MOST_IN_FULL or m <= 2 * regions


def test_blocks_differ_and_rows_are_shuffled() -> None:
    first, second, third = drawn(20, 3 * 24)
    assert not np.array_equal(first, second)
    assert not np.array_equal(np.sort(first @ first.T), np.sort(second @ third.T))
    rng = np.random.default_rng(0)
    halves = [fold_over_block(20, rng)[:12] for _ in range(200)]
    assert np.abs(np.mean(halves, axis=0)).max() < 0.3  # no row has a place of its own


@pytest.mark.parametrize(("regions", "most"), [(19, 0.61), (32, 0.46), (63, 0.30), (100, 0.24), (129, 0.16)])
def test_no_product_of_three_presences_is_any_regions_column(regions: int, most: float) -> None:
    """It is spread over all of them: its correlation with the nearest one is far from 1 (Sylvester's is 1 or 0)."""
    block = fold_over_block(regions, np.random.default_rng(1)).astype(float)
    triples = np.random.default_rng(2)
    for _ in range(300):
        three = triples.choice(regions, 3, replace=False)
        others = np.delete(block, three, axis=1)
        assert np.abs(block[:, three].prod(axis=1) @ others).max() <= most * len(block)


@pytest.mark.parametrize(("regions", "pairs", "apart"), [(4, 8, 8), (5, 16, 16), (6, 32, 24), (7, 64, 32)])
def test_of_a_handful_of_regions_a_block_is_every_mask_that_there_is(regions: int, pairs: int, apart: int) -> None:
    for seed in range(50):
        block = fold_over_block(regions, np.random.default_rng(seed)).astype(int)
        assert block_pairs(regions) == len(block) == pairs
        assert len({tuple(row) for row in np.concatenate([block, -block])}) == 2**regions
        for start in range(0, pairs, 8):  # a budget that ends within it finds orthogonal columns all the same
            eight = block[start : start + 8]
            assert np.array_equal(eight.T @ eight, 8 * np.eye(regions, dtype=int))
        for four in combinations(range(regions), 4):  # and soon no three that are a fourth
            assert abs(block[:apart, four].prod(axis=1).sum()) <= apart / 2


def test_what_third_order_interactions_add_to_a_region_averages_out_over_blocks() -> None:
    rng = np.random.default_rng(1)
    found = [block[:, 0] * block[:, 1] * block[:, 2] @ block[:, 3] / len(block)
             for block in (fold_over_block(19, rng).astype(int) for _ in range(2000))]  # fmt: skip
    assert np.mean(np.square(found)) > 0.02
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(2000)


@pytest.mark.parametrize("pairs", [1, 5, 23, 24, 25, 48, 150])
def test_as_many_rows_as_asked_for_blocks_first(pairs: int) -> None:
    rows = np.concatenate(drawn(20, pairs))
    assert rows.shape == (pairs, 20)
    full = pairs // 24 * 24
    assert np.array_equal(rows[:full].astype(int).T @ rows[:full], full * np.eye(20, dtype=int))


def test_rows_are_those_of_the_seed() -> None:
    assert np.array_equal(np.concatenate(drawn(9, 40)), np.concatenate(drawn(9, 40)))
    assert not np.array_equal(np.concatenate(drawn(9, 40)), np.concatenate(drawn(9, 40, seed=1)))


@pytest.mark.parametrize("pairs", [16, 40, 56])
def test_a_part_of_a_block_is_nearer_to_orthogonal_than_coins(pairs: int) -> None:
    rng = np.random.default_rng(0)
    part, coins = [], []
    for _ in range(40):
        rows = next(iter(paired_rows(50, pairs, rng))).astype(float)
        assert rows.shape == (pairs, 50)
        part.append(np.mean((rows.T @ rows / pairs - np.eye(50)) ** 2))
        toss = rng.choice([-1.0, 1.0], size=(pairs, 50))
        coins.append(np.mean((toss.T @ toss / pairs - np.eye(50)) ** 2))
    # Variance of a mean over n of m drawn without repetition: (1 - n/m) of that with repetition, up to 1/m.
    assert np.mean(part) == pytest.approx((1 - pairs / 60) * 60 / 59 * np.mean(coins), rel=0.1)


@pytest.mark.parametrize(
    ("regions", "pairs", "supported"),
    [(100, 104, False), (100, 155, False), (100, 156, True), (127, 192, True), (128, 197, False), (128, 198, True),
     (3, 5, False), (3, 6, True), (4, 7, False), (4, 8, True), (7, 63, False), (7, 64, True), (8, 17, False)],
)  # fmt: skip
def test_intervals_need_half_of_a_second_block_or_every_mask(regions: int, pairs: int, supported: bool) -> None:
    assert supports_intervals(regions, pairs) is supported


# The order within a block


def variances_of(squares: np.ndarray) -> np.ndarray:
    ranks = np.argsort(np.argsort(-squares, kind="stable"), kind="stable")
    return np.array([next(variance for end, variance in TIERS if end is None or rank < end) for rank in ranks])


def left_unknown(rows: np.ndarray, known: np.ndarray, variances: np.ndarray) -> float:
    """Sum of the weights' posterior variances after these rows, by inverting a dense matrix."""
    noise = NOISE_SHARE * variances.sum() / 4
    halved = rows / 2.0
    return float(np.trace(np.linalg.inv(np.diag(1 / variances) + (known + halved.T @ halved) / noise)))


def test_each_next_row_is_the_one_that_leaves_least_unknown() -> None:
    rng = np.random.default_rng(0)
    rows, seen = fold_over_block(40, rng), fold_over_block(40, rng)[:3] * 0.75 / 2
    squares, known = rng.exponential(size=40), seen.T @ seen
    found = order_by_information(rows, known, squares, 12)
    variances = variances_of(squares)
    for k in range(12):
        after = [left_unknown(np.concatenate([found[:k], row[None]]), known, variances) for row in found[k:]]
        assert after[0] == pytest.approx(min(after), rel=1e-7)


@pytest.mark.parametrize("wanted", [0, 1, 20, 64, 100])
def test_the_order_loses_no_row_and_leaves_those_that_are_not_wanted_as_they_were(wanted: int) -> None:
    rng = np.random.default_rng(1)
    rows = fold_over_block(40, rng)
    found = order_by_information(rows, np.zeros((40, 40)), rng.exponential(size=40), wanted)
    assert sorted(map(tuple, found)) == sorted(map(tuple, rows))
    places = [next(i for i, row in enumerate(rows) if np.array_equal(row, other)) for other in found[wanted:]]
    assert places == sorted(places)


def test_the_strongest_regions_are_nearer_to_orthogonal_than_in_a_random_order() -> None:
    strong, random = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = fold_over_block(100, rng)
        squares = np.where(np.arange(100) < 8, 1.0, 0.1) * rng.uniform(0.9, 1.1, 100)
        for part, into in ((order_by_information(rows, np.zeros((100, 100)), squares, 16), strong), (rows, random)):
            first = part[:16, :8].astype(float)
            into.append(np.mean((first.T @ first / 16 - np.eye(8)) ** 2))
    assert np.mean(strong) < 0.3 * np.mean(random)


def test_rounding_errors_in_the_squares_do_not_change_the_order() -> None:
    rng = np.random.default_rng(2)
    rows, squares = fold_over_block(100, rng), rng.exponential(size=100)
    other = squares * (1 + 1e-4 * rng.standard_normal(100))
    one, two = (order_by_information(rows, np.zeros((100, 100)), values, 40) for values in (squares, other))
    assert np.array_equal(one, two)
