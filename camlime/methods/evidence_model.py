r"""A linear model of the log-odds that knows how sure it is, and how much a CAM is worth to it.

With ``X`` (n, d) the halved sign rows, ``y`` (n,) the odd parts of the log-odds, and columns ``G`` (d, c) that say what the
network's inside knows of each region (each of unit norm):

.. math:: y = X(Gg + u) + e,\quad u \sim N(0, \lambda^{-1} I),\; g_c \sim N(0, \kappa_c^{-1}),\; e \sim N(0, \alpha^{-1} I)

The precisions are found by maximising the evidence (MacKay 1992, doi 10.1162/neco.1992.4.3.415; Tipping 2001): a column
that does not help gets an infinite :math:`\kappa_c`, and the model falls back to LIME without a CAM by itself.

Only running sums enter (``X'X``, ``X'y``, ``y'y``, n): memory does not grow with the number of masked images.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

FloatArray = NDArray[np.float64]

ITERATIONS = 300
TOLERANCE = 1e-5
"""Iteration ends when no log precision moves by more than this."""

PRECISION_LIMIT = 1e8
"""In units where y has unit variance: a column at this precision is switched off, noise at it is none."""

NOISE_PRIOR = (0.5, 5e-5)
"""Gamma hyper-prior (shape, rate) on the noise precision, y scaled to unit variance: keeps n < d from claiming no noise."""

WEIGHT_PRIOR = (1e-3, 1e-6)
"""Gamma hyper-prior on the precisions of weights and columns: all but flat, it only keeps them finite."""


@dataclass
class RunningSums:
    """``X'X``, ``X'y``, ``y'y`` and n of a regression without intercept; float64.

    Example:
        >>> sums = RunningSums.empty(2)
        >>> sums.add(np.array([[0.5, -0.5]]), np.array([1.0]))
        >>> sums.n, sums.xty.tolist()
        (1, [0.5, -0.5])
    """

    xtx: FloatArray
    xty: FloatArray
    yty: float = 0.0
    n: int = 0

    @classmethod
    def empty(cls, regions: int) -> RunningSums:
        """Sums of nothing yet for ``regions`` weights."""
        return cls(np.zeros((regions, regions)), np.zeros(regions))

    def add(self, x: FloatArray, y: FloatArray) -> None:
        """Add rows ``x`` (n, d) and answers ``y`` (n,)."""
        self.xtx += x.T @ x
        self.xty += x.T @ y
        self.yty += float(y @ y)
        self.n += len(y)


@dataclass(frozen=True)
class Posterior:
    """What the model believes after the masked images.

    Args:
        mean: shape ``(d,)``: log-odds that each region adds by being there.
        covariance: shape ``(d, d)`` of those.
        column_weights: shape ``(c,)``: g, the weight of each column (of unit norm).
        column_std: shape ``(c,)``.
        column_precision: shape ``(c,)``: kappa in units of y; a column is switched off when it is huge.
        weight_precision: lambda.
        noise_precision: alpha.
        log_evidence: log p(y) at these precisions, natural logarithm.
        degrees_of_freedom: n minus the effective number of parameters, for the intervals' quantiles.
    """

    mean: FloatArray
    covariance: FloatArray = field(repr=False)
    column_weights: FloatArray
    column_std: FloatArray
    column_precision: FloatArray
    weight_precision: float
    noise_precision: float
    log_evidence: float
    degrees_of_freedom: float

    @property
    def std(self) -> FloatArray:
        """Standard errors of the weights, shape ``(d,)``."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))


def unit_columns(columns: FloatArray) -> FloatArray:
    """Scale each column of ``(d, c)`` to unit norm; a column that is zero or not finite becomes zero (and is dropped)."""
    clean = np.where(np.isfinite(columns).all(axis=0), columns, 0.0)
    norms = np.linalg.norm(clean, axis=0)
    return clean / np.where(norms > 0, norms, 1.0)


def fit(sums: RunningSums, columns: FloatArray | None = None) -> Posterior:
    """Fit the model by evidence maximisation from several starts; the start with the largest evidence wins.

    Args:
        sums: of at least one row.
        columns: shape ``(d, c)``; scaled to unit norm here. ``None`` for LIME without a CAM.

    Raises:
        ValueError: there is no row yet.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.choice([-0.5, 0.5], size=(64, 3)); sums = RunningSums.empty(3)
        >>> sums.add(x, x @ np.array([2.0, 0.0, -1.0]) + 0.01 * rng.standard_normal(64))
        >>> fit(sums).mean.round(1).tolist()
        [2.0, 0.0, -1.0]
    """
    if sums.n == 0:
        raise ValueError("no rows: nothing to fit")
    d = len(sums.xty)
    g = np.zeros((d, 0)) if columns is None else unit_columns(columns)
    scale = np.sqrt(sums.yty / sums.n)
    if scale == 0:
        return _nothing_moves(d, g.shape[1])
    lift = np.hstack([g, np.eye(d)])
    ftf = lift.T @ sums.xtx @ lift
    fty = lift.T @ sums.xty / scale
    size = float(np.trace(sums.xtx)) / max(sums.n, 1)
    starts = [(size, 10.0)] if g.shape[1] == 0 else [(size, 10.0), (100 * size, 10.0)]
    solutions = [_maximise(ftf, fty, sums.n, g.shape[1], start) for start in starts]
    best = max(solutions, key=lambda s: s.objective)
    c = g.shape[1]
    covariance = lift @ best.covariance @ lift.T * scale**2
    return Posterior(
        mean=lift @ best.theta * scale,
        covariance=covariance,
        column_weights=best.theta[:c] * scale,
        column_std=np.sqrt(np.diag(best.covariance)[:c]) * scale,
        column_precision=best.precision[:c] / scale**2,
        weight_precision=float(best.precision[-1]) / scale**2,
        noise_precision=best.alpha / scale**2,
        log_evidence=best.log_evidence - sums.n * float(np.log(scale)),
        degrees_of_freedom=max(sums.n - best.parameters, 1.0),
    )


