"""What an earlier study knew: a trend for the surrogate, believed as far as it proves true.

Feurer, Letham and Bakshy, Practical Transfer Learning for Bayesian Optimization, 2018, weigh an
earlier study's model by how well it ranks the new study's trials; so does this, by Spearman's
correlation, with the history's first credit worth a few trials.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmpso.cube import Floats
from llmpso.errors import SpaceError, SpecError
from llmpso.space import Params, SearchSpace
from llmpso.surrogate import Surrogate, correlation, fitted

CREDIT = 3.0
"""As many trials of the new study as it takes to halve the belief in a useless history."""

LEAST_TRIALS = 3
"""A shorter history ranks too little to be a trend."""


class History:
    """An earlier study's trials, ranked among themselves.

    Args:
        space: The new study's space; the old configurations must lie in it.
        trials: Configurations with their values; a value that is not finite means failed.

    Raises:
        SpaceError: A configuration lies outside the space.
        SpecError: Fewer than three values are finite.
    """

    def __init__(self, space: SearchSpace, trials: Sequence[tuple[Params, float]]) -> None:
        self._known = [_checked(space, index, params) for index, (params, _) in enumerate(trials)]
        values = np.array([value for _, value in trials], dtype=np.float64)
        values[~np.isfinite(values)] = np.inf
        if np.isfinite(values).sum() < LEAST_TRIALS:
            raise SpecError(
                f"history holds {int(np.isfinite(values).sum())} finite values; "
                f"it needs at least {LEAST_TRIALS}"
            )
        self.best: dict[str, Any] = self._known[int(np.argmin(values))]
        positions = np.array([space.encode(params) for params in self._known])
        self._surrogate: Surrogate = fitted(space, positions, values)

    def trend(self, positions: Floats) -> Floats:
        """Scores that the earlier study suggests, shape (n_positions,)."""
        return self._surrogate.predict(positions).means

    def belief(self, positions: Floats, values: Floats) -> float:
        """How far to follow the trend, in [0, 1], given this study's completed trials."""
        n_trials = len(values)
        agreement = correlation(self.trend(positions), values)
        belief = (CREDIT + n_trials * agreement) / (CREDIT + n_trials)
        return float(np.clip(belief, 0.0, 1.0))


def _checked(space: SearchSpace, index: int, params: Params) -> dict[str, Any]:
    try:
        return space.validate(params)
    except SpaceError as error:
        raise SpaceError(f"history[{index}]: {error}") from None
