"""Racing: trainings begin short, the clearly worse stop early, the others go on from there.

Successive halving inside a batch (Jamieson and Talwalkar, Non-stochastic Best Arm Identification
and Hyperparameter Optimization, 2016), and against all earlier trainings of the study at the same
fidelity, as the median rule of Golovin et al. (Google Vizier, 2017) does.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llmpso.errors import SpecError
from llmpso.objectives.base import Resumable
from llmpso.trial import Trial, TrialState


@dataclass(frozen=True, slots=True)
class Racing:
    """When trainings are looked at, and which of them go on."""

    rungs: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
    """Shares of the full training, rising, at which the worse ones stop."""
    kept: float = 1 / 2
    """Share of a batch that goes on from each rung, rounded up."""
    among: float = 1 / 2
    """A training goes on only from among this best share of all that came to the rung."""

    def __post_init__(self) -> None:
        """Refuse a race that would not end, or stop nothing."""
        rising = all(low < high for low, high in zip(self.rungs, self.rungs[1:], strict=False))
        if not (self.rungs and rising and self.rungs[0] > 0 and self.rungs[-1] < 1):
            raise SpecError(f"rungs is {self.rungs!r}; it must rise between 0 and 1")
        for name, share in (("kept", self.kept), ("among", self.among)):
            if not 0 < share <= 1:
                raise SpecError(f"{name} is {share!r}; it must lie in (0, 1]")


def check_resumable(objective: object) -> None:
    """Raise `SpecError` unless the trainings of an objective can be raced."""
    if not isinstance(objective, Resumable):
        name = getattr(objective, "name", type(objective).__name__)
        raise SpecError(
            f"racing is on, but objective {name!r} has no train_to: its trainings cannot stop "
            "half-way and go on from a checkpoint; leave racing off"
        )


Train = Callable[[Sequence[Trial]], Sequence[Trial]]
"""Trains pending trials to their fidelity, in any order; each comes back told, or pending with
one rung more."""

Prune = Callable[[Trial], Trial]
"""Hears of each trial that is stopped, and returns it as it is to be told."""


class Race:
    """One study's race: what all trainings so far were worth at each rung.

    Values are only ever compared at equal fidelity. Same trials, same values, same decisions.
    """

    def __init__(self, racing: Racing) -> None:
        self._racing = racing
        self._values: dict[float, list[float]] = {rung: [] for rung in racing.rungs}
        self._has_completed = False

    def run(self, trials: Sequence[Trial], train: Train, prune: Prune) -> list[Trial]:
        """Race one batch; all of it comes back complete, failed or pruned."""
        running, told = list(trials), []
        for fidelity in (*self._racing.rungs, 1.0):
            trained = train([replace(trial, fidelity=fidelity) for trial in running])
            ended = [trial for trial in trained if trial.state is not TrialState.PENDING]
            self._has_completed |= any(trial.state is TrialState.COMPLETE for trial in ended)
            told += ended
            if len(ended) == len(running):
                break
            running, stopped = self._divided(fidelity, trained)
            told += [prune(trial.pruned()) for trial in stopped]
        return told

    def _divided(
        self, fidelity: float, trained: Sequence[Trial]
    ) -> tuple[list[Trial], list[Trial]]:
        """Those that go on from a rung, and those that stop."""
        values = {t.number: value for t in trained for at, value in t.rungs if at == fidelity}
        self._values[fidelity] += values.values()
        ranked = sorted(values, key=lambda number: (values[number], number))
        best = ranked[: math.ceil(self._racing.kept * len(ranked))]
        limit = np.quantile(self._values[fidelity], self._racing.among)
        chosen = {number for number in best if values[number] <= limit}
        if not self._has_completed:
            # Without a value the swarm would have nowhere to go.
            chosen.add(ranked[0])
        pending = [trial for trial in trained if trial.state is TrialState.PENDING]
        going = [trial for trial in pending if trial.number in chosen]
        return going, [trial for trial in pending if trial.number not in chosen]
