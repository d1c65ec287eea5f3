"""Racing by successive halving: short trainings first, the worse are pruned, the others continue.

Successive halving inside a batch (Jamieson and Talwalkar, Non-stochastic Best Arm Identification
and Hyperparameter Optimization, 2016), and against all trainings of the study so far, the
batch included, at the same fidelity, as the median rule of Golovin et al. (Google Vizier, 2017)
does.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llmpso.errors import SpecError
from llmpso.fidelity.rungs import RUNGS, check_rungs
from llmpso.trial import Trial, TrialState


@dataclass(frozen=True, slots=True)
class Racing:
    """At which fidelities trainings are compared, and which of them continue."""

    rungs: tuple[float, ...] = RUNGS
    """Shares of the full training, rising, at which the worse ones stop."""
    promoted: float = 1 / 2
    """Share of a batch that is promoted from each rung, rounded up."""
    among: float = 1 / 2
    """A training is promoted only from among this best share of all that reached the rung."""

    def __post_init__(self) -> None:
        """Refuse a race that would not end or would prune nothing."""
        check_rungs(self.rungs)
        for name, share in (("promoted", self.promoted), ("among", self.among)):
            if not 0 < share <= 1:
                raise SpecError(f"{name} is {share!r}; it must be in (0, 1]")


Train = Callable[[Sequence[Trial]], Sequence[Trial]]
"""Trains pending trials to their fidelity, in any order; each comes back ended, or pending with
one rung more."""

Prune = Callable[[Trial], Trial]
"""Called with each trial that is pruned; returns it as it is recorded."""


class Race:
    """One study's race: the values of all trainings so far at each rung.

    Values are only ever compared at equal fidelity. Same trials, same values, same decisions.
    """

    def __init__(self, racing: Racing) -> None:
        self._racing = racing
        self._values: dict[float, list[float]] = {rung: [] for rung in racing.rungs}
        self._has_completed = False

    def run(self, trials: Sequence[Trial], train: Train, prune: Prune) -> list[Trial]:
        """Race one batch; all of it comes back complete, failed or pruned."""
        running, done = list(trials), []
        for fidelity in (*self._racing.rungs, 1.0):
            trained = train([replace(trial, fidelity=fidelity) for trial in running])
            ended = [trial for trial in trained if trial.state is not TrialState.PENDING]
            self._has_completed |= any(trial.state is TrialState.COMPLETE for trial in ended)
            done += ended
            if len(ended) == len(running):
                break
            running, stopped = self._divided(fidelity, trained)
            done += [prune(trial.pruned()) for trial in stopped]
        return done

    def _divided(
        self, fidelity: float, trained: Sequence[Trial]
    ) -> tuple[list[Trial], list[Trial]]:
        """Those that are promoted from a rung, and those that are pruned."""
        # What is above a limit takes no place of what may be used.
        rivals = [trial for trial in trained if trial.state is not TrialState.INFEASIBLE]
        values = {t.number: value for t in rivals for at, value in t.rungs if at == fidelity}
        self._values[fidelity] += values.values()
        ranked = sorted(values, key=lambda number: (values[number], number))
        best = ranked[: math.ceil(self._racing.promoted * len(ranked))]
        limit = np.quantile(self._values[fidelity], self._racing.among)
        chosen = {number for number in best if values[number] <= limit}
        if not self._has_completed:
            # Without any value the swarm would have no best to follow.
            chosen.add(ranked[0])
        pending = [trial for trial in trained if trial.state is TrialState.PENDING]
        going = [trial for trial in pending if trial.number in chosen]
        return going, [trial for trial in pending if trial.number not in chosen]
