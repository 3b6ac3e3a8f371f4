"""Rows of a fold-over design for tests that need no sampler."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from camlime.methods.designs import SignArray, blocks


def paired_rows(regions: int, pairs: int, rng: np.random.Generator) -> Iterator[SignArray]:
    """``pairs`` rows in all, block by block, as a sampler draws them that prefers none."""
    left = pairs
    for rows in blocks(regions, rng):
        yield rows[:left]
        left -= len(rows)
        if left <= 0:
            return
