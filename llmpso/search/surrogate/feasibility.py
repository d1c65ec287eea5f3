"""Where trials fail or are infeasible: a Gaussian process of how they ended.

A trial that failed or succeeded has a label of 1 or -1; one whose constraints were measured has
one between, 0 at the limit, so that the model sees how far from the limit it is.

Least-squares classification: Rasmussen and Williams, Gaussian Processes for Machine Learning,
2006, section 6.5, with a probit in place of the threshold.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from llmpso.search.surrogate.gaussian_process import (
    JITTER,
    MAX_FITTED,
    Prior,
    apart,
    conditioned,
    covariance,
    most_probable,
    posterior,
)
from llmpso.space import Floats
from llmpso.trial import Trial, TrialState

LARGEST = 100.0
"""Excess of what is infinite."""

FAILED, SUCCEEDED, UNKNOWN = 1.0, -1.0, math.nan
"""Labels; at 0 a trial is as likely to fail as not."""


def failure_label(trial: Trial) -> float:
    """How far a trial is on the side of failure, in [-1, 1].

    Of a measured constraint that is the logarithm of its share of the limit: 1 at e times of it.
    """
    if trial.state is TrialState.FAILED:
        return FAILED
    return min(max(excess(trial), SUCCEEDED), FAILED)


def excess(trial: Trial) -> float:
    """How far the worst constraint of a trial is above its limit; -1 if none was measured."""
    return max((_excess(*pair) for pair in trial.constraints.values()), default=SUCCEEDED)


def _excess(value: float, limit: float) -> float:
    if limit <= 0 or value <= 0:
        return min(value - limit, LARGEST)
    return min(math.log(value / limit), LARGEST)


@dataclass(frozen=True, slots=True)
class FeasibilityModel:
    """A fitted model of failures; `fit_feasibility` makes one."""

    unordered: NDArray[np.bool_]  # (n_dims,), dimensions without neighbours
    positions: Floats  # (n_observations, n_dims), unit cube
    middle: float
    """The mean label: what is expected far from all observations."""
    theta: Floats  # (n_dims + 2,)
    cholesky: Floats  # (n_observations, n_observations), lower factor of the covariance
    weights: Floats  # (n_observations,)

    def failure_probability(self, positions: Floats) -> Floats:
        """That a trial fails, at places of the unit cube, shape (n_places, n_dims)."""
        cross = covariance(self.theta, positions, self.positions, self.unordered)
        means, variances = posterior(self.theta, self.cholesky, self.weights, cross)
        spread = np.sqrt(np.maximum(variances, 0.0) + math.exp(self.theta[-1]) + JITTER)
        probability: Floats = ndtr((self.middle + means) / spread)
        return probability


def fit_feasibility(
    positions: Floats,
    labels: Floats,
    unordered: NDArray[np.bool_],
    prior: Prior,
    like: FeasibilityModel | None = None,
) -> FeasibilityModel | None:
    """Learn where trials fail or are infeasible; None if none is.

    Args:
        positions: Snapped positions, shape (n_observations, n_dims).
        labels: How they ended, shape (n_observations,), see `failure_label`; NaN where that is
            not known.
        unordered: Dimensions in which all places are equally far apart, shape (n_dims,).
        prior: Prior of the hyperparameters.
        like: A model whose hyperparameters are taken over.
    """
    known = np.isfinite(labels)
    positions, labels = positions[known], labels[known]
    if not (labels > 0).any():
        return None
    middle = float(labels.mean())
    rest = labels - middle
    theta = like.theta if like else _most_probable(positions, rest, unordered, prior)
    factor, weights = conditioned(theta, positions, rest, unordered)
    return FeasibilityModel(unordered, positions, middle, theta, factor, weights)


def _most_probable(
    positions: Floats, rest: Floats, unordered: NDArray[np.bool_], prior: Prior
) -> Floats:
    """The hyperparameters by at most `MAX_FITTED` of the observations."""
    fit = np.linspace(0, len(rest) - 1, min(len(rest), MAX_FITTED)).astype(int)
    return most_probable(apart(positions[fit], positions[fit], unordered), rest[fit], prior)
