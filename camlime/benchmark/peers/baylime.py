r"""BayLIME, re-stated from its paper (Zhao et al., UAI 2021, arXiv:2012.03058), on our regions, log-odds and baseline.

The lime package's coins and kernel :math:`W`, and instead of its ridge a Bayesian linear regression,

.. math:: \Sigma = (\lambda I + \alpha X^T W X)^{-1}, \quad \mu = \Sigma (\lambda \mu_0 + \alpha X^T W y)

Two of the paper's options: without an informative prior (:math:`\mu_0 = 0`; :math:`\alpha` and :math:`\lambda` fitted
by scikit-learn's ``BayesianRidge``), and with a full informative prior, whose mean is here Grad-CAM summed over the
regions, scaled so that the sizes of its weights add up to the log-odds between image and baseline, with
:math:`\alpha = 1, \lambda = 20`, one of the settings of the authors' image experiments.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from camlime.attribution import Attribution, FloatArray
from camlime.benchmark.peers.lime_package import coins_and_answers
from camlime.errors import RequestError
from camlime.extras import needed
from camlime.methods.cam import input_grid_maps
from camlime.methods.case import Case
from camlime.methods.lime import STOCK_KERNEL_WIDTH

ALPHA, LAMBDA = 1.0, 20.0

PRIOR_PASSES = 5
"""Of Grad-CAM (a backward pass counts as two), the image and the baseline."""


def without_prior(case: Case, budget: int) -> Attribution:
    """Both precisions learned from the samples."""
    linear = needed("sklearn.linear_model", extra="benchmark", purpose="the method 'baylime'")
    masks, answers = coins_and_answers(case, budget)
    fitted = linear.BayesianRidge(fit_intercept=True).fit(masks, answers, sample_weight=kernel(masks))
    weights = np.asarray(fitted.coef_, dtype=np.float64)
    std = np.sqrt(np.maximum(np.diag(fitted.sigma_), 0.0))
    return Attribution("baylime", case.regions[0].paint(weights), region_weights=weights, region_std=std)


def with_prior(case: Case, budget: int, layer: str | None = None) -> Attribution:
    """The prior's mean from Grad-CAM, both precisions fixed.

    Raises:
        RequestError: the budget is too small for the prior.
    """
    if budget <= PRIOR_PASSES + 2:
        raise RequestError(f"a budget of {budget} passes is too small for BayLIME's prior", hint="raise the budget")
    prior = _prior(case, layer)
    masks, answers = coins_and_answers(case, budget - PRIOR_PASSES)
    weights, std = posterior(masks.astype(np.float64), answers, kernel(masks), prior, ALPHA, LAMBDA)
    return Attribution("baylime-prior", case.regions[0].paint(weights), region_weights=weights, region_std=std)


def kernel(masks: NDArray[np.int64]) -> FloatArray:
    """The lime package's kernel for images on cosine distances to the full mask ``(N,)``."""
    distance = 1.0 - np.sqrt(masks.sum(axis=1) / masks.shape[1])
    return np.sqrt(np.exp(-(distance**2) / STOCK_KERNEL_WIDTH**2))


def posterior(
    X: FloatArray, y: FloatArray, w: FloatArray, prior: FloatArray, alpha: float, lam: float
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the weights ``(d,)``; the intercept is taken out by weighted centring."""
    X = X - np.average(X, axis=0, weights=w)
    y = y - np.average(y, weights=w)
    covariance = np.linalg.inv(lam * np.eye(X.shape[1]) + alpha * (X.T * w) @ X)
    mean = covariance @ (lam * prior + alpha * (X.T * w) @ y)
    return mean, np.sqrt(np.diag(covariance))


def _prior(case: Case, layer: str | None) -> FloatArray:
    _, maps = input_grid_maps(case, ["gradcam"], target_layer=layer)
    pooled = case.regions[0].pool(maps["gradcam"])
    both = case.classifier.logits(torch.stack([case.input.image, case.baseline]))
    with_all, without = case.classifier.log_odds(both.double(), case.class_index).tolist()
    total = float(np.abs(pooled).sum())
    return pooled * (abs(with_all - without) / total) if total else np.zeros_like(pooled)
