"""Do the two parents agree? What the CAM says of each region against what removing the region does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student

from camlime.methods.evidence_model import FloatArray, Posterior, RunningSums, fit, unit_columns

Badge = Literal["concordant", "CAM uninformative", "conflict"]

LOG_EVIDENCE_NEEDED = float(np.log(3.0))
"""A Bayes factor below 3 is "not worth more than a bare mention".

Kass & Raftery 1995, doi 10.1080/01621459.1995.10476572.
"""

NEGLIGIBLE_SHARE = 0.05
"""Regions with less than this share of the largest weight have no sign to speak of."""


@dataclass(frozen=True)
class Agreement:
    """The CAM against the masked images, from a model with this one column.

    Args:
        cam: which CAM.
        weight: g, log-odds for the CAM's column of unit norm; negative means the CAM points the wrong way.
        interval: its 95 % interval.
        log_evidence_gain: natural log of the Bayes factor of the model with the CAM against the one without.
        sign_agreement: share of regions with more than a negligible weight whose sign is the CAM's; NaN without any.
        top_overlap: share of the ``top`` strongest regions (for the class) that are the CAM's strongest, too; 0 if the
            CAM is the same everywhere.
        top: how many those are, at most half of the regions.
        badge: ``concordant`` (g > 0) and ``conflict`` (g < 0), both beyond doubt and with the evidence risen, or ``CAM
            uninformative``.
    """

    cam: str
    weight: float
    interval: tuple[float, float]
    log_evidence_gain: float
    sign_agreement: float
    top_overlap: float
    top: int
    badge: Badge

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable, NaN as ``None``."""
        signs = None if np.isnan(self.sign_agreement) else self.sign_agreement
        return {**asdict(self), "interval": list(self.interval), "sign_agreement": signs}


def compare(sums: RunningSums, column: FloatArray, *, cam: str, top: int = 10) -> Agreement:
    """Compare a CAM pooled on the regions, shape ``(d,)``, with the masked images behind ``sums``.

    The model has this one column only: several columns are collinear, and then one of them is dropped or turns negative
    for no reason.
    """
    most = min(top, max(len(column) // 2, 1))
    plain = fit(sums)
    with_cam = fit(sums, column[:, None])
    weight, std = _column_effect(with_cam, plain, column)
    reach = float(student.ppf(0.975, with_cam.degrees_of_freedom)) * std
    gain = with_cam.log_evidence - plain.log_evidence
    low, high = weight - reach, weight + reach
    badge: Badge = "CAM uninformative"
    if gain > LOG_EVIDENCE_NEEDED and (high < 0 or low > 0):
        badge = "conflict" if high < 0 else "concordant"
    return Agreement(
        cam=cam,
        weight=weight,
        interval=(low, high),
        log_evidence_gain=gain,
        sign_agreement=_sign_agreement(plain.mean, column),
        top_overlap=_top_overlap(plain.mean, column, most),
        top=most,
        badge=badge,
    )


def _column_effect(with_cam: Posterior, plain: Posterior, column: FloatArray) -> tuple[float, float]:
    """Weight of the column and its standard deviation; if it was dropped, the plain weights' projection on it.

    A dropped column has g = 0 with no spread, which would read as certainty; the projection says how large g could
    be: the least-squares slope of the weights on the column, uncertain by the posterior and by the weights' own
    scatter about it.
    """
    unit = unit_columns(column[:, None])[:, 0]
    if with_cam.column_std.size and abs(with_cam.column_weights[0]) > 1e-3 * np.linalg.norm(plain.mean):
        return float(with_cam.column_weights[0]), float(with_cam.column_std[0])
    weight = float(unit @ plain.mean)
    scatter = float(np.sum((plain.mean - weight * unit) ** 2)) / max(len(unit) - 1, 1)
    return weight, float(np.sqrt(unit @ plain.covariance @ unit + scatter))


def _sign_agreement(weights: FloatArray, column: FloatArray) -> float:
    size = np.abs(weights)
    counted = size > NEGLIGIBLE_SHARE * size.max(initial=0.0)
    return float(np.mean(np.sign(weights[counted]) == np.sign(column[counted]))) if counted.any() else float("nan")


def _top_overlap(weights: FloatArray, column: FloatArray, top: int) -> float:
    if np.ptp(column) == 0:
        return 0.0
    return len(set(np.argsort(-weights)[:top]) & set(np.argsort(-column)[:top])) / top
