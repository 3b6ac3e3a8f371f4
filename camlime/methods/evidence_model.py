r"""A linear model of the log-odds that knows how sure it is, and how much a CAM is worth to it.

With ``X`` (n, d) the halved sign rows, ``y`` (n,) the odd parts of the log-odds, and columns ``G`` (d, c) that say
what the network's inside knows of each region (each of unit norm):

.. math:: y = X(Gg + u) + e,\quad u \sim N(0, \lambda^{-1} I),\; g_c \sim N(0, \kappa_c^{-1}),\; e \sim N(0,
\alpha^{-1} I)

The precisions are found by maximising the evidence (MacKay 1992, doi 10.1162/neco.1992.4.3.415; Tipping 2001): a column
that does not help gets an infinite :math:`\kappa_c`, and the model falls back to LIME without a CAM by itself.

Only running sums enter (``X'X``, ``X'y``, ``y'y``, n): memory does not grow with the number of masked images. They are
brought to the eigenvectors of ``X'X`` once, where everything but c by c matrices is diagonal: an iteration costs O(d
c^2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

FloatArray = NDArray[np.float64]

ITERATIONS = 1000
TOLERANCE = 1e-7
"""Iteration ends when a step gains less log evidence than this."""

PRECISION_LIMIT = 1e8
"""In units where y has unit variance: a column at this precision is switched off, noise at it is none."""

FLAT_PRIOR = (1e-6, 1e-12)
"""Gamma hyper-prior (shape, rate) on precisions: all but flat, it only keeps them finite."""

NOISE_PRIOR = (0.5, 5e-5)
"""The same on the noise precision (rate times n) where rows do not outnumber weights: it must not claim no noise."""

FEW_LEFT_OVER = 1.25
"""Times as many rows as weights: up to here standard errors are those of a model with :data:`NOISE_PRIOR`, since
the few rows that are left over may show no noise by chance.
"""


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

    @property
    def interval_factor(self) -> float:
        """Half the width of a 95 % interval in standard errors: Student's, since the noise is estimated as well."""
        return float(student.ppf(0.975, self.degrees_of_freedom))


def unit_columns(columns: FloatArray) -> FloatArray:
    """Scale each column of ``(d, c)`` to unit norm; one that is not finite becomes zero, and so is dropped."""
    clean = np.where(np.isfinite(columns).all(axis=0), columns, 0.0)
    norms = np.linalg.norm(clean, axis=0)
    return clean / np.where(norms > 0, norms, 1.0)


def fit(sums: RunningSums, columns: FloatArray | None = None, known: FloatArray | None = None) -> Posterior:
    """Fit the model by evidence maximisation from several starts; the start with the largest evidence wins.

    Args:
        sums: of at least one row.
        columns: shape ``(d, c)``; scaled to unit norm here. ``None`` for LIME without a CAM.
        known: shape ``(c,)``, precisions of the columns' weights that are known beforehand, in units of the answers and
            for columns of unit norm; NaN for one that is to be found. ``None``: all are to be found.

    Raises:
        ValueError: there is no row yet.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.choice([-0.5, 0.5], size=(64, 3)); sums = RunningSums.empty(3)
        >>> sums.add(x, x @ np.array([2.0, 0.0, -1.0]) + 0.01 * rng.standard_normal(64))
        >>> (fit(sums).mean.round(1) + 0).tolist()
        [2.0, 0.0, -1.0]
    """
    if sums.n == 0:
        raise ValueError("no rows: nothing to fit")
    d = len(sums.xty)
    g = np.zeros((d, 0)) if columns is None else unit_columns(columns)
    scale = np.sqrt(sums.yty / sums.n)
    if scale == 0:
        return _nothing_moves(d, g.shape[1])
    eigenvalues, eigenvectors = np.linalg.eigh(sums.xtx)
    problem = _Problem(
        np.maximum(eigenvalues, 0.0),
        eigenvectors.T @ g,
        eigenvectors.T @ sums.xty / scale,
        sums.n,
        guarded=sums.n <= d,
        known=np.full(g.shape[1], np.nan) if known is None else known * scale**2,
    )
    best = problem.best()
    sure = problem.for_errors(best)
    spread = eigenvectors @ sure.shrunk
    covariance = (eigenvectors / sure.diagonal) @ eigenvectors.T + spread @ sure.column_covariance @ spread.T
    return Posterior(
        mean=eigenvectors @ best.mean * scale,
        covariance=covariance * scale**2,
        column_weights=best.column_weights * scale,
        column_std=np.sqrt(np.diag(best.column_covariance)) * scale,
        column_precision=best.kappa / scale**2,
        weight_precision=best.lam / scale**2,
        noise_precision=best.alpha / scale**2,
        log_evidence=best.log_evidence - sums.n * float(np.log(scale)),
        degrees_of_freedom=max(sums.n - sure.parameters, 1.0),
    )


