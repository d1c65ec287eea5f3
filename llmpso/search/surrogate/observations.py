"""What a study has measured, as the surrogate takes it: positions and values, each encoded once.

The cost of a Gaussian process grows with the cube of the number of observations. What it is asked
is where to go from the incumbent: where there are too many, most of those that are taken
are near it; the rest show the whole space.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmpso.search.surrogate.feasibility import SUCCEEDED, excess, failure_label
from llmpso.space import Floats, SearchSpace
from llmpso.trial import Trial, TrialState

LEAST_RANKED = 2
"""Trials with a value, measured or likely, without which there is nothing to rank."""

MAX_OBSERVED = 300
"""Observations that a surrogate is made of at most."""


class Observations:
    """The trials of a study in the order of their results, those of a batch by number.

    Args:
        space: What may be tried.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._positions: Floats = np.empty((0, len(space)))
        self._values: Floats = np.empty(0)
        self._labels: Floats = np.empty(0)
        self._infeasible: dict[int, float] = {}
        self._rows: dict[int, int] = {}
        self._pruned: list[Trial] = []
        self._best: Trial | None = None

    def __len__(self) -> int:
        """Trials with a result, failed ones included."""
        return len(self._rows)

    def add(self, trials: Sequence[Trial]) -> None:
        """Add a batch."""
        batch = sorted(trials, key=lambda trial: trial.number)
        self._reserve(len(self) + len(batch))
        for trial in batch:
            row = self._rows[trial.number] = len(self)
            self._positions[row] = self._space.encode(trial.params)
            self._values[row] = np.inf if trial.value is None else trial.value
            self._labels[row] = failure_label(trial)
            if trial.state is TrialState.INFEASIBLE:
                self._infeasible[row] = excess(trial)
            if trial.state is TrialState.PRUNED:
                self._pruned.append(trial)
            if trial.value is not None and (self._best is None or _is_better(trial, self._best)):
                self._best = trial

    @property
    def positions(self) -> Floats:
        """Where they were, shape (n_trials, n_dims)."""
        return self._positions[: len(self)]

    @property
    def labels(self) -> Floats:
        """How they ended, shape (n_trials,), see `failure_label`.

        What is infeasible is no failure as long as the search looks for less of it.
        """
        labels = self._labels[: len(self)].copy()
        if self._seeks_feasible:
            labels[list(self._infeasible)] = SUCCEEDED
        return labels

    @property
    def targets(self) -> Floats:
        """What the search is to lower, shape (n_trials,): values, once there are enough of them.

        Before, it is how far infeasible trials are above their limits: what is feasible has to be
        found first.
        """
        if not self._seeks_feasible:
            return self.values
        targets = np.where(np.isfinite(self.values), SUCCEEDED, np.inf)
        targets[list(self._infeasible)] = list(self._infeasible.values())
        return targets

    @property
    def values(self) -> Floats:
        """What was measured, shape (n_trials,), inf for failed and infeasible trials.

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
        """How many have a target."""
        n_values = self._n_values
        return n_values if n_values >= LEAST_RANKED else n_values + len(self._infeasible)

    @property
    def _seeks_feasible(self) -> bool:
        return self._n_values < LEAST_RANKED and bool(self._infeasible)

    @property
    def _n_values(self) -> int:
        """How many have a value, measured or likely."""
        if self._best is None:
            return 0
        return int(np.isfinite(self._values[: len(self)]).sum()) + len(self._pruned)

    def row(self, number: int) -> int:
        """The row of the trial with this number."""
        return self._rows[number]

    def _reserve(self, n_trials: int) -> None:
        """Room for so many; twice as much each time, so that growing costs little."""
        if n_trials > len(self._values):
            n_more = max(n_trials, 2 * len(self._values)) - len(self._values)
            self._positions = np.vstack([self._positions, np.empty((n_more, len(self._space)))])
            self._values = np.append(self._values, np.empty(n_more))
            self._labels = np.append(self._labels, np.empty(n_more))


def _is_better(trial: Trial, best: Trial) -> bool:
    return (trial.value, trial.number) < (best.value, best.number)


def around_the_best(
    positions: Floats, scores: Floats, unordered: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Rows to take: half are the nearest to the best, a quarter the best, the rest spread evenly.

    Args:
        positions: Shape (n_observations, n_dims), unit cube.
        scores: Shape (n_observations,); lower is better.
        unordered: Dimensions in which all places are equally far apart, shape (n_dims,).

    Returns:
        Rising; all rows where they are few enough.
    """
    if len(scores) <= MAX_OBSERVED:
        return np.arange(len(scores))
    best_first = np.argsort(scores, kind="stable")
    nearest_first = _nearest_first(positions, positions[best_first[0]], unordered)
    return _with_others(
        len(scores), nearest_first[: MAX_OBSERVED // 2], best_first[: MAX_OBSERVED // 4]
    )


def around(positions: Floats, place: Floats, unordered: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows to take: half are the nearest to a place, the rest spread evenly; see above."""
    if len(positions) <= MAX_OBSERVED:
        return np.arange(len(positions))
    nearest_first = _nearest_first(positions, place, unordered)
    return _with_others(len(positions), nearest_first[: MAX_OBSERVED // 2])


def _nearest_first(
    positions: Floats, place: Floats, unordered: NDArray[np.bool_]
) -> NDArray[np.intp]:
    difference = positions - place
    difference[:, unordered] = difference[:, unordered] != 0
    return np.argsort(np.square(difference).sum(axis=1), kind="stable")


def _with_others(n: int, *chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """The chosen ones, filled up by others that are spread evenly over the study."""
    is_taken = np.zeros(n, dtype=bool)
    for rows in chosen:
        is_taken[rows] = True
    others = np.flatnonzero(~is_taken)
    n_missing = MAX_OBSERVED - int(is_taken.sum())
    is_taken[others[np.linspace(0, len(others) - 1, n_missing).astype(int)]] = True
    return np.flatnonzero(is_taken)
