"""Which regions are present in which masked image: complementary pairs, chosen so that main effects come out clean.

Every row ``s`` in {-1, +1}^d comes with its complement ``-s``. Half the difference of the two answers is free of the
intercept and of every even interaction (fold-over, Box & Wilson 1951, doi 10.1111/j.2517-6161.1951.tb00067.x). Rows
are those of a Hadamard matrix, so that within a full block the columns are orthogonal and no two regions' main
effects mix (Plackett & Burman 1946, doi 10.1093/biomet/33.4.305).

Which Hadamard matrix matters for what is left, products of three presences. In Sylvester's, each is exactly some
column: the whole of it enters one region's weight, and no residual shows it. In Paley's (1933, doi
10.1002/sapm1933121311) it is spread thinly over all of them (hidden projection, Lin & Draper 1992, doi
10.1080/00401706.1992.10484957). Paley's orders are also many, so that a block is
not much larger than the number of regions: 132 pairs for 129 regions, where Sylvester's order is 256.

For a handful of regions, such as a map of organs, no block is large enough for that: Paley's matrix of order 8 is
Sylvester's. There a block is every mask that there is, so that nothing hides behind anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

SignArray = NDArray[np.int8]
FloatArray = NDArray[np.float64]

MOST_IN_FULL = 7
"""Regions up to which a block holds every mask."""

TIERS = ((8, 1.0), (24, 1 / 4), (None, 1 / 32))
"""The strongest 8 regions, those up to the 24th, all others; and the prior variance that a design gives to each."""

NOISE_SHARE = 0.1
"""Of the answers' variance, what a design takes to be no region's doing."""


def block_pairs(regions: int) -> int:
    """Pairs in a full fold-over block: the least order of :func:`paley` that is larger than the number of regions.

    Of 4 to :data:`MOST_IN_FULL` regions all pairs that there are; Paley's block of order 4 is that already.

    Example:
        >>> [block_pairs(d) for d in (3, 5, 63, 64, 100, 129)]
        [4, 16, 68, 68, 104, 132]
    """
    if 3 < regions <= MOST_IN_FULL:
        return int(2 ** (regions - 1))
    order = 4 * (regions // 4 + 1)
    while not _is_prime(order - 1):
        order += 4
    return order


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


@lru_cache(maxsize=8)
def paley(order: int) -> SignArray:
    r"""Paley's Hadamard matrix of his first kind, shape ``(m, m)`` of -1 and +1: columns are orthogonal.

    With the Jacobsthal matrix :math:`Q_{ij} = \chi(i - j)` of quadratic residues modulo the prime q = m - 1, which is 3
    modulo 4, it is :math:`-(Q + I)` with a first row and column of ones. His second kind would fill some gaps between
    orders, but has pairs of columns whose product with a third is nearly a fourth.

    Raises:
        ValueError: the order is no multiple of 4, or one less is no prime.

    Example:
        >>> (paley(4).T @ paley(4)).tolist()
        [[4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 0, 4]]
    """
    q = order - 1
    if order % 4 or not _is_prime(q):
        raise ValueError(f"no Paley matrix of order {order}")
    residue = np.full(q, -1, dtype=np.int8)
    residue[np.arange(q) ** 2 % q] = 1  # 0 as well: the identity
    matrix = np.ones((order, order), dtype=np.int8)
    matrix[1:, 1:] = -residue[np.subtract.outer(np.arange(q), np.arange(q)) % q]
    matrix.setflags(write=False)
    return matrix


def fold_over_block(regions: int, rng: np.random.Generator) -> SignArray:
    """One randomised block, shape ``(m, d)`` of -1 and +1; the complements are ``-block``.

    Columns are ``d`` different non-constant columns of :func:`paley`, with random signs, and the rows are shuffled so
    that any number of them may be used. A new block draws new columns, so that what third-order interactions add to
    the main effects of one block differs from block to block, and averages out.
    """
    if 3 < regions <= MOST_IN_FULL:
        return _every_pair(regions, rng)
    m = block_pairs(regions)
    columns = rng.permutation(np.arange(1, m))[:regions]
    signs = rng.choice(np.array([-1, 1], dtype=np.int8), size=regions)
    block = paley(m)[:, columns] * signs
    return block[rng.permutation(m)]


def _every_pair(regions: int, rng: np.random.Generator) -> SignArray:
    """Each of the ``2^(d-1)`` pairs once, shape ``(2^(d-1), d)``, eight after eight with orthogonal columns.

    The rows of the matrix of order 8 are closed under products, so that its products with any row are either rows that
    came before or eight new ones. Of all such eights each next one is that in which products of three columns differ
    most from what they were a fourth column in so far, for budgets that end within the block.
    """
    eight = np.full((8, regions), -1, dtype=np.int8)
    while (eight == -1).all(axis=1).any():  # it holds the complement of its first row: both are one pair
        eight = paley(8)[:, rng.permutation(np.arange(1, 8))[:regions]]
    seen: set[tuple[int, ...]] = set()
    parts = []
    every = 1 - 2 * (np.arange(2**regions)[:, None] >> np.arange(regions) & 1).astype(np.int8)
    for row in rng.permutation(every):
        part = eight * row
        pairs = {tuple(pair) for pair in (part * part[:, :1]).tolist()}
        if seen.isdisjoint(pairs):
            seen |= pairs
            parts.append(part[rng.permutation(8)])
    fours = np.array(list(combinations(range(regions), 4)))
    mixed = np.stack([part[:, fours].prod(axis=2, dtype=np.int64).sum(axis=0) for part in parts])
    order = [0]
    while len(order) < len(parts):
        left = np.delete(np.arange(len(parts)), order)
        order.append(int(left[((mixed[order].sum(axis=0) + mixed[left]) ** 4).sum(axis=1).argmin()]))
    return np.concatenate([parts[i] for i in order])


def blocks(regions: int, rng: np.random.Generator) -> Iterator[SignArray]:
    """Randomised blocks without end (:func:`fold_over_block`), each with other columns and signs.

    Where a budget ends within a block, a random part of it is used. A part of a block, even the only one, is nearer to
    orthogonal than as many independent coins: the mean square of the columns' products shrinks by ``1 - n/m``, since n
    of m rows are drawn without repetition. With few rows of a block that is next to nothing, and neither design is then
    better.
    """
    while True:
        yield fold_over_block(regions, rng)


def order_by_information(rows: SignArray, known: FloatArray, squares: FloatArray, wanted: int) -> SignArray:
    """The rows of a block, those first that tell most about the regions that matter most.

    Each next row is the one that lowers the sum of the weights' posterior variances most, given all rows before it
    (Bayesian A-optimal design, Chaloner & Verdinelli 1995, doi 10.1214/ss/1177009939). Where a whole block is used it
    makes no difference; where the budget ends within one, the strongest regions are nearer to orthogonal. Answers play
    no part in it, so that it favours no result.

    Args:
        rows: shape ``(m, d)`` of -1 and +1.
        known: ``X'X`` of all halved rows used before, shape ``(d, d)``.
        squares: shape ``(d,)``, how much each region may matter; only which are the strongest :data:`TIERS` counts, so
            that rounding errors in it do not change the design.
        wanted: how many rows will be used of these; the others keep their order.

    Returns:
        The same rows in another order.
    """
    variances = _prior_variances(squares)
    noise = NOISE_SHARE * variances.sum() / 4
    halved = rows / 2.0
    product = halved @ np.linalg.inv(np.diag(1 / variances) + known / noise)
    left, chosen = np.ones(len(rows), dtype=bool), []
    for _ in range(min(wanted, len(rows))):
        spread = noise + np.einsum("ij,ij->i", product, halved)
        gain = np.where(left, np.square(product).sum(axis=1) / spread, -1.0)
        best = int(np.round(gain / gain.max(), 9).argmax())
        left[best] = False
        chosen.append(best)
        told = product[best].copy()
        product -= np.outer(halved @ told, told) / spread[best]
    return rows[np.concatenate([np.array(chosen, dtype=int), np.flatnonzero(left)])]


def _prior_variances(squares: FloatArray) -> FloatArray:
    variances = np.full(len(squares), TIERS[-1][1])
    order = np.argsort(-squares, kind="stable")
    for end, variance in reversed(TIERS[:-1]):
        variances[order[:end]] = variance
    return variances


def supports_intervals(regions: int, pairs: int) -> bool:
    """Whether the residual of this many pairs can see what its standard errors must cover.

    A block has hardly more rows than regions: next to nothing is left over in which products of presences could show.
    In a second block, of which half is enough, they fall elsewhere than in the first, and show. A block of every mask
    shows them by itself.
    """
    block = block_pairs(regions)
    return pairs >= (block if 3 < regions <= MOST_IN_FULL else 1.5 * block)
