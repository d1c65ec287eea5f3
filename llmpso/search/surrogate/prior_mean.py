"""An earlier study as the prior mean of a new one, followed as far as it proves true.

Advice as a prior is the idea of Hvarfner et al., πBO: Augmenting Acquisition Functions with User
Beliefs for Bayesian Optimization, 2022; here the study's own trials weigh it, not their number.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmpso.errors import SpecError
from llmpso.search.initial import validated
from llmpso.search.surrogate.posterior import Surrogate, correlation, fit
from llmpso.space import Floats, Params, SearchSpace

LEAST_TRIALS = 3
"""A shorter history ranks too little to be a trend."""

HALF_LIFE = 3.0
"""As many trials of the study as it takes to halve the weight of a useless prior mean."""


class EarlierStudy:
    """An earlier study's trials, ranked among themselves.

    Args:
        space: The new study's space; the old configurations must be in it.
        trials: Configurations with their values; a value that is not finite means failed.

    Attributes:
        best: The configuration with the lowest value.

    Raises:
        SpaceError: A configuration is outside the space.
        SpecError: Fewer than three values are finite.
    """

    def __init__(self, space: SearchSpace, trials: Sequence[tuple[Params, float]]) -> None:
        known = validated(space, "history", [params for params, _ in trials])
        values = np.array([value for _, value in trials], dtype=np.float64)
        values[~np.isfinite(values)] = np.inf
        if (n_finite := int(np.isfinite(values).sum())) < LEAST_TRIALS:
            raise SpecError(
                f"history holds {n_finite} finite values; it needs at least {LEAST_TRIALS}"
            )
        self.best: dict[str, Any] = known[int(np.argmin(values))]
        positions = np.array([space.encode(params) for params in known])
        self._surrogate: Surrogate = fit(space, positions, values)

    def scores(self, positions: Floats) -> Floats:
        """What the earlier study expects, lower is better, shape (n_positions,)."""
        return self._surrogate.predict(positions).means

    def weight(self, positions: Floats, values: Floats) -> float:
        """How far to follow it, in [0, 1], given a new study's completed trials.

        By the correlation of ranks, as Feurer, Letham and Bakshy (Practical Transfer Learning for
        Bayesian Optimization, 2018) weigh an earlier study.
        """
        n_trials = len(values)
        agreement = correlation(self.scores(positions), values)
        return float(np.clip((HALF_LIFE + n_trials * agreement) / (HALF_LIFE + n_trials), 0, 1))
