"""Fold-over designs: orthogonal, balanced, complementary, and nearer to orthogonal than coins below one block."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.rows import paired_rows

from camlime.methods.designs import block_pairs, fold_over_block, supports_intervals


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
