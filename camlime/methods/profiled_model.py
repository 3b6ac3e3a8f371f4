r"""The evidence model with derivatives: what the network says of each region, and how far it may be from the truth.

Derivatives of the log-odds with respect to the regions' presences, at a few masks, say two things of each weight. Their
mean :math:`a_j` is a guess of it, in the same unit. Their mean *square* :math:`h_j` (scaled to mean 1) says how far the
weight may stray from the guess, since most regions of a medical image leave the model's answer as it is:

.. math:: \beta_j = (1 + g)\, a_j + (G g')_j + u_j,\quad u_j \sim N(0, v_j / \lambda),\quad v_j = w + (1 - w) h_j

with the CAM columns :math:`G` of :mod:`~camlime.methods.evidence_model`. How much any of this is worth is not known
beforehand. So models with and without derivatives, with and without CAMs, and with each :data:`EVENNESS` :math:`w` are
fitted and averaged by their evidence (Hoeting et al. 1999, doi 10.1214/ss/1009212519): what misleads is voted down by
the masked images, and where they cannot tell yet, the disagreement between the models enters the standard errors.

With :math:`u = V^{1/2} u'` the model of each :math:`w` is the plain one in scaled rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from camlime.methods.evidence_model import FloatArray, Posterior, RunningSums, fit, unit_columns

EVENNESS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Values of w that are tried, equally probable beforehand; 1 for a guess alone."""

PRIOR_OF_DERIVATIVES = 1 / 3
"""Prior probability that derivatives say anything of the weights."""

SPREAD_OF_GUESS = 0.4
"""Prior standard deviation of g: by how much derivatives are off, all together. Derivatives that the masked images
contradict would need g = -1, so that a model in which they are right about sizes alone gets little of the vote.
"""

PRIOR_OF_CAMS = 1 / 5
"""The same of CAMs. On the nodules that settings were chosen on they were worth nothing beside derivatives, and wrong
ones cost the less, the less they are believed beforehand; where derivatives say nothing, the evidence for a CAM that is
right soon outweighs this.
"""


NEGLIGIBLE = 1e-12
"""Share of the answers' squares that rounding errors may leave where a guess explains all of them."""


@dataclass(frozen=True)
class Derivatives:
    """Of the log-odds with respect to each region's presence, near a few masks.

    Args:
        mean: shape ``(d,)``, in log-odds.
        square: shape ``(d,)``, mean of the squares.
    """

    mean: FloatArray
    square: FloatArray

    @property
    def usable(self) -> bool:
        """Whether they say anything: they are finite, and not zero everywhere."""
        return bool(
            np.isfinite(self.mean).all() and np.isfinite(self.square).all() and self.square.max(initial=0.0) > 0
        )


@dataclass(frozen=True)
class Averaged:
    """What the models believe together.

    Args:
        posterior: moments of the mixture; its precisions are those of the most probable model. ``column_weights`` are
            those of the CAMs (of unit norm), then :math:`1 + g` of the derivatives if there are any (0 in models
            without).
        evenness: posterior mean of w, 1 in models without derivatives: near 1 where the squares were not used.
        share_of_derivatives: posterior probability of the models with derivatives; 0 if none were given.
        share_of_cams: the same of CAMs.
    """

    posterior: Posterior
    evenness: float
    share_of_derivatives: float
    share_of_cams: float


@dataclass(frozen=True)
class _Model:
    posterior: Posterior
    log_vote: float
    evenness: float
    derivatives: bool
    cams: bool


def fit_profiled(sums: RunningSums, cams: FloatArray | None = None, derivatives: Derivatives | None = None) -> Averaged:
    """Fit every model and average by evidence.

    Args:
        sums: of at least one row.
        cams: shape ``(d, c)``, CAMs summed over the regions; ``None`` for none.
        derivatives: ``None``, zero or not finite for none.

    Raises:
        ValueError: there is no row yet.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.choice([-0.5, 0.5], size=(8, 40)); sums = RunningSums.empty(40)
        >>> truth = np.zeros(40); truth[:3] = 2.0, -1.0, 1.0
        >>> sums.add(x, x @ truth)
        >>> hints = (None, Derivatives(0.8 * truth, truth**2))
        >>> [round(float(np.linalg.norm(fit_profiled(sums, None, h).posterior.mean - truth)), 1) for h in hints]
        [2.1, 0.0]
    """
    told = derivatives if derivatives is not None and derivatives.usable and sums.yty > 0 else None
    width = 0 if cams is None else cams.shape[1]
    total = width + (derivatives is not None)
    models = []
    for columns in [None] if cams is None else [None, cams]:
        places: list[int] = [] if columns is None else list(range(width))
        prior = 0.0 if cams is None else _log_share(PRIOR_OF_CAMS, columns is not None)
        plain = _in_place(fit(sums, columns), places, total)
        without = 0.0 if told is None else _log_share(PRIOR_OF_DERIVATIVES, False)
        models.append(_Model(plain, plain.log_evidence + prior + without, 1.0, False, columns is not None))
        if told is None:
            continue
        prior += _log_share(PRIOR_OF_DERIVATIVES, True) - float(np.log(len(EVENNESS)))
        for w in EVENNESS:
            found = _in_place(_about_the_guess(sums, columns, told, w), [*places, width], total)
            models.append(_Model(found, found.log_evidence + prior, w, True, columns is not None))
    votes = np.array([model.log_vote for model in models])
    shares = np.exp(votes - logsumexp(votes))
    return Averaged(
        _mixture([model.posterior for model in models], shares, float(logsumexp(votes))),
        evenness=float(shares @ [model.evenness for model in models]),
        share_of_derivatives=float(shares @ [model.derivatives for model in models]),
        share_of_cams=float(shares @ [model.cams for model in models]),
    )


