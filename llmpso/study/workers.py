"""Where the trainings of a study run: batch after batch, or each as soon as a worker is free."""

from collections.abc import Callable, Sequence
from typing import Protocol

from llmpso.fidelity.limits import StepLimits
from llmpso.trial import Trial

Evaluator = Callable[[Sequence[Trial]], Sequence[Trial]]
"""Turns pending trials into finished ones, or pauses them at their fidelity, in any order."""


class Workers(Protocol):
    """What the loop of a study begins trainings with; the only thing that runners differ in."""

    @property
    def n_at_once(self) -> int:
        """Further trials are begun while fewer than this are under way."""
        ...

    def begin(self, trials: Sequence[Trial]) -> None:
        """Begin to train some trials to their fidelity, without waiting for them."""
        ...

    def wait(self) -> Sequence[Trial]:
        """Wait for trials that were begun: ended, or paused; the study learns of them together."""
        ...


class Batches:
    """All trials of a batch end before the next one is begun: the same trials, anywhere.

    Args:
        evaluate: Evaluates a batch.
    """

    n_at_once = 1

    def __init__(self, evaluate: Evaluator) -> None:
        self._evaluate = evaluate
        self._begun: Sequence[Trial] = ()

    def begin(self, trials: Sequence[Trial]) -> None:
        """Name the batch."""
        self._begun = trials

    def wait(self) -> list[Trial]:
        """Evaluate it: its trials by number."""
        return sorted(self._evaluate(self._begun), key=lambda trial: trial.number)


class LimitedWorkers:
    """Workers whose trainings stop at their limits.

    Args:
        workers: Where they run.
        limits: Those of the study.
    """

    def __init__(self, workers: Workers, limits: StepLimits) -> None:
        self._workers, self._limits = workers, limits

    @property
    def n_at_once(self) -> int:
        """That of the workers."""
        return self._workers.n_at_once

    def begin(self, trials: Sequence[Trial]) -> None:
        """Begin to train some trials, each with what it must reach by now."""
        self._workers.begin([self._limits.set_on(trial) for trial in trials])

    def wait(self) -> list[Trial]:
        """Wait for trials that were begun; what they reached limits the next ones."""
        return self._limits.read(self._workers.wait())
