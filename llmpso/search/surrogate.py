"""A Gaussian process over the unit cube: which untried places look promising.

Prediction as in Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, (2.25) and
(2.26). Whether a trial fails is believed by a process of its own: the way down to a minimum may be
long and smooth, and the edge that training falls off short and sharp.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.special import ndtr, ndtri

from llmpso.search.failures import FailureModel, fitted_failures
from llmpso.search.gaussian_process import (
    MAX_FITTED,
    PRIOR,
    Prior,
    apart,
    conditioned,
    covariance,
    most_probable,
    posterior,
)
from llmpso.search.subset import around, around_the_best
from llmpso.space import Categorical, Floats, SearchSpace

Trend = Callable[[Floats], Floats]
"""From positions, shape (n_places, n_dims), to scores, shape (n_places,)."""

CAUTION = 8
"""Power of the probability of success. A search whose best lies at an edge that training falls off
fails half of its trials there by 1 and a quarter by 8, and finds as good a place."""

HUGE = 1e100
"""Values from which on squares would overflow: they are scaled first."""

CLIPPED = 0.3
"""Share of the observations whose values count as equally bad."""


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
    trend: Trend | None = None
    """What is believed before any observation; nothing if None."""
    failures: FailureModel | None = None
    """Where trials fail; None if none has."""

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
        cross = covariance(self.theta, positions, self.positions, self.unordered)
        means, variances = posterior(self.theta, self.cholesky, self.weights, cross)
        failing = self.failures.probability(positions) if self.failures else np.zeros(len(means))
        return Prediction(
            means + _expected(self.trend, positions),
            np.sqrt(np.maximum(variances, 1e-12)),
            failing,
        )

    def believing(self, positions: Floats, scores: Floats) -> Self:
        """The same model after further observations, for example lies inside a batch."""
        known = np.vstack([self.positions, positions])
        told = np.concatenate([self.scores, scores])
        rest = told - _expected(self.trend, known)
        factor, weights = conditioned(self.theta, known, rest, self.unordered)
        return replace(self, positions=known, scores=told, cholesky=factor, weights=weights)


def fitted(
    space: SearchSpace,
    positions: Floats,
    values: Floats,
    prior: Prior = PRIOR,
    trend: Trend | None = None,
    like: Surrogate | None = None,
) -> Surrogate:
    """Fit by the most probable hyperparameters (maximum a posteriori).

    Of more than `MAX_OBSERVED` observations some are left out (`llmpso.search.subset`).

    Args:
        space: Tells which dimensions have no order: there all places are equally far apart.
        positions: Snapped positions, shape (n_observations, n_dims).
        values: What was measured, shape (n_observations,); inf for a failed trial.
        prior: Beliefs about the hyperparameters.
        trend: What is believed of the scores before; the model explains what it leaves.
        like: A model whose hyperparameters are taken over, where it has them.
    """
    unordered = np.array([isinstance(d, Categorical) and not d.ordered for d in space.values()])
    succeeded = np.isfinite(values)
    known, scores = positions[succeeded], clipped_scores(values[succeeded])
    rows = around_the_best(known, scores, unordered)
    known, scores = known[rows], scores[rows]
    rest = scores - _expected(trend, known)
    theta = like.theta if like else _most_probable(known, scores, rest, unordered, prior)
    factor, weights = conditioned(theta, known, rest, unordered)
    at = around(positions, known[np.argmin(scores)], unordered)
    failures = fitted_failures(
        positions[at], ~succeeded[at], unordered, prior, like.failures if like else None
    )
    return Surrogate(unordered, known, scores, theta, factor, weights, trend, failures)


def _most_probable(
    positions: Floats, scores: Floats, rest: Floats, unordered: NDArray[np.bool_], prior: Prior
) -> Floats:
    """The hyperparameters by at most `MAX_FITTED` of the observations."""
    fit = _informative(scores)
    return most_probable(apart(positions[fit], positions[fit], unordered), rest[fit], prior)


def expected_improvement(prediction: Prediction, best: float) -> Floats:
    """How far each place is expected to fall below `best`, shape (n_places,).

    Jones, Schonlau and Welch, Efficient Global Optimization, 1998, equation 15, times a power of
    the probability that the trial succeeds.
    """
    ahead, deviations = best - prediction.means, prediction.deviations
    z = ahead / deviations
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    gain: Floats = (ahead * ndtr(z) + deviations * density) * (1 - prediction.failing) ** CAUTION
    return gain


def clipped_scores(values: Floats) -> Floats:
    """Values with the worst `CLIPPED` cut off, then standardised; zeros if nothing differs.

    How bad a bad place is must not bend the model where it matters; how good a good place is
    must: ranks (see `normal_scores`) flatten the way down to a minimum.
    """
    largest = np.abs(values).max(initial=0.0)
    if largest > HUGE:
        values = values / largest
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
