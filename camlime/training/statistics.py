"""Figures of a classifier with intervals by group, and how honest its probabilities are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def balanced_accuracy(target: Array, predicted: Array) -> float:
    """Mean of the classes' sensitivities, over the classes that are there."""
    return float(np.mean([(predicted[target == name] == name).mean() for name in np.unique(target)]))


def resamples(group: Array, *, within: Array | None = None, draws: int = 2000, seed: int = 0) -> Iterator[Array]:
    """Bootstrap samples of cases by group: groups are drawn with replacement, with all their cases.

    Args:
        group: which patient, case of tiles or stretch of slices each case belongs to, ``(N,)``.
        within: groups are drawn within each of these, such as the class, so that every draw has all of them, ``(N,)``.
        draws: how many samples.
        seed: of the draws.

    Yields:
        Indices of the cases of a sample.

    Raises:
        ValueError: a group lies in more than one of ``within``: its cases could then be drawn apart.
    """
    rng = np.random.default_rng(seed)
    strata = np.zeros(len(group), dtype=np.int64) if within is None else within
    members: list[list[Array]] = []
    for name in np.unique(strata):
        own = strata == name
        members.append([np.flatnonzero((group == one) & own) for one in np.unique(group[own])])
    if sum(len(groups) for groups in members) != len(np.unique(group)):
        raise ValueError("a group lies in more than one stratum; draw within what each group has only one of")
    for _ in range(draws):
        yield np.concatenate([groups[j] for groups in members for j in rng.integers(len(groups), size=len(groups))])


def bootstrap(
    measure: Callable[..., float],
    *columns: Array,
    group: Array,
    within: Array | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> list[float]:
    """95 % percentile interval of a measure over groups.

    Args:
        measure: called with each column, resampled.
        columns: one value a case, ``(N, ...)``; the same draw serves all (paired).
        group: see `resamples`, as are ``within``, ``draws`` and ``seed``.
        within: strata of the draw.
        draws: how many.
        seed: of the draws.
    """
    samples = resamples(group, within=within, draws=draws, seed=seed)
    return interval(np.array([measure(*(column[index] for column in columns)) for index in samples]))


def interval(values: Array) -> list[float]:
    """2.5th and 97.5th percentile."""
    return [float(x) for x in np.percentile(values, [2.5, 97.5])]


class Reliability(TypedDict):
    """How far probabilities are from shares.

    ``ece``: mean distance between the mean probability and the share that came true, over bins of equal count;
    ``bins``: mean probability, share that came true, count.
    """

    ece: float
    bins: list[list[float]]


def reliability(probability: Array, came_true: Array, bins: int = 8) -> Reliability:
    """Hold probabilities ``(N,)`` against what came true ``(N,)``, in bins of equal count."""
    groups = np.array_split(np.argsort(probability, kind="stable"), bins)
    rows = [[float(probability[g].mean()), float(came_true[g].mean()), len(g)] for g in groups if len(g)]
    return {
        "ece": float(np.average([abs(p - q) for p, q, _ in rows], weights=[n for _, _, n in rows])),
        "bins": rows,
    }


def calibration(target: Array, probability: Array, bins: int = 8) -> dict[str, Any]:
    """How honest probabilities ``(N, classes)`` are.

    Returns:
        ``brier``, the sum over classes of squared errors (Brier 1950; 0.667 for a guess of a third each);
        ``cross_entropy`` in nats; `Reliability` of the predicted class's probability: ``ece`` and ``bins``.
    """
    truth = np.eye(probability.shape[1])[target]
    own = np.clip(probability[np.arange(len(target)), target], 1e-12, 1)
    return {
        "brier": float(((probability - truth) ** 2).sum(1).mean()),
        "cross_entropy": float(-np.log(own).mean()),
        **reliability(probability.max(1), probability.argmax(1) == target, bins),
    }
