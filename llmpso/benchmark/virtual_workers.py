"""Workers on a virtual clock: trainings that are looked up take the time that they once took.

So it can be measured in minutes how long a study of days takes with any number of workers. The
search itself takes no time on this clock.
"""

import heapq
from collections.abc import Mapping, Sequence

from llmpso.benchmark.epoch_meter import Curves
from llmpso.trial import Trial, TrialState


class VirtualWorkers:
    """Workers of a study whose trainings are looked up.

    Args:
        curves: What is looked up; its metric `seconds`, or else `epochs`, is the time of a
            training from its beginning.
        n_workers: How many there are.
        n_at_once: Trainings that are under way together, if no worker waits; all of a batch end
            before the next begins if None.

    Attributes:
        now: Time since the study began.
        worked: Time that the workers have worked, in all.
        completed: Of each full training, when it ended and its value.
    """

    def __init__(self, curves: Curves, n_workers: int, n_at_once: int | None) -> None:
        self._curves = curves
        self._waits = n_at_once is None
        self.n_at_once = n_at_once or 1
        self._free_at = [0.0] * n_workers
        self._running: list[tuple[float, int, Trial]] = []
        self.now = self.worked = 0.0
        self.completed: list[tuple[float, float]] = []

    def begin(self, trials: Sequence[Trial]) -> None:
        """Give each trial to the worker that is free first."""
        for trial in trials:
            begin = max(self.now, heapq.heappop(self._free_at))
            ended, seconds = self._trained(trial)
            self.worked += seconds
            heapq.heappush(self._free_at, begin + seconds)
            heapq.heappush(self._running, (begin + seconds, trial.number, ended))

    def wait(self) -> list[Trial]:
        """The trial that ends first, or all of the batch."""
        n_ended = len(self._running) if self._waits else 1
        ended = [self._end() for _ in range(n_ended)]
        return sorted(ended, key=lambda trial: trial.number)

    def _end(self) -> Trial:
        self.now, _, trial = heapq.heappop(self._running)
        if trial.state is TrialState.COMPLETE and trial.value is not None:
            self.completed.append((self.now, trial.value))
        return trial

    def _trained(self, trial: Trial) -> tuple[Trial, float]:
        """A trial trained on to its fidelity, and how long that takes."""
        before = trial.rungs[-1][0] if trial.rungs else 0.0
        found = self._curves.evaluate(trial.params, fidelity=trial.fidelity, seed=trial.seed)
        seconds = _time(found.metrics)
        if before:
            begun = self._curves.evaluate(trial.params, fidelity=before, seed=trial.seed)
            seconds -= _time(begun.metrics)
        return trial.measured(found, seconds), max(0.0, seconds)


def _time(metrics: Mapping[str, float]) -> float:
    return metrics.get("seconds", metrics["epochs"])
