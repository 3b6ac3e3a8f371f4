"""Fold-over designs: orthogonal, balanced, complementary, and nearer to orthogonal than coins below one block."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.rows import paired_rows

from camlime.methods.designs import (
    NOISE_SHARE,
    TIERS,
    block_pairs,
    fold_over_block,
    order_by_information,
    supports_intervals,
)


def drawn(regions: int, pairs: int, seed: int = 0) -> list[np.ndarray]:
    return list(paired_rows(regions, pairs, np.random.default_rng(seed)))


@pytest.mark.parametrize("regions", [1, 2, 3, 4, 7, 8, 15, 63, 64, 100])
def test_a_block_is_orthogonal_also_to_the_constant(regions: int) -> None:
    block = fold_over_block(regions, np.random.default_rng(0)).astype(int)
    m = block_pairs(regions)
    assert block.shape == (m, regions)
    assert np.array_equal(np.unique(block), [-1, 1])
    assert np.array_equal(block.T @ block, m * np.eye(regions, dtype=int))
    assert not block.sum(axis=0).any()
    assert m > regions
    assert regions == 1 or m <= 2 * regions


def test_blocks_differ_and_rows_are_shuffled() -> None:
    first, second, third = drawn(20, 3 * 32)
    assert not np.array_equal(first, second)
    assert not np.array_equal(np.sort(first @ first.T), np.sort(second @ third.T))
    rng = np.random.default_rng(0)
    halves = [fold_over_block(20, rng)[:16] for _ in range(200)]
    assert np.abs(np.mean(halves, axis=0)).max() < 0.3  # no row has a place of its own


def test_third_order_interactions_alias_differently_in_each_block() -> None:
    """In one block x_i x_j x_k may equal some x_l; no such triple keeps the same alias in all blocks."""
    rng = np.random.default_rng(1)
    kept = None
    for _ in range(12):
        block = fold_over_block(7, rng).astype(int)
        aliases = {
            (i, j, k, m)
            for i, j, k in itertools.combinations(range(7), 3)
            for m in range(7)
            if abs(block[:, i] * block[:, j] * block[:, k] @ block[:, m]) == len(block) and m not in (i, j, k)
        }
        assert aliases
        kept = aliases if kept is None else kept & aliases
    assert not kept


@pytest.mark.parametrize("pairs", [1, 5, 31, 32, 33, 64, 150])
def test_as_many_rows_as_asked_for_blocks_first(pairs: int) -> None:
    rows = np.concatenate(drawn(20, pairs))
    assert rows.shape == (pairs, 20)
    full = pairs // 32 * 32
    assert np.array_equal(rows[:full].astype(int).T @ rows[:full], full * np.eye(20, dtype=int))


def test_rows_are_those_of_the_seed() -> None:
    assert np.array_equal(np.concatenate(drawn(9, 40)), np.concatenate(drawn(9, 40)))
    assert not np.array_equal(np.concatenate(drawn(9, 40)), np.concatenate(drawn(9, 40, seed=1)))


@pytest.mark.parametrize("pairs", [16, 40, 60])
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
    assert np.mean(part) == pytest.approx((1 - pairs / 64) * 64 / 63 * np.mean(coins), rel=0.1)


@pytest.mark.parametrize(
    ("regions", "pairs", "supported"),
    [(100, 127, False), (100, 128, True), (110, 128, False), (110, 255, False), (110, 256, True), (64, 128, True)],
)
def test_intervals_need_a_block_with_room_or_two(regions: int, pairs: int, supported: bool) -> None:
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
