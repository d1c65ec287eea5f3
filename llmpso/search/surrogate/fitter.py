"""When the surrogate's hyperparameters are fitted again: rarely in a long study."""

import numpy as np

from llmpso.search.surrogate.gaussian_process import MAX_FITTED, unordered_dimensions
from llmpso.search.surrogate.observations import Observations, around_the_best
from llmpso.search.surrogate.posterior import PriorMean, Surrogate, fit
from llmpso.search.surrogate.prior_mean import EarlierStudy
from llmpso.search.warm_start import Memory
from llmpso.space import Floats, SearchSpace

QUICK = 10 * MAX_FITTED**2
"""Differences of coordinates up to which a fit is quick enough for every step: a tenth of a
second. In ten dimensions those of `MAX_FITTED` observations, in a hundred those of 47."""

GROWTH = 1.05
"""Beyond, as many times more observations than at the last fit make the next one due."""


class FitRule:
    """When the hyperparameters are fitted again, in a study that grows.

    Args:
        n_dims: Dimensions of the inputs.
    """

    def __init__(self, n_dims: int) -> None:
        self._n_dims = n_dims
        self._n_fitted = 0

    def is_due(self, n: int) -> bool:
        """Whether a fit of `n` observations is due; if so, it is taken to be made."""
        is_quick = n <= MAX_FITTED and self._n_dims * n**2 <= QUICK
        is_due = not self._n_fitted or is_quick or n >= GROWTH * self._n_fitted
        if is_due:
            self._n_fitted = n
        return is_due


class Fitter:
    """Fits the surrogate to a study that grows.

    Args:
        space: What may be tried.
        earlier: An earlier study, the prior mean as far as the new one agrees with it.
        memory: Earlier studies, likewise.
    """

    def __init__(
        self,
        space: SearchSpace,
        earlier: EarlierStudy | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._space = space
        self._earlier = earlier
        self._memory = memory
        self._last: Surrogate | None = None
        self._rule = FitRule(len(space))

    def fitted(self, observed: Observations, targets: Floats | None = None) -> Surrogate:
        """The surrogate of all observations, with the last fit's hyperparameters if they do.

        Args:
            observed: The trials of the study.
            targets: What is to be lowered, shape (n_trials,), if it is not that of `observed`.
        """
        positions, values = observed.positions, observed.targets if targets is None else targets
        is_due = self._rule.is_due(len(values))
        self._last = fit(
            self._space,
            positions,
            values,
            prior_mean=self._prior_mean(positions, values),
            like=None if is_due else self._last,
            labels=observed.labels,
        )
        return self._last

    def _prior_mean(self, positions: Floats, values: Floats) -> PriorMean | None:
        """What earlier studies expect, as far as this one agrees with them."""
        if self._memory is not None:
            return self._memory.prior_mean()
        if (earlier := self._earlier) is None:
            return None
        ranked = np.isfinite(values)
        known, measured = positions[ranked], values[ranked]
        rows = around_the_best(known, measured, unordered_dimensions(self._space))
        weight = earlier.weight(known[rows], measured[rows])
        return lambda places: weight * earlier.scores(places)
