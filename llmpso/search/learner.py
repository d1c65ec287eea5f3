"""When the surrogate's hyperparameters are fitted anew: seldom, once a study is long."""

import numpy as np

from llmpso.search.candidates import unordered
from llmpso.search.gaussian_process import MAX_FITTED
from llmpso.search.likely import Expectation, belief
from llmpso.search.observations import Observations
from llmpso.search.subset import around_the_best
from llmpso.search.surrogate import Surrogate, Trend, fitted
from llmpso.space import Floats, SearchSpace

QUICK = 10 * MAX_FITTED**2
"""Differences of coordinates up to which a fit is quick enough for every step: a tenth of a
second. In ten dimensions those of `MAX_FITTED` observations, in a hundred those of 47."""

GROWTH = 1.05
"""Beyond, as many times more observations than at the last fit make the next one due."""


class Learner:
    """Fits the surrogate to a study that grows.

    Args:
        space: What may be tried.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._last: Surrogate | None = None
        self._n_fitted = 0

    def fitted(self, observed: Observations, expectation: Expectation | None) -> Surrogate:
        """The surrogate of all that was observed, with the hyperparameters before if they do."""
        positions, values = observed.positions, observed.values
        trend = None if expectation is None else self._trend(expectation, positions, values)
        is_due = self._is_due(len(values))
        like = None if is_due else self._last
        self._last = fitted(self._space, positions, values, trend=trend, like=like)
        if is_due:
            self._n_fitted = len(values)
        return self._last

    def _is_due(self, n: int) -> bool:
        is_quick = n <= MAX_FITTED and len(self._space) * n**2 <= QUICK
        return self._last is None or is_quick or n >= GROWTH * self._n_fitted

    def _trend(self, expectation: Expectation, positions: Floats, values: Floats) -> Trend:
        """What is expected, as far as this study bears it out."""
        ranked = np.isfinite(values)
        known, told = positions[ranked], values[ranked]
        rows = around_the_best(known, told, unordered(self._space))
        share = belief(expectation, known[rows], told[rows])
        return lambda places: share * expectation.trend(places)
