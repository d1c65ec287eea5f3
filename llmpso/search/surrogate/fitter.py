"""When the surrogate's hyperparameters are fitted again: rarely in a long study."""

from llmpso.search.surrogate.gaussian_process import MAX_FITTED
from llmpso.search.surrogate.observations import Observations
from llmpso.search.surrogate.posterior import Surrogate, fit
from llmpso.search.warm_start import Memory
from llmpso.space import Floats, SearchSpace

QUICK = 10 * MAX_FITTED**2
"""Differences of coordinates up to which a fit is quick enough for every step: a tenth of a
second. In ten dimensions those of `MAX_FITTED` observations, in a hundred those of 47."""

GROWTH = 1.05
"""Beyond, as many times more observations than at the last fit make the next one due."""


MANY = 32
"""Trials under way together from which on a fit at each result takes more time than it is worth:
so much is only expected then that one result changes little."""

SHARE = 1 / 16
"""Results until the next fit, as a share of so many trials."""


class FitRule:
    """When the hyperparameters are fitted again, in a study that grows.

    Args:
        n_dims: Dimensions of the inputs.
        n_at_once: Trials that are under way together.
    """

    def __init__(self, n_dims: int, n_at_once: int = 1) -> None:
        self._n_dims = n_dims
        self._least_growth = int(SHARE * n_at_once) if n_at_once >= MANY else 0
        self._n_fitted = 0

    def is_due(self, n: int) -> bool:
        """Whether a fit of `n` observations is due; if so, it is taken to be made."""
        is_quick = n <= MAX_FITTED and self._n_dims * n**2 <= QUICK
        has_grown = n >= self._n_fitted + self._least_growth
        is_due = has_grown and (is_quick or n >= GROWTH * self._n_fitted)
        if is_due or not self._n_fitted:
            self._n_fitted = n
            return True
        return False


class Fitter:
    """Fits the surrogate to a study that grows.

    Args:
        space: What may be tried.
        memory: Earlier studies, the prior mean as far as the new one agrees with them.
        n_at_once: Trials that are under way together.
    """

    def __init__(
        self, space: SearchSpace, memory: Memory | None = None, n_at_once: int = 1
    ) -> None:
        self._space, self._memory = space, memory
        self._last: Surrogate | None = None
        self._rule = FitRule(len(space), n_at_once)

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
            prior_mean=self._memory.prior_mean() if self._memory else None,
            like=None if is_due else self._last,
            labels=observed.labels,
        )
        return self._last
