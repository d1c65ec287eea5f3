"""A search among listed configurations: each proposal gets the nearest one that is left.

The search is told which configuration it got, so that it learns of that one. Without this a
listed configuration would have the value of a whole plateau around it, which no training has.
"""

from dataclasses import replace

import numpy as np

from llmpso.space import Floats, Params, SearchSpace
from llmpso.trial import Trial


class Pool:
    """What one study may still choose from.

    Args:
        space: That of the configurations.
        positions: Of these, shape (n_configurations, n_dims), unit cube.
    """

    def __init__(self, space: SearchSpace, positions: Floats) -> None:
        self._space, self._positions = space, positions
        self._is_taken = np.zeros(len(positions), dtype=bool)

    def taken_for(self, params: Params) -> Params:
        """The nearest configuration that is left, which it takes; all are, once none was left."""
        if self._is_taken.all():
            self._is_taken[:] = False
        distances = np.sum((self._positions - self._space.encode(params)) ** 2, axis=1)
        nearest = int(np.argmin(np.where(self._is_taken, np.inf, distances)))
        self._is_taken[nearest] = True
        return self._space.decode(self._positions[nearest])

    def offered(self, trial: Trial) -> Trial:
        """A trial with what it gets in place of what was proposed; a begun one stays as it is."""
        return trial if trial.rungs else replace(trial, params=self.taken_for(trial.params))