@dataclass(frozen=True)
class _Solution:
    theta: FloatArray
    covariance: FloatArray
    precision: FloatArray
    alpha: float
    log_evidence: float
    objective: float
    parameters: float


def _maximise(ftf: FloatArray, fty: FloatArray, n: int, c: int, start: tuple[float, float]) -> _Solution:
    """MacKay's fixed point in units where ``y`` has unit variance, so ``y'y = n``; ``start`` is (precision, alpha)."""
    d = len(fty) - c
    kappa, lam, alpha = np.full(c, float(d) * 0.1), start[0], start[1]
    precision = np.concatenate([kappa, np.full(d, lam)])
    covariance, theta, log_det = _posterior(ftf, fty, precision, alpha)
    for _ in range(ITERATIONS):
        spread = np.diag(covariance)
        determined = 1 - precision * spread
        rss = max(n - 2 * theta @ fty + theta @ ftf @ theta, 0.0)
        new_kappa = (np.maximum(determined[:c], 0) + 2 * WEIGHT_PRIOR[0]) / (theta[:c] ** 2 + 2 * WEIGHT_PRIOR[1])
        new_lam = (max(determined[c:].sum(), 0) + 2 * WEIGHT_PRIOR[0]) / (theta[c:] @ theta[c:] + 2 * WEIGHT_PRIOR[1])
        new_alpha = (max(n - determined.sum(), 0) + 2 * NOISE_PRIOR[0]) / (rss + 2 * NOISE_PRIOR[1] * n)
        new = np.minimum(np.concatenate([new_kappa, [new_lam, new_alpha]]), PRECISION_LIMIT)
        moved = np.abs(np.log(new / np.concatenate([kappa, [lam, alpha]]))).max()
        kappa, lam, alpha = new[:c], float(new[c]), float(new[c + 1])
        precision = np.concatenate([kappa, np.full(d, lam)])
        covariance, theta, log_det = _posterior(ftf, fty, precision, alpha)
        if moved < TOLERANCE:
            break
    rss = max(n - 2 * theta @ fty + theta @ ftf @ theta, 0.0)
    log_evidence = 0.5 * (
        n * np.log(alpha / (2 * np.pi)) + np.log(precision).sum() - log_det - alpha * rss - theta @ (precision * theta)
    )
    hyper = NOISE_PRIOR[0] * np.log(alpha) - NOISE_PRIOR[1] * n * alpha
    hyper += sum(WEIGHT_PRIOR[0] * np.log(p) - WEIGHT_PRIOR[1] * p for p in [*kappa, lam])
    parameters = float((1 - precision * np.diag(covariance)).sum())
    return _Solution(theta, covariance, precision, alpha, float(log_evidence), float(log_evidence + hyper), parameters)


def _posterior(
    ftf: FloatArray, fty: FloatArray, precision: FloatArray, alpha: float
) -> tuple[FloatArray, FloatArray, float]:
    """Covariance, mean and log determinant of the posterior precision ``alpha F'F + D``.

    Solved in coordinates scaled by ``D^(-1/2)``, where the matrix is at least the identity: precisions may differ by ten
    orders of magnitude and n may be smaller than d.
    """
    shrink = 1 / np.sqrt(precision)
    scaled = np.eye(len(fty)) + alpha * ftf * shrink[:, None] * shrink
    factor = cho_factor(scaled, lower=True)
    covariance = cho_solve(factor, np.eye(len(fty))) * shrink[:, None] * shrink
    log_det = 2 * float(np.log(np.diag(factor[0])).sum()) + float(np.log(precision).sum())
    return covariance, alpha * covariance @ fty, log_det


def _nothing_moves(d: int, c: int) -> Posterior:
    """The model's answer never changed: every weight is zero, exactly."""
    return Posterior(
        mean=np.zeros(d),
        covariance=np.zeros((d, d)),
        column_weights=np.zeros(c),
        column_std=np.zeros(c),
        column_precision=np.full(c, np.inf),
        weight_precision=np.inf,
        noise_precision=np.inf,
        log_evidence=0.0,
        degrees_of_freedom=1.0,
    )
