"""A Gaussian process over the unit cube: which untried places look promising.

Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: prediction (2.25)-(2.26),
marginal likelihood (2.30) and its gradient (5.9), Matérn 5/2 (4.17). Length-scale prior that
grows with the dimension: Hvarfner, Hellsten and Nardi, Vanilla Bayesian Optimization Performs
Great in High Dimensions, 2024.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

from llmpso.search.cube import Floats
from llmpso.space import Categorical, SearchSpace

MAX_FITTED = 150
"""Observations that the hyperparameters are fitted on; all of them are predicted from."""

Trend = Callable[[Floats], Floats]
"""From positions, shape (n_places, n_dims), to scores, shape (n_places,)."""

CLIPPED = 0.3
"""Share of the observations whose values count as equally bad."""

JITTER = 1e-6
"""Least noise variance: keeps the covariance invertible."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Log-normal priors (mean and deviation of the logarithm) on the model's hyperparameters."""

    length: float = 0.0
    """Of a length scale in one dimension; half the log of the number of dimensions is added."""
    length_deviation: float = 1.0
    signal: float = 0.0
    signal_deviation: float = 1.0
    noise: float = -5.0
    noise_deviation: float = 1.5


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a surrogate expects at some places; all arrays have shape (n_places,)."""

    means: Floats
    """Scores: lower is better, 0 is the middle of what was observed."""
    deviations: Floats
    failing: Floats
    """Probability that the trial fails."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fitted model; `fitted` makes one."""

    unordered: NDArray[np.bool_]  # (n_dims,), dimensions without neighbours
    positions: Floats  # (n_observations, n_dims), unit cube
    scores: Floats  # (n_observations,)
    theta: Floats  # (n_dims + 2,), logs of length scales, signal and noise variance
    cholesky: Floats  # (n_observations, n_observations), lower factor of the covariance
    weights: Floats  # (n_observations,), covariance^-1 scores
    failed_positions: Floats  # (n_failed, n_dims)
    trend: Trend | None = None
    """What is believed before any observation; nothing if None."""

    @property
    def best(self) -> float:
        """The lowest score observed."""
        return float(self.scores.min())

    @property
    def skill(self) -> float:
        """How well each observation is ranked by the others, in [-1, 1] (correlation of ranks).

        The means without one observation each are those of Sundararajan and Keerthi (2001).
        """
        inverse = np.diag(cho_solve((self.cholesky, True), np.eye(len(self.scores))))
        return correlation(self.scores - self.weights / inverse, self.scores)

    @property
    def length_scales(self) -> Floats:
        """How far one must go in each dimension until the value changes, shape (n_dims,)."""
        scales: Floats = np.exp(self.theta[:-2])
        return scales

    def predict(self, positions: Floats) -> Prediction:
        """Expect values and failures at places of the unit cube, shape (n_places, n_dims)."""
        cross = _covariance(self.theta, _apart(positions, self.positions, self.unordered))
        shrunk = solve_triangular(self.cholesky, cross.T, lower=True, check_finite=False)
        variances = math.exp(self.theta[-2]) - np.sum(shrunk**2, axis=0)
        deviations = np.sqrt(np.maximum(variances, 1e-12))
        means = cross @ self.weights + _expected(self.trend, positions)
        return Prediction(means, deviations, self._failing(positions, cross))

    def believing(self, positions: Floats, scores: Floats) -> Self:
        """The same model after further observations, for example lies inside a batch."""
        known = np.vstack([self.positions, positions])
        told = np.concatenate([self.scores, scores])
        apart, rest = _apart(known, known, self.unordered), told - _expected(self.trend, known)
        factor, weights = _conditioned(self.theta, apart, rest)
        return replace(self, positions=known, scores=told, cholesky=factor, weights=weights)

    def _failing(self, positions: Floats, cross: Floats) -> Floats:
        """Share of failures among the observations, each weighed by its correlation."""
        if not len(self.failed_positions):
            return np.zeros(len(positions))
        apart = _apart(positions, self.failed_positions, self.unordered)
        failed = _covariance(self.theta, apart).sum(axis=1)
        rate = len(self.failed_positions) / (len(self.failed_positions) + len(self.positions))
        signal = math.exp(self.theta[-2])
        share: Floats = (failed + signal * rate) / (failed + cross.sum(axis=1) + signal)
        return share


def fitted(
    space: SearchSpace,
    positions: Floats,
    values: Floats,
    prior: Prior = Prior(),
    trend: Trend | None = None,
) -> Surrogate:
    """Fit by the most probable hyperparameters (maximum a posteriori).

    Args:
        space: Tells which dimensions have no order: there all places are equally far apart.
        positions: Snapped positions, shape (n_observations, n_dims).
        values: What was measured, shape (n_observations,); inf for a failed trial.
        prior: Beliefs about the hyperparameters.
        trend: What is believed of the scores before; the model explains what it leaves.
    """
    unordered = np.array([isinstance(d, Categorical) and not d.ordered for d in space.values()])
    succeeded = np.isfinite(values)
    known, scores = positions[succeeded], clipped_scores(values[succeeded])
    rest, fit = scores - _expected(trend, known), _informative(scores)
    theta = _most_probable(_apart(known[fit], known[fit], unordered), rest[fit], prior)
    factor, weights = _conditioned(theta, _apart(known, known, unordered), rest)
    failed = positions[~succeeded]
    return Surrogate(unordered, known, scores, theta, factor, weights, failed, trend)


