"""What a training must have reached to go on: asynchronous successive halving, as it stops.

At each rung, which is a step, a training goes on if it is in the better half of all trainings of
the study so far at this step (Li et al., A System for Massively Parallel Hyperparameter Tuning,
2020; its stopping form, with a reduction factor of 2). What it must reach is known before it
begins and travels with its trial.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llmpso.fidelity.curve import milestone_until, value_at
from llmpso.fidelity.rungs import RUNGS
from llmpso.trial import Limit, Trial, TrialState

logger = logging.getLogger(__name__)

PROMOTED = 1 / 2
"""Share of the best that go on."""

LEAST_VALUES = 3
"""Values at a rung from which on a training is compared with them."""


class StepLimits:
    """The limits of the next trials of a study, from those that ended.

    Rungs are steps, and the same for all trials. They follow from the number of steps of the first
    completed trials; until then nothing is stopped, so a study has a value in any case.

    Args:
        is_asked_for: Whether to warn if no training reports.
    """

    def __init__(self, *, is_asked_for: bool = True) -> None:
        self._is_asked_for = is_asked_for
        self._steps: dict[float, int] = {}
        self._values: dict[float, list[float]] = {}
        self._is_begun = False

    def set_on(self, trial: Trial) -> Trial:
        """A pending trial with what it must reach by now."""
        limits = [
            # Without interpolation: a diverged training counts as infinite.
            Limit(step, float(np.quantile(values, PROMOTED, method="higher")), fidelity)
            for fidelity, step in self._steps.items()
            if len(values := self._values[fidelity]) >= LEAST_VALUES
        ]
        return replace(trial, limits=tuple(limits))

    def read(self, trials: Sequence[Trial]) -> list[Trial]:
        """Ended trials, in order and with the values that they had at the rungs."""
        trials = sorted(trials, key=lambda trial: trial.number)
        if not self._is_begun:
            self._begin([trial for trial in trials if trial.state is TrialState.COMPLETE])
        # What is above a limit sets no mark for what may be used.
        rivals = [trial for trial in trials if trial.state is not TrialState.INFEASIBLE]
        for fidelity, step in self._steps.items():
            found = (value_at(trial.milestones, step) for trial in rivals)
            self._values[fidelity] += [
                value if math.isfinite(value) else math.inf for value in found if value is not None
            ]
        return [with_rungs(trial, self._steps) for trial in trials]

    def _begin(self, completed: Sequence[Trial]) -> None:
        """Learn the rungs from the first completed trials."""
        if not completed:
            return
        self._is_begun = True
        n_steps = max(trial.n_steps for trial in completed)
        self._steps = rung_steps(n_steps)
        self._values = {fidelity: [] for fidelity in self._steps}
        if not self._is_asked_for:
            return
        if not n_steps:
            logger.warning(
                "racing has no effect: the training did not report, so it is never stopped; call "
                "report(step, value) in its loop"
            )
        elif not self._steps:
            logger.warning(
                "racing has no effect: the training reports up to step %d only; report more often",
                n_steps,
            )


def rung_steps(n_steps: int, shares: Sequence[float] = RUNGS) -> dict[float, int]:
    """Milestones near shares of the full training, by the fidelity that each is; rising.

    Example:
        >>> rung_steps(100)
        {0.06: 6, 0.12: 12, 0.24: 24, 0.48: 48}
    """
    # The share of a number of steps may be a hair less than whole.
    whole = (math.floor(share * n_steps + 1e-9) for share in shares)
    steps = dict.fromkeys(milestone_until(step) for step in whole if step >= 1)
    return {step / n_steps: step for step in steps}


def with_rungs(trial: Trial, steps: dict[float, int]) -> Trial:
    """A complete trial with its values at steps, by the fidelities that these are."""
    if trial.state is not TrialState.COMPLETE or not trial.milestones:
        return trial
    found = ((at, value_at(trial.milestones, step)) for at, step in steps.items())
    return replace(trial, rungs=tuple((at, value) for at, value in found if value is not None))
