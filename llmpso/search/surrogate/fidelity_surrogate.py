"""A surrogate with the fidelity as an input: what short trainings say about full ones.

A Gaussian process over position and fidelity, as in Kandasamy et al., Multi-fidelity Bayesian
Optimisation with Continuous Approximations, 2017. What all trainings gain between two rungs is
removed first, so that it has to explain only where configurations differ.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from llmpso.search.surrogate.feasibility import SUCCEEDED, FeasibilityModel, fit_feasibility
from llmpso.search.surrogate.gaussian_process import PRIOR, conditioned
from llmpso.search.surrogate.observations import around, around_the_best
from llmpso.search.surrogate.posterior import (
    Prediction,
    PriorMean,
    Surrogate,
    probable_theta,
)
from llmpso.search.surrogate.scores import clipped_scores, score_unit
from llmpso.space import Floats

EXTENT = 0.5
"""Distance of the lowest from the full fidelity, where the sides of the unit cube are 1: as far
as half of a hyperparameter's range, so that rungs say much about each other from the start."""

CLIPPED = 0.1
"""Share of the observations whose values count as equally bad."""


@dataclass(frozen=True, slots=True)
class Training:
    """What one configuration has measured so far."""

    position: Floats  # (n_dims,), unit cube
    values: Mapping[float, float]
    """By fidelity; that of a full training at 1."""
    label: float = SUCCEEDED
    """How it ended, see `failure_label`."""


@dataclass(frozen=True, slots=True)
class FidelitySurrogate:
    """A fitted model; `fit_fidelities` makes one."""

    surrogate: Surrogate  # over (n_dims + 1,): position, and place on the axis of fidelities
    lowest: float
    """The lowest fidelity."""
    feasibility: FeasibilityModel | None
    prior_mean: PriorMean | None
    best: float
    """The score to improve on: the lowest of a full training, or else the middle of what is
    expected of the trainings so far."""

    def predict(self, positions: Floats, fidelity: float = 1.0) -> Prediction:
        """What is expected at a fidelity of places, shape (n_places, n_dims), as scores.

        Scores of all fidelities are comparable: what all trainings gain from one rung to the
        next is left out.
        """
        prediction = self.surrogate.predict(_with_fidelity(positions, fidelity, self.lowest))
        means = prediction.means
        if self.prior_mean is not None:
            means = means + self.prior_mean(positions)
        failing = prediction.failing
        if self.feasibility is not None:
            failing = self.feasibility.failure_probability(positions)
        return Prediction(means, prediction.deviations, failing)

    def believing(self, position: Floats, fidelity: float) -> Self:
        """The same model, as if a training under way had the expected score (kriging believer)."""
        at = _with_fidelity(position[np.newaxis], fidelity, self.lowest)
        expected = self.surrogate.predict(at).means
        return replace(self, surrogate=self.surrogate.conditioned_on(at, expected))


def fit_fidelities(
    trainings: Sequence[Training],
    lowest: float,
    unordered: NDArray[np.bool_],
    branching: NDArray[np.bool_],
    prior_mean: PriorMean | None = None,
    like: FidelitySurrogate | None = None,
) -> FidelitySurrogate:
    """Fit by the most probable hyperparameters (maximum a posteriori).

    Args:
        trainings: At least one with a value; failed ones show where trainings fail.
        lowest: The lowest fidelity.
        unordered: Dimensions in which all places are equally far apart, shape (n_dims,).
        branching: Dimensions on which others depend, shape (n_dims,).
        prior_mean: What is expected of the scores before.
        like: A model whose hyperparameters are taken over.
    """
    ranked = [training for training in trainings if training.values]
    rows = [(t.position, at, value) for t in ranked for at, value in t.values.items()]
    positions, fidelities, values = (np.array(column) for column in zip(*rows, strict=True))
    leveled = values - _gains(ranked, fidelities)
    scores = clipped_scores(leveled, CLIPPED)
    inputs = _with_fidelity(positions, fidelities, lowest)
    with_fidelity = np.append(unordered, False)
    chosen = around_the_best(inputs, scores, with_fidelity)
    full = fidelities[chosen] == 1
    inputs, scores = inputs[chosen], scores[chosen]
    rest = scores if prior_mean is None else scores - prior_mean(inputs[:, :-1])
    theta = (
        like.surrogate.theta
        if like
        else probable_theta(
            inputs, scores, rest, with_fidelity, PRIOR, np.append(branching, False)
        )
    )
    factor, weights = conditioned(theta, inputs, rest, with_fidelity)
    unit = score_unit(leveled, CLIPPED)
    surrogate = Surrogate(with_fidelity, inputs, rest, theta, factor, weights, unit=unit)
    feasibility = _feasibility(trainings, inputs[np.argmin(scores), :-1], unordered, like)
    fitted = FidelitySurrogate(surrogate, lowest, feasibility, prior_mean, math.inf)
    if full.any():
        return replace(fitted, best=float(scores[full].min()))
    expected = fitted.predict(np.array([training.position for training in ranked])).means
    return replace(fitted, best=float(np.median(expected)))


def _gains(trainings: Sequence[Training], fidelities: Floats) -> Floats:
    """What trainings gained on the way to each of some fidelities, shape (n_fidelities,).

    The median over those that were measured at both of two neighbouring fidelities.
    """
    levels, total = np.unique(fidelities), 0.0
    gained = {levels[0]: total}
    for low, high in pairwise(levels):
        pairs = [t.values[high] - t.values[low] for t in trainings if {low, high} <= set(t.values)]
        total += float(np.median(pairs)) if pairs else 0.0
        gained[high] = total
    return np.array([gained[fidelity] for fidelity in fidelities])


def _feasibility(
    trainings: Sequence[Training],
    best: Floats,
    unordered: NDArray[np.bool_],
    like: FidelitySurrogate | None,
) -> FeasibilityModel | None:
    positions = np.array([training.position for training in trainings])
    labels = np.array([training.label for training in trainings])
    rows = around(positions, best, unordered)
    known = like.feasibility if like else None
    return fit_feasibility(positions[rows], labels[rows], unordered, PRIOR, known)


def _with_fidelity(positions: Floats, fidelities: Floats | float, lowest: float) -> Floats:
    """Places with their coordinate on the axis of fidelities, which is logarithmic."""
    along = np.log(np.broadcast_to(fidelities, len(positions)) / lowest)
    return np.column_stack([positions, EXTENT * along / -math.log(lowest)])
