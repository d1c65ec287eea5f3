"""The mathematics of a Gaussian process: covariance, conditioning, fitted hyperparameters.

Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006 (RW); length-scale prior
that grows with the dimension: Hvarfner, Hellsten and Nardi, Vanilla Bayesian Optimization Performs
Great in High Dimensions, 2024.

It is our own because scikit-learn's has no prior on the hyperparameters and no unordered
dimensions, and those of GPyTorch and BoTorch need torch.

Symbols, with n observations in d dimensions:

    X       positions, (n, d), unit cube          K       covariance of the observations, (n, n)
    y       scores, (n,)                          L       lower Cholesky factor of K
    theta   (d + 2,): logs of the length          alpha   K^-1 y, called `weights`, (n,)
            scales, of the signal variance        r       scaled distance times sqrt(5)
            and of the noise variance             k       covariance of new and known positions
"""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from llmpso.space import Categorical, Floats, SearchSpace

MAX_FITTED = 150
"""Observations that the hyperparameters are fitted on; all of them are predicted from."""

AT_ONCE = 2**20
"""Differences of coordinates in memory at the same time: 8 MiB, whatever the number of
dimensions."""

JITTER = 1e-6
"""Least noise variance: makes the covariance invertible."""


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
    branch: float = math.log(0.5)
    """Of the length scale in a dimension on which others depend. Configurations of two branches
    have little in common: with the length of any other dimension one bad training of a branch
    condemned all of it."""
    branch_deviation: float = 0.25


PRIOR = Prior()


def one_thread() -> AbstractContextManager[object]:
    """Limit linear algebra to one thread; entered once per batch.

    The matrices are so small that threads only wait for each other: 60 evaluations took 30
    seconds on two busy cores, and 0.8 on one.
    """
    limited: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limited


@cache
def _thread_pools() -> ThreadpoolController:
    """Those of NumPy and SciPy, looked for once: it takes a millisecond for each batch else."""
    return ThreadpoolController()


def unordered_dimensions(space: SearchSpace) -> NDArray[np.bool_]:
    """Which dimensions have no neighbours, shape (n_dims,)."""
    return np.array([isinstance(d, Categorical) and not d.ordered for d in space.values()])


def branching_dimensions(space: SearchSpace) -> NDArray[np.bool_]:
    """On which dimensions others depend, shape (n_dims,)."""
    parents = {condition.parent for own in space.conditions.of.values() for condition in own}
    return np.array([name in parents for name in space])


def apart(a: Floats, b: Floats, unordered: NDArray[np.bool_]) -> Floats:
    """Squared distances by dimension, shape (n_dims, n_a, n_b): 0 or 1 where nothing is near."""
    difference: Floats = a.T[:, :, np.newaxis] - b.T[:, np.newaxis, :]
    difference[unordered] = difference[unordered] != 0
    return np.square(difference, out=difference)


def covariance(theta: Floats, a: Floats, b: Floats, unordered: NDArray[np.bool_]) -> Floats:
    """Of two sets of places of the unit cube, shape (n_a, n_b), without noise."""
    r = np.sqrt(5 * _scaled(np.exp(-2 * theta[:-2]), a, b, unordered))
    correlated: Floats = math.exp(theta[-2]) * (1 + r + r**2 / 3) * np.exp(-r)  # RW (4.17)
    return correlated


def conditioned(
    theta: Floats, positions: Floats, scores: Floats, unordered: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Lower Cholesky factor of the observations' covariance, and its inverse times the scores."""
    noisy = covariance(theta, positions, positions, unordered)
    noisy[np.diag_indices_from(noisy)] += math.exp(theta[-1]) + JITTER
    factor = cholesky(noisy, lower=True, check_finite=False)
    return factor, cho_solve((factor, True), scores, check_finite=False)


def posterior(
    theta: Floats, cholesky: Floats, weights: Floats, cross: Floats
) -> tuple[Floats, Floats]:
    """Means and variances at some places, each of shape (n_places,).

    Args:
        theta: The hyperparameters.
        cholesky: Lower factor of the observations' covariance.
        weights: Its inverse times the scores.
        cross: Covariance of places and observations, shape (n_places, n_observations).
    """
    shrunk = solve_triangular(cholesky, cross.T, lower=True, check_finite=False)
    variances: Floats = math.exp(theta[-2]) - np.sum(shrunk**2, axis=0)  # RW (2.26)
    return cross @ weights, variances  # RW (2.25)


def most_probable(
    apart: Floats, scores: Floats, prior: Prior, branching: NDArray[np.bool_] | None = None
) -> Floats:
    """The hyperparameters that the scores and the prior make most probable.

    Args:
        apart: Squared distances by dimension, shape (n_dims, n, n).
        scores: Shape (n,).
        prior: Of the hyperparameters.
        branching: Dimensions on which others depend, shape (n_dims,); none if not given.
    """
    n_dims = len(apart)
    means = np.full(n_dims + 2, prior.length + 0.5 * math.log(n_dims))
    means[-2:] = prior.signal, prior.noise
    deviations = np.full(n_dims + 2, prior.length_deviation)
    deviations[-2:] = prior.signal_deviation, prior.noise_deviation
    if branching is not None:
        means[:-2][branching] = prior.branch
        deviations[:-2][branching] = prior.branch_deviation

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, gradient = negative_log_likelihood(theta, apart, scores)
        off = (theta - means) / deviations
        return value + 0.5 * float(off @ off), gradient + off / deviations

    bounds = list(zip(means - 4 * deviations, means + 4 * deviations, strict=True))
    found = minimize(
        loss, means, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}
    )
    theta: Floats = found.x
    return theta


def negative_log_likelihood(theta: Floats, apart: Floats, scores: Floats) -> tuple[float, Floats]:
    """Minus the log marginal likelihood without its constant, and its gradient."""
    scales = np.exp(-2 * theta[:-2])
    r = np.sqrt(5 * np.tensordot(scales, apart, axes=1))
    decay = math.exp(theta[-2]) * np.exp(-r)
    covariance = decay * (1 + r + r**2 / 3)
    noisy = covariance.copy()
    noise = math.exp(theta[-1])
    noisy[np.diag_indices_from(noisy)] += noise + JITTER
    factor = cholesky(noisy, lower=True, check_finite=False)
    weights = cho_solve((factor, True), scores, check_finite=False)
    value = 0.5 * float(scores @ weights) + float(np.log(np.diag(factor)).sum())  # RW (2.30)
    inverse, _ = dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    slope = 0.5 * (inverse - np.outer(weights, weights))  # RW (5.9)
    # d covariance / d log length_j = 5/3 (1 + r) decay * apart_j * scale_j
    shared = (slope * decay * (1 + r) * (5 / 3)).ravel()
    lengths = (apart.reshape(len(apart), -1) @ shared) * scales
    variances = float(np.sum(slope * covariance)), noise * float(np.trace(slope))
    return value, np.append(lengths, variances)


def _scaled(weights: Floats, a: Floats, b: Floats, unordered: NDArray[np.bool_]) -> Floats:
    """Squared distances, each dimension by its weight, shape (n_a, n_b), a few dimensions a time.

    All dimensions together would take 200 MB for 500 places in 100 dimensions.
    """
    n_dims = max(1, AT_ONCE // max(1, len(a) * len(b)))
    parts = [slice(first, first + n_dims) for first in range(0, len(weights), n_dims)]
    total, *others = (
        np.tensordot(weights[part], apart(a[:, part], b[:, part], unordered[part]), axes=1)
        for part in parts
    )
    for other in others:
        total += other
    summed: Floats = total
    return summed