def expected_improvement(prediction: Prediction, best: float) -> Floats:
    """How far each place is expected to fall below `best`, shape (n_places,).

    Jones, Schonlau and Welch, Efficient Global Optimization, 1998, equation 15, times the
    probability that the trial succeeds.
    """
    ahead, deviations = best - prediction.means, prediction.deviations
    z = ahead / deviations
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    gain: Floats = (ahead * ndtr(z) + deviations * density) * (1 - prediction.failing)
    return gain


def clipped_scores(values: Floats) -> Floats:
    """Values with the worst `CLIPPED` cut off, then standardised; zeros if nothing differs.

    How bad a bad place is must not bend the model where it matters; how good a good place is
    must: ranks (see `normal_scores`) flatten the way down to a minimum.
    """
    cut = np.minimum(values, np.quantile(values, 1 - CLIPPED))
    spread = float(cut.std())
    scores: Floats = (cut - cut.mean()) / spread if spread > 0 else np.zeros(len(cut))
    return scores


def normal_scores(values: Floats) -> Floats:
    """Ranks as quantiles of the standard normal (Blom 1958); ties share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    scores: Floats = ndtri((ranks - 0.375) / (len(values) + 0.25))
    return scores


def correlation(a: Floats, b: Floats) -> float:
    """Correlation of the ranks of two series; 0 where one of them is constant."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(normal_scores(a), normal_scores(b))[0, 1])


def _expected(trend: Trend | None, positions: Floats) -> Floats:
    return np.zeros(len(positions)) if trend is None else trend(positions)


def _informative(scores: Floats) -> NDArray[np.intp]:
    """Which observations to fit on: all, or the best half of the limit and an even rest."""
    order = np.argsort(scores, kind="stable")
    if len(order) <= MAX_FITTED:
        return np.arange(len(order))
    half = MAX_FITTED // 2
    rest = np.linspace(half, len(order) - 1, MAX_FITTED - half).astype(int)
    return np.concatenate([order[:half], order[rest]])


def _apart(a: Floats, b: Floats, unordered: NDArray[np.bool_]) -> Floats:
    """Squared distances by dimension, shape (n_dims, n_a, n_b): 0 or 1 where nothing is near."""
    difference = a.T[:, :, np.newaxis] - b.T[:, np.newaxis, :]
    squared = difference**2
    squared[unordered] = difference[unordered] != 0
    return squared


def _covariance(theta: Floats, apart: Floats) -> Floats:
    r = np.sqrt(5 * np.tensordot(np.exp(-2 * theta[:-2]), apart, axes=1))
    covariance: Floats = math.exp(theta[-2]) * (1 + r + r**2 / 3) * np.exp(-r)
    return covariance


def _conditioned(theta: Floats, apart: Floats, scores: Floats) -> tuple[Floats, Floats]:
    covariance = _covariance(theta, apart)
    covariance[np.diag_indices_from(covariance)] += math.exp(theta[-1]) + JITTER
    factor = cholesky(covariance, lower=True, check_finite=False)
    return factor, cho_solve((factor, True), scores, check_finite=False)


def _most_probable(apart: Floats, scores: Floats, prior: Prior) -> Floats:
    n_dims = len(apart)
    means = np.full(n_dims + 2, prior.length + 0.5 * math.log(n_dims))
    means[-2:] = prior.signal, prior.noise
    deviations = np.full(n_dims + 2, prior.length_deviation)
    deviations[-2:] = prior.signal_deviation, prior.noise_deviation

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, gradient = _negative_log_likelihood(theta, apart, scores)
        off = (theta - means) / deviations
        return value + 0.5 * float(off @ off), gradient + off / deviations

    bounds = list(zip(means - 4 * deviations, means + 4 * deviations, strict=True))
    found = minimize(
        loss, means, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}
    )
    theta: Floats = found.x
    return theta


def _negative_log_likelihood(theta: Floats, apart: Floats, scores: Floats) -> tuple[float, Floats]:
    """Minus (2.30) without its constant, and its gradient by (5.9)."""
    scales = np.exp(-2 * theta[:-2])
    r = np.sqrt(5 * np.tensordot(scales, apart, axes=1))
    decay = math.exp(theta[-2]) * np.exp(-r)
    covariance = decay * (1 + r + r**2 / 3)
    noisy = covariance.copy()
    noise = math.exp(theta[-1])
    noisy[np.diag_indices_from(noisy)] += noise + JITTER
    factor = cholesky(noisy, lower=True, check_finite=False)
    weights = cho_solve((factor, True), scores, check_finite=False)
    value = 0.5 * float(scores @ weights) + float(np.log(np.diag(factor)).sum())
    inverse, _ = dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    slope = 0.5 * (inverse - np.outer(weights, weights))
    # d covariance / d log length_j = 5/3 (1 + r) decay * apart_j * scale_j
    shared = (slope * decay * (1 + r) * (5 / 3)).ravel()
    lengths = (apart.reshape(len(apart), -1) @ shared) * scales
    variances = float(np.sum(slope * covariance)), noise * float(np.trace(slope))
    return value, np.append(lengths, variances)
