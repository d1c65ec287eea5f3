"""What an earlier study knew, as an expectation of the new one (see `llmpso.search.likely`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmpso.errors import SpaceError, SpecError
from llmpso.search.surrogate import Surrogate, fitted
from llmpso.space import Floats, Params, SearchSpace

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


def _checked(space: SearchSpace, index: int, params: Params) -> dict[str, Any]:
    try:
        return space.validate(params)
    except SpaceError as error:
        raise SpaceError(f"history[{index}]: {error}") from None
