"""What a study has measured, as the surrogate takes it: places and values, each encoded once."""

from collections.abc import Sequence

import numpy as np

from llmpso.space import Floats, SearchSpace
from llmpso.trial import Trial, TrialState


class Observations:
    """The trials of a study in the order in which they were told, those of a batch by number.

    Args:
        space: What may be tried.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._positions: Floats = np.empty((0, len(space)))
        self._values: Floats = np.empty(0)
        self._rows: dict[int, int] = {}
        self._pruned: list[Trial] = []
        self._best: Trial | None = None

    def __len__(self) -> int:
        """Trials told, failed ones included."""
        return len(self._rows)

    def add(self, trials: Sequence[Trial]) -> None:
        """Take in a batch."""
        batch = sorted(trials, key=lambda trial: trial.number)
        self._reserve(len(self) + len(batch))
        for trial in batch:
            row = self._rows[trial.number] = len(self)
            self._positions[row] = self._space.encode(trial.params)
            self._values[row] = np.inf if trial.value is None else trial.value
            if trial.state is TrialState.PRUNED:
                self._pruned.append(trial)
            if trial.value is not None and (self._best is None or _is_better(trial, self._best)):
                self._best = trial

    @property
    def positions(self) -> Floats:
        """Where they were, shape (n_trials, n_dims)."""
        return self._positions[: len(self)]

    @property
    def values(self) -> Floats:
        """What was measured, shape (n_trials,), inf for failed trials.

        A pruned trial has the value that it would likely have come to: as far behind the incumbent
        as it was at the same fidelity.
        """
        values = self._values[: len(self)].copy()
        best = self._best
        if best is None or best.value is None:
            return values
        rungs = dict(best.rungs)
        for trial in self._pruned:
            fidelity, value = trial.rungs[-1]
            behind = value - rungs.get(fidelity, best.value)
            values[self._rows[trial.number]] = best.value + max(0.0, behind)
        return values

    @property
    def n_ranked(self) -> int:
        """How many have a value, measured or likely."""
        if self._best is None:
            return 0
        return int(np.isfinite(self._values[: len(self)]).sum()) + len(self._pruned)

    def row(self, number: int) -> int:
        """Where the trial with this number stands among them."""
        return self._rows[number]

    def _reserve(self, n_trials: int) -> None:
        """Room for so many; twice as much each time, so that growing costs little."""
        if n_trials > len(self._values):
            n_more = max(n_trials, 2 * len(self._values)) - len(self._values)
            self._positions = np.vstack([self._positions, np.empty((n_more, len(self._space)))])
            self._values = np.append(self._values, np.empty(n_more))


def _is_better(trial: Trial, best: Trial) -> bool:
    return (trial.value, trial.number) < (best.value, best.number)
