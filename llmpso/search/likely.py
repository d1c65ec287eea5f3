"""Where somebody expects the best: a trend for the surrogate, believed as far as it proves true.

Advice as a prior is the idea of Hvarfner et al., πBO: Augmenting Acquisition Functions with User
Beliefs for Bayesian Optimization, 2022; here the study's own trials weigh it, not their number.
"""

from typing import Protocol

import numpy as np

from llmpso.search.candidates import unordered
from llmpso.search.surrogate import correlation
from llmpso.space import Floats, Params, SearchSpace

CREDIT = 3.0
"""As many trials of the study as it takes to halve the belief in a useless expectation."""

STRENGTH = 0.5
"""Deviation over the whole space of the scores that a likely range suggests."""

N_DRAWN = 512
"""Places by which the trend is standardised."""


class Expectation(Protocol):
    """What is believed of the scores before a study."""

    def trend(self, positions: Floats) -> Floats:
        """Scores expected, lower is better, shape (n_positions,)."""
        ...


def belief(expectation: Expectation, positions: Floats, values: Floats) -> float:
    """How far to follow an expectation, in [0, 1], given a study's completed trials.

    By the correlation of ranks, as Feurer, Letham and Bakshy (Practical Transfer Learning for
    Bayesian Optimization, 2018) weigh an earlier study.
    """
    n_trials = len(values)
    agreement = correlation(expectation.trend(positions), values)
    return float(np.clip((CREDIT + n_trials * agreement) / (CREDIT + n_trials), 0.0, 1.0))


class Likely:
    """A box of the space in which the best is expected.

    Args:
        space: What may be tried.
        low: The lowest likely value of each hyperparameter; of unordered choices, a likely one.
        high: The highest likely value; of unordered choices, a second likely one.
    """

    def __init__(self, space: SearchSpace, low: Params, high: Params) -> None:
        corners = np.array([space.encode(low), space.encode(high)])
        self._low, self._high = corners.min(axis=0), corners.max(axis=0)
        self._unordered = unordered(space)
        drawn = self._outside(np.random.default_rng(0).random((N_DRAWN, len(space))))
        self._mean, self._deviation = float(drawn.mean()), float(drawn.std()) or 1.0

    def trend(self, positions: Floats) -> Floats:
        """Scores that grow with the way to the box, shape (n_positions,)."""
        scores: Floats = STRENGTH * (self._outside(positions) - self._mean) / self._deviation
        return scores

    def _outside(self, positions: Floats) -> Floats:
        way = np.maximum(self._low - positions, positions - self._high).clip(0.0)
        neither = (positions != self._low) & (positions != self._high)
        outside: Floats = np.where(self._unordered, neither, way).sum(axis=1)
        return outside
