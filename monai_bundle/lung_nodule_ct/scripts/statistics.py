"""Areas under the ROC curve with intervals by patient, and calibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from camlime.training.statistics import interval, reliability, resamples


def auc(target: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney), ties counted half."""
    positive = target > 0.5
    n = int(positive.sum())
    m = len(target) - n
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def stratified_auc(target: np.ndarray, score: np.ndarray, stratum: np.ndarray) -> float:
    """Mean of the areas within strata, weighted by their pairs: scores of different networks are never compared."""
    areas, pairs = [], []
    for name in np.unique(stratum):
        inside = stratum == name
        positive = int(target[inside].sum())
        if 0 < positive < inside.sum():
            areas.append(auc(target[inside], score[inside]))
            pairs.append(positive * (inside.sum() - positive))
    return float(np.average(areas, weights=pairs))


def bootstrap(
    target: np.ndarray,
    scores: Mapping[str, np.ndarray],
    patient: np.ndarray,
    reference: str,
    stratum: np.ndarray | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, list[float] | float]]:
    """AUC of each score and its difference to the reference score, with 95 % intervals.

    Patients are drawn with replacement, with all their nodules; the same draw serves all scores (paired).

    Args:
        target: 0 or 1, ``(cases,)``.
        scores: name to ``(cases,)``.
        patient: ``(cases,)``.
        reference: name of the score that the others are compared to.
        stratum: fold of each case, if areas are to be taken within folds.
        draws: number of resamplings.
        seed: of the resampling.

    Returns:
        For each name ``auc``, ``auc_95`` and, but for the reference, ``minus_<reference>``, ``minus_<reference>_95``,
        and ``p``, the share of draws in which the difference is not positive.
    """

    def area(index: np.ndarray, score: np.ndarray) -> float:
        if stratum is None:
            return auc(target[index], score[index])
        return stratified_auc(target[index], score[index], stratum[index])

    drawn = {name: np.empty(draws) for name in scores}
    for i, index in enumerate(resamples(patient, draws=draws, seed=seed)):
        for name, score in scores.items():
            drawn[name][i] = area(index, score)
    everyone, result = np.arange(len(target)), {}
    for name, score in scores.items():
        row: dict = {"auc": area(everyone, score), "auc_95": interval(drawn[name])}
        if name != reference:
            difference = drawn[name] - drawn[reference]
            row[f"minus_{reference}"] = row["auc"] - area(everyone, scores[reference])
            row[f"minus_{reference}_95"] = interval(difference)
            row["p"] = float((difference <= 0).mean())
        result[name] = row
    return result


def calibration(target: np.ndarray, probability: np.ndarray, bins: int = 8) -> dict[str, float | list]:
    """How honest probabilities are.

    Returns:
        ``brier`` (0.25 is a coin); ``ece`` and ``bins`` of malignant, see ``camlime.training.statistics.Reliability``;
        ``slope`` and ``intercept`` of a logistic regression on the log-odds (1 and 0 if calibrated).
    """
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    odds = np.log(clipped / (1 - clipped))
    model = LogisticRegression(C=np.inf).fit(odds[:, None], target)
    honest = reliability(probability, target, bins)
    return {
        "brier": float(np.mean((probability - target) ** 2)),
        "ece": honest["ece"],
        "slope": float(model.coef_[0, 0]),
        "intercept": float(model.intercept_[0]),
        "bins": honest["bins"],
    }
