"""Where trials fail: a Gaussian process of what failed and what did not.

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

FAILED, SUCCEEDED = 1.0, -1.0
"""Labels; at 0 a trial is as likely to fail as not."""


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
    has_failed: NDArray[np.bool_],
    unordered: NDArray[np.bool_],
    prior: Prior,
    like: FeasibilityModel | None = None,
) -> FeasibilityModel | None:
    """Learn where trials fail; None if none has.

    Args:
        positions: Snapped positions, shape (n_observations, n_dims).
        has_failed: Shape (n_observations,).
        unordered: Dimensions in which all places are equally far apart, shape (n_dims,).
        prior: Prior of the hyperparameters.
        like: A model whose hyperparameters are taken over.
    """
    if not has_failed.any():
        return None
    labels = np.where(has_failed, FAILED, SUCCEEDED)
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
