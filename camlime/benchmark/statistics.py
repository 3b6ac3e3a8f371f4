"""Intervals and tests on patients: a patient's cases are averaged first, so that nobody counts twice.

- Intervals: 95 %, percentile bootstrap over patients (``scipy.stats.bootstrap``).
- Tests between two methods: Wilcoxon's signed-rank test on the patients' differences, two-sided, and Holm's correction
  (``statsmodels``) over all comparisons of the same quantity and removal baseline.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from camlime.attribution import FloatArray
from camlime.extras import needed

DRAWS = 2000
SEED = 20_110
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A statistic over patients with its 95 % interval; the interval is ``None`` for a single patient."""

    value: float
    low: float | None
    high: float | None


def by_patient(values: Sequence[float], patients: Sequence[str]) -> tuple[FloatArray, list[str]]:
    """Means of the values of each patient ``(P,)``, and the patients in order of name.

    Example:
        >>> by_patient([1.0, 3.0, 5.0], ["b", "b", "a"])
        (array([5., 2.]), ['a', 'b'])
    """
    names = sorted(set(patients))
    place = {name: i for i, name in enumerate(names)}
    index = np.array([place[name] for name in patients], dtype=np.int64)
    sums = np.bincount(index, weights=np.asarray(values, dtype=np.float64), minlength=len(names))
    return sums / np.bincount(index, minlength=len(names)), names


def estimate(of_patients: FloatArray, statistic: Literal["mean", "median"] = "mean") -> Estimate:
    """The mean or median over patients ``(P,)`` with its bootstrap interval."""
    function: Callable[..., Any] = np.mean if statistic == "mean" else np.median
    value = float(function(of_patients))
    if len(of_patients) < 2:
        return Estimate(value, None, None)
    found = stats.bootstrap(
        (of_patients,),
        function,
        n_resamples=DRAWS,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high))


def wilcoxon(differences: FloatArray) -> float | None:
    """Two-sided p of the patients' differences ``(P,)``; 1 if all are zero, ``None`` for fewer than two patients."""
    if len(differences) < 2:
        return None
    if not differences.any():
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ties and zeros: scipy then takes the normal approximation
        return float(stats.wilcoxon(differences).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Holm 1979) over those that are not ``None``.

    Example:
        >>> holm([0.01, None, 0.04])
        [0.02, None, 0.04]
    """
    multitest = needed("statsmodels.stats.multitest", extra="benchmark", purpose="the benchmark's tests")
    known: NDArray[np.int64] = np.array([i for i, p in enumerate(p_values) if p is not None], dtype=np.int64)
    corrected: list[float | None] = [None] * len(p_values)
    if len(known):
        adjusted = multitest.multipletests([p_values[i] for i in known], method="holm")[1]
        for i, p in zip(known, adjusted, strict=True):
            corrected[int(i)] = float(p)
    return corrected