@dataclass(frozen=True)
class _Solution:
    """The posterior at given precisions, in the eigenvectors' basis and in units where y has unit variance."""

    kappa: FloatArray
    lam: float
    alpha: float
    diagonal: FloatArray
    """Posterior precision of the free weights u for known g, shape ``(d,)``."""
    shrunk: FloatArray
    """What of the columns the rows leave undetermined, ``lambda (alpha X'X + lambda)^-1 G``, shape ``(d, c)``."""
    column_weights: FloatArray
    column_covariance: FloatArray
    mean: FloatArray
    determined_columns: FloatArray
    determined_free: float
    free_square: float
    residual: float
    log_evidence: float
    objective: float

    @property
    def parameters(self) -> float:
        """Effective number of parameters."""
        return float(self.determined_columns.sum()) + self.determined_free


@dataclass(frozen=True)
class _Problem:
    """Running sums in the eigenvectors' basis, in units where y has unit variance (so ``y'y = n``)."""

    eigenvalues: FloatArray
    columns: FloatArray
    xty: FloatArray
    n: int
    guarded: bool
    known: FloatArray
    """Precisions that are known, NaN elsewhere."""

    def best(self) -> _Solution:
        """The better of two starts."""
        even = float(self.eigenvalues.sum()) / self.n
        return max((self.maximise(even, 10.0), self.maximise(100 * even, 10.0)), key=lambda s: s.objective)

    def for_errors(self, best: _Solution) -> _Solution:
        """What standard errors are taken of: the evidence is a point, and may be too sure of itself.

        Where noise outweighs the weights, the evidence often grows with lambda without end: all weights are zero, for
        certain. As errors count, the prior is no narrower than what the rows alone tell of a weight.
        """
        d = len(self.columns)
        if self.n <= d:
            return best
        if self.n <= FEW_LEFT_OVER * d:
            best = replace(self, guarded=True).best()
        told = best.alpha * float(self.eigenvalues.mean())
        return best if best.lam <= told else self.posterior(best.kappa, told, best.alpha)

    def maximise(self, lam: float, alpha: float) -> _Solution:
        """MacKay's fixed point from a start."""
        d = len(self.columns)
        free = np.isnan(self.known)
        solution = self.posterior(np.where(free, 0.1 * d, self.known), lam, alpha)
        shape, rate = self.noise_prior
        for _ in range(ITERATIONS):
            old = solution
            column_squares = old.column_weights**2
            kappa = (np.maximum(old.determined_columns, 0) + 2 * FLAT_PRIOR[0]) / (column_squares + 2 * FLAT_PRIOR[1])
            lam = (max(old.determined_free, 0.0) + 2 * FLAT_PRIOR[0]) / (old.free_square + 2 * FLAT_PRIOR[1])
            alpha = (max(self.n - old.parameters, 0.0) + 2 * shape) / (old.residual + 2 * rate)
            kappa = np.where(free, np.minimum(kappa, PRECISION_LIMIT), self.known)
            solution = self.posterior(kappa, min(lam, PRECISION_LIMIT), min(alpha, PRECISION_LIMIT))
            if abs(solution.objective - old.objective) < TOLERANCE:
                break
        return solution

    @property
    def noise_prior(self) -> tuple[float, float]:
        """Shape and rate on the noise precision."""
        return (NOISE_PRIOR[0], NOISE_PRIOR[1] * self.n) if self.guarded else FLAT_PRIOR

    def posterior(self, kappa: FloatArray, lam: float, alpha: float) -> _Solution:
        """Means, covariances and evidence at given precisions; n may be smaller than d."""
        d, c = self.columns.shape
        diagonal = alpha * self.eigenvalues + lam
        shrunk = (lam / diagonal)[:, None] * self.columns
        scale = 1 / np.sqrt(kappa)
        data = alpha * (self.columns * self.eigenvalues[:, None]).T @ shrunk
        precision = np.eye(c) + data * scale[:, None] * scale
        column_covariance = np.linalg.inv(precision) * scale[:, None] * scale
        g = column_covariance @ (alpha * shrunk.T @ self.xty)
        free = alpha * (self.xty - self.eigenvalues * (self.columns @ g)) / diagonal
        mean = self.columns @ g + free
        told = self.columns - shrunk
        free_trace = float((1 / diagonal).sum() + ((told @ column_covariance) * told).sum())
        residual = max(float(self.n - 2 * mean @ self.xty + self.eigenvalues @ mean**2), 0.0)
        free_square = float(free @ free)
        log_det = float(np.log(diagonal).sum() + np.linalg.slogdet(precision)[1])
        log_evidence = 0.5 * (
            self.n * np.log(alpha / (2 * np.pi))
            + d * np.log(lam)
            - log_det
            - alpha * residual
            - kappa @ g**2
            - lam * free_square
        )
        shape, rate = self.noise_prior
        hyper = shape * np.log(alpha) - rate * alpha
        hyper += sum(FLAT_PRIOR[0] * np.log(p) - FLAT_PRIOR[1] * p for p in [*kappa, lam])
        return _Solution(
            kappa, lam, alpha, diagonal, shrunk, g, column_covariance, mean,
            determined_columns=1 - kappa * np.diag(column_covariance),
            determined_free=d - lam * free_trace,
            free_square=free_square,
            residual=residual,
            log_evidence=float(log_evidence),
            objective=float(log_evidence + hyper),
        )  # fmt: skip


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
