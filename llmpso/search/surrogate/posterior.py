"""The posterior over the unit cube: what is expected of places that were not evaluated.

Values are turned into scores (`scores`), these are fitted by a Gaussian process. Whether a trial
fails is predicted by a separate process: the way down to a minimum may be long and smooth, and the
edge beyond which trainings fail short and sharp.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve

from llmpso.search.surrogate.feasibility import (
    FAILED,
    SUCCEEDED,
    FeasibilityModel,
    fit_feasibility,
)
from llmpso.search.surrogate.gaussian_process import (
    MAX_FITTED,
    PRIOR,
    Prior,
    apart,
    branching_dimensions,
    conditioned,
    covariance,
    most_probable,
    posterior,
    unordered_dimensions,
)
from llmpso.search.surrogate.observations import around, around_the_best
from llmpso.search.surrogate.scores import (
    clipped_scores,
    correlation,
    score_middle,
    score_unit,
)
from llmpso.space import Floats, SearchSpace

PriorMean = Callable[[Floats], Floats]
"""From positions, shape (n_places, n_dims), to scores, shape (n_places,)."""


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
    """A fitted model; `fit` makes one."""

    unordered: NDArray[np.bool_]  # (n_dims,), dimensions without neighbours
    positions: Floats  # (n_observations, n_dims), unit cube
    scores: Floats  # (n_observations,)
    theta: Floats  # (n_dims + 2,), logs of length scales, signal and noise variance
    cholesky: Floats  # (n_observations, n_observations), lower factor of the covariance
    weights: Floats  # (n_observations,), covariance^-1 scores
    prior_mean: PriorMean | None = None
    """What is expected before any observation; nothing if None."""
    feasibility: FeasibilityModel | None = None
    """Where trials fail; None if none has."""
    unit: float = 1.0
    """One score in units of the value."""
    middle: float = 0.0
    """The value whose score is 0."""

    @property
    def best(self) -> float:
        """The lowest score observed."""
        return float(self.scores.min())

    @property
    def noise(self) -> float:
        """Standard deviation of what is not explained of a score."""
        return math.exp(0.5 * float(self.theta[-1]))

    @property
    def skill(self) -> float:
        """How well each observation is ranked by the others, in [-1, 1] (correlation of ranks).

        The means without one observation each are those of Sundararajan and Keerthi (2001).
        """
        inverse = np.diag(cho_solve((self.cholesky, True), np.eye(len(self.scores))))
        return correlation(self.scores - self.weights / inverse, self.scores)

    def predict(self, positions: Floats) -> Prediction:
        """Expect values and failures at places of the unit cube, shape (n_places, n_dims)."""
        cross = covariance(self.theta, positions, self.positions, self.unordered)
        means, variances = posterior(self.theta, self.cholesky, self.weights, cross)
        failing = (
            self.feasibility.failure_probability(positions)
            if self.feasibility
            else np.zeros(len(means))
        )
        return Prediction(
            means + _expected(self.prior_mean, positions),
            np.sqrt(np.maximum(variances, 1e-12)),
            failing,
        )

    def conditioned_on(self, positions: Floats, scores: Floats) -> Self:
        """The same model after further observations, measured or expected (kriging believer)."""
        known = np.vstack([self.positions, positions])
        known_scores = np.concatenate([self.scores, scores])
        rest = known_scores - _expected(self.prior_mean, known)
        factor, weights = conditioned(self.theta, known, rest, self.unordered)
        return replace(
            self, positions=known, scores=known_scores, cholesky=factor, weights=weights
        )


def fit(
    space: SearchSpace,
    positions: Floats,
    values: Floats,
    prior: Prior = PRIOR,
    prior_mean: PriorMean | None = None,
    like: Surrogate | None = None,
    labels: Floats | None = None,
) -> Surrogate:
    """Fit by the most probable hyperparameters (maximum a posteriori).

    Of more than `MAX_OBSERVED` observations some are left out, see `around_the_best`.

    Args:
        space: Says which dimensions have no order: there all places are equally far apart.
        positions: Snapped positions, shape (n_observations, n_dims).
        values: What was measured, shape (n_observations,); inf for a failed trial.
        prior: Prior of the hyperparameters.
        prior_mean: What is expected of the scores before; the model explains what it leaves.
        like: A model whose hyperparameters are taken over, where it has them.
        labels: How trials ended, shape (n_observations,), see `failure_label`; by the values if
            not given.
    """
    unordered = unordered_dimensions(space)
    succeeded = np.isfinite(values)
    known, scores = positions[succeeded], clipped_scores(values[succeeded])
    unit, middle = score_unit(values[succeeded]), score_middle(values[succeeded])
    rows = around_the_best(known, scores, unordered)
    known, scores = known[rows], scores[rows]
    rest = scores - _expected(prior_mean, known)
    branching = branching_dimensions(space)
    theta = (
        like.theta if like else probable_theta(known, scores, rest, unordered, prior, branching)
    )
    factor, weights = conditioned(theta, known, rest, unordered)
    at = around(positions, known[np.argmin(scores)], unordered)
    if labels is None:
        labels = np.where(succeeded, SUCCEEDED, FAILED)
    feasibility = fit_feasibility(
        positions[at], labels[at], unordered, prior, like.feasibility if like else None
    )
    return Surrogate(
        unordered, known, scores, theta, factor, weights, prior_mean, feasibility, unit, middle
    )


def probable_theta(
    positions: Floats,
    scores: Floats,
    rest: Floats,
    unordered: NDArray[np.bool_],
    prior: Prior,
    branching: NDArray[np.bool_],
) -> Floats:
    """The hyperparameters by at most `MAX_FITTED` of the observations."""
    rows = _informative(scores)
    distances = apart(positions[rows], positions[rows], unordered)
    return most_probable(distances, rest[rows], prior, branching)


def _expected(prior_mean: PriorMean | None, positions: Floats) -> Floats:
    return np.zeros(len(positions)) if prior_mean is None else prior_mean(positions)


def _informative(scores: Floats) -> NDArray[np.intp]:
    """Which observations to fit on: all, or the best half of the limit and an even rest."""
    order = np.argsort(scores, kind="stable")
    if len(order) <= MAX_FITTED:
        return np.arange(len(order))
    half = MAX_FITTED // 2
    rest = np.linspace(half, len(order) - 1, MAX_FITTED - half).astype(int)
    return np.concatenate([order[:half], order[rest]])
