"""Which regions are present in which masked image: complementary pairs, chosen so that main effects come out clean.

Every row ``s`` in {-1, +1}^d comes with its complement ``-s``. Half the difference of the two answers is free of the
intercept and of every even interaction (fold-over, Box & Wilson 1951, doi 10.1111/j.2517-6161.1951.tb00067.x). Rows
are those of a Hadamard matrix, so that within a full block the columns are orthogonal and no two regions' main
effects mix (Plackett & Burman 1946, doi 10.1093/biomet/33.4.305).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

SignArray = NDArray[np.int8]


def block_pairs(regions: int) -> int:
    """Pairs in a full fold-over block: the least power of two that is larger than the number of regions.

    Example:
        >>> block_pairs(100), block_pairs(128)
        (128, 256)
    """
    return 1 << max(int(regions).bit_length(), 1)


def fold_over_block(regions: int, rng: np.random.Generator) -> SignArray:
    """One randomised Hadamard block, shape ``(m, d)`` of -1 and +1; the complements are ``-block``.

    Columns are ``d`` different non-constant columns of the Sylvester-Hadamard matrix of order ``m``, with random
    signs, and the rows are shuffled so that any number of them may be used. A new block draws new columns, which
    spreads third-order interactions, that alias onto main effects within one block, over blocks.
    """
    m = block_pairs(regions)
    columns = rng.permutation(np.arange(1, m))[:regions]
    signs = rng.choice(np.array([-1, 1], dtype=np.int8), size=regions)
    block = hadamard(m, dtype=np.int8)[:, columns] * signs
    return block[rng.permutation(m)]


def paired_rows(regions: int, pairs: int, rng: np.random.Generator) -> Iterator[SignArray]:
    """Yield ``pairs`` rows in all, block by block; the last block is a random part of one where it does not fit.

    A part of a block, even the only one, is nearer to orthogonal than as many independent coins: the mean square of the
    columns' products shrinks by ``1 - n/m``, since n of m rows are drawn without repetition. With few rows of a block
    that is next to nothing, and neither design is then better.

    Args:
        regions: d.
        pairs: rows wanted in all.
        rng: source of every random choice.
    """
    left = pairs
    while left > 0:
        rows = fold_over_block(regions, rng)
        yield rows[:left]
        left -= len(rows)


def supports_intervals(regions: int, pairs: int) -> bool:
    """Whether the residual of this many pairs can see what its standard errors must cover.

    Within one block, third-order interactions alias exactly onto the main effects and the residual cannot see them,
    unless the block has a quarter more rows than regions; from two blocks on, their different columns show.
    """
    m = block_pairs(regions)
    return pairs >= 2 * m or (pairs >= m >= 1.25 * regions)