def _log_share(probability: float, yes: bool) -> float:
    return float(np.log(probability if yes else 1 - probability))


def _about_the_guess(sums: RunningSums, cams: FloatArray | None, told: Derivatives, w: float) -> Posterior:
    """The posterior where weights stray from the derivatives' mean; the last column is the mean, its weight g."""
    guess = told.mean
    columns = guess[:, None] if cams is None else np.concatenate([cams, guess[:, None]], axis=1)
    seen = sums.xtx @ guess
    rest = float(sums.yty - 2 * guess @ sums.xty + guess @ seen)
    left = RunningSums(sums.xtx, sums.xty - seen, max(rest, NEGLIGIBLE * sums.yty), sums.n)
    norm = np.linalg.norm(guess) or 1.0
    known = np.append(np.full(columns.shape[1] - 1, np.nan), 1 / (SPREAD_OF_GUESS * norm) ** 2)
    found = _with_evenness(left, columns, w + (1 - w) * told.square / told.square.mean(), known)
    scale = np.append(np.ones(columns.shape[1] - 1), norm)
    return replace(
        found,
        mean=found.mean + guess,
        column_weights=found.column_weights / scale + np.append(np.zeros(len(scale) - 1), 1.0),
        column_std=found.column_std / scale,
        column_precision=found.column_precision * scale**2,
    )


def _with_evenness(
    sums: RunningSums, columns: FloatArray | None, variances: FloatArray, known: FloatArray | None = None
) -> Posterior:
    """The posterior where the free weights' prior variances are in these proportions; ``known`` as in :func:`fit`."""
    root = np.sqrt(variances)
    scaled_sums = RunningSums(sums.xtx * np.outer(root, root), sums.xty * root, sums.yty, sums.n)
    scaled_columns = None if columns is None else unit_columns(columns) / root[:, None]
    norms = np.ones(0) if scaled_columns is None else np.linalg.norm(scaled_columns, axis=0)
    norms = np.where(norms > 0, norms, 1.0)
    found = fit(scaled_sums, scaled_columns, None if known is None else known / norms**2)
    return replace(
        found,
        mean=found.mean * root,
        covariance=found.covariance * np.outer(root, root),
        column_weights=found.column_weights / norms,
        column_std=found.column_std / norms,
        column_precision=found.column_precision * norms**2,
    )


def _in_place(found: Posterior, places: Sequence[int], total: int) -> Posterior:
    """The same posterior with weights for all columns: those that the model lacks are 0, for certain."""
    weights, std, precision = np.zeros(total), np.zeros(total), np.full(total, np.inf)
    weights[places], std[places], precision[places] = found.column_weights, found.column_std, found.column_precision
    return replace(found, column_weights=weights, column_std=std, column_precision=precision)


def _mixture(found: list[Posterior], shares: FloatArray, log_evidence: float) -> Posterior:
    """Moments of the mixture; precisions of its most probable part."""
    mean = shares @ np.stack([p.mean for p in found])
    covariance = np.zeros_like(found[0].covariance)
    for share, posterior in zip(shares, found, strict=True):
        apart = posterior.mean - mean
        covariance += share * (posterior.covariance + np.outer(apart, apart))
    weights = np.stack([p.column_weights for p in found])
    column_mean = shares @ weights
    column_variance = shares @ (np.stack([p.column_std for p in found]) ** 2 + (weights - column_mean) ** 2)
    return replace(
        found[int(shares.argmax())],
        mean=mean,
        covariance=covariance,
        column_weights=column_mean,
        column_std=np.sqrt(column_variance),
        log_evidence=log_evidence,
        degrees_of_freedom=float(shares @ np.array([p.degrees_of_freedom for p in found])),
    )
