"""What a search with short trainings has trained so far, and which of it may go on."""

import math
from collections.abc import Iterator, Sequence, Set

import numpy as np

from llmpso.search.surrogate.feasibility import UNKNOWN, failure_label
from llmpso.search.surrogate.fidelity_surrogate import Training
from llmpso.search.surrogate.observations import LEAST_RANKED
from llmpso.search.under_way import UnderWay
from llmpso.space import Floats, SearchSpace
from llmpso.trial import Source, Trial, TrialState

BEGINNINGS = 1 / 2
"""Share of the epochs that begin trainings, at most, once a few have begun. In high dimensions the
surrogate expects more of what it does not know, again and again: in a study of TaskSet 342
trainings were begun and 4 completed."""


class Trainings:
    """The trials of a search, each as far as it has been trained.

    Args:
        space: What may be tried.
        lowest: Share of the full training at which each pauses first.
        advised: Sources whose trainings go on only if they are no worse than the blind ones.
        least: Trainings that begin in any case.
    """

    def __init__(
        self, space: SearchSpace, lowest: float, advised: Set[Source], least: int
    ) -> None:
        self._space, self._lowest = space, lowest
        self._advised, self._least = advised, least
        self._trials: dict[int, Trial] = {}

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials.values())

    def add(self, trials: Sequence[Trial]) -> None:
        """Add trainings, or how far they have gone on."""
        self._trials |= {trial.number: trial for trial in trials}

    def paused(self, under_way: UnderWay) -> list[Trial]:
        """Those that may go on.

        What was advised may only if it is at the first rung at least as good as the median of the
        blind ones.
        """
        pending = [
            trial
            for number, trial in self._trials.items()
            if trial.state is TrialState.PENDING and number not in under_way
        ]
        at_most = self._median_of_the_blind
        return [t for t in pending if t.source not in self._advised or t.rungs[0][1] <= at_most]

    @property
    def completes_any(self) -> bool:
        """Whether one was trained in full."""
        return any(trial.state is TrialState.COMPLETE for trial in self)

    @property
    def seeks_feasible(self) -> bool:
        """Whether all that was trained in full is above a limit."""
        is_above = any(trial.state is TrialState.INFEASIBLE for trial in self)
        return is_above and not self.completes_any

    @property
    def begins_too_many(self) -> bool:
        """Whether too many of the epochs began trainings, instead of going on with them."""
        spent = sum(trial.fidelity for trial in self)
        return len(self) > self._least and self._lowest * len(self) > BEGINNINGS * spent

    def measured(self) -> list[Training]:
        """As the surrogate takes them."""
        has_constraints = any(trial.constraints for trial in self)
        return [self._training(trial, has_constraints) for trial in self]

    def _training(self, trial: Trial, has_constraints: bool) -> Training:
        values = dict(trial.rungs)
        if trial.value is not None:
            values[1.0] = trial.value
        # Constraints may be measured later than it got to.
        is_known = trial.state is TrialState.FAILED or trial.constraints or not has_constraints
        label = failure_label(trial) if is_known else UNKNOWN
        return Training(self._space.encode(trial.params), values, label)

    @property
    def _median_of_the_blind(self) -> float:
        """Of the values at the first rung; failed ones are the worst."""
        blind = [trial for trial in self if trial.source is Source.INITIAL]
        values = [trial.rungs[0][1] if trial.rungs else math.inf for trial in blind]
        return float(np.median(values)) if values else math.inf


def furthest(trainings: Sequence[Training]) -> tuple[Floats, Floats]:
    """Positions and values at the highest fidelity that at least three trainings reached."""
    for fidelity in sorted({at for t in trainings for at in t.values}, reverse=True):
        reached = [t for t in trainings if fidelity in t.values]
        if len(reached) > LEAST_RANKED:
            break
    positions = np.array([training.position for training in reached])
    return positions, np.array([training.values[fidelity] for training in reached])
