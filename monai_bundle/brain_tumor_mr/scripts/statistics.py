"""Balanced accuracy with intervals by group, and calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def balanced_accuracy(target: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of the classes' sensitivities, over the classes that are there."""
    return float(np.mean([(predicted[target == name] == name).mean() for name in np.unique(target)]))


def bootstrap(
    measure: Callable[[np.ndarray, np.ndarray], float],
    target: np.ndarray,
    predicted: np.ndarray,
    group: np.ndarray,
    draws: int = 2000,
    seed: int = 0,
) -> list[float]:
    """95 % interval of a measure: groups are drawn with replacement within each class, with all their cases.

    A group has one class only; drawing within classes keeps every class in every draw.
    """
    rng = np.random.default_rng(seed)
    by_class = []
    for name in np.unique(target):
        groups = np.unique(group[target == name])
        by_class.append([np.flatnonzero((group == one) & (target == name)) for one in groups])
    values = np.empty(draws)
    for i in range(draws):
        picked = [members[j] for members in by_class for j in rng.integers(len(members), size=len(members))]
        index = np.concatenate(picked)
        values[i] = measure(target[index], predicted[index])
    return [float(x) for x in np.percentile(values, [2.5, 97.5])]


def calibration(target: np.ndarray, probability: np.ndarray, bins: int = 8) -> dict[str, float | list]:
    """How honest probabilities ``(N, classes)`` are.

    Returns:
        ``brier``, the sum over classes of squared errors (Brier 1950; 0.667 for a guess of a third each);
        ``cross_entropy`` in nats; ``ece``, the mean distance between the probability of the predicted class and the
        share that was right, over bins of equal count; ``bins``: mean probability, share right, count.
    """
    truth = np.eye(probability.shape[1])[target]
    confidence, right = probability.max(1), probability.argmax(1) == target
    groups = np.array_split(np.argsort(confidence, kind="stable"), bins)
    rows = [[float(confidence[g].mean()), float(right[g].mean()), len(g)] for g in groups]
    own = np.clip(probability[np.arange(len(target)), target], 1e-12, 1)
    return {
        "brier": float(((probability - truth) ** 2).sum(1).mean()),
        "cross_entropy": float(-np.log(own).mean()),
        "ece": float(np.average([abs(p - q) for p, q, _ in rows], weights=[n for _, _, n in rows])),
        "bins": rows,
    }
