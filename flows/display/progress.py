"""The state of a running study: the terminal and Prefect show it; the log has a line per trial."""

import logging
import threading
import time
from collections.abc import Sequence

from llmpso.backends.base import Backend, BackendAround, Reply, Request
from llmpso.study.cost import TrainingCost
from llmpso.text import brief, short
from llmpso.trial import Source, Trial, TrialState, violated_text


class StudyProgress:
    """Counts the trials as they end, and those that are running.

    Args:
        budget: Evaluations in all; a training to a rung counts its share.
        metric: Name and unit of the value.
        logger: Gets a line per trial.
        notes: What users should know of the data; each is logged as a warning.
    """

    def __init__(
        self,
        budget: int,
        metric: str,
        logger: logging.Logger | logging.LoggerAdapter[logging.Logger],
        notes: Sequence[str] = (),
    ) -> None:
        self.budget = budget
        self.metric = metric
        self.notes = tuple(notes)
        self.trials: list[Trial] = []
        """Those of the search that have ended."""
        self.paused: dict[int, Trial] = {}
        """By number, those whose training may go on."""
        self._cost = TrainingCost()
        self.best: Trial | None = None
        self.n_asked = 0
        """Requests to the language model."""
        self.is_asking = False
        """Whether a request to the language model is open."""
        self.began_at = time.monotonic()
        self._under_way: set[int] = set()
        self._logger = logger
        self._lock = threading.Lock()
        for note in self.notes:
            logger.warning("%s", note)

    def __call__(self, trial: Trial) -> None:
        """Count one trial, or one more part of its training."""
        with self._lock:
            self._cost.add(trial, self.paused.pop(trial.number, None))
            self._under_way.discard(trial.number)
            is_repeat = trial.source is Source.REPEAT
            if trial.state is TrialState.PENDING:
                self.paused[trial.number] = trial
            elif not is_repeat:
                self.trials.append(trial)
            improved = (trial.value is not None and not is_repeat) and (
                self.best is None or self.best.value is None or trial.value < self.best.value
            )
            if improved:
                self.best = trial
            done = self.done
        self._logger.info("%s/%d  %s", done, self.budget, _line(trial, improved))

    @property
    def spent(self) -> float:
        """Evaluations so far."""
        return self._cost.total

    @property
    def done(self) -> str:
        """The evaluations so far, for people."""
        return f"{round(self.spent, 1):g}"

    def begin(self, trials: Sequence[Trial]) -> None:
        """Note that trials were given to the workers."""
        with self._lock:
            self._under_way |= {trial.number for trial in trials}

    @property
    def n_in_flight(self) -> int:
        """Trials that were given to the workers and have not come back."""
        return len(self._under_way)

    @property
    def n_failed(self) -> int:
        """Trials that failed."""
        return sum(trial.failure is not None for trial in self.trials)

    @property
    def seconds_left(self) -> float | None:
        """Estimated time for the remaining trials; None before the first one."""
        if not self.spent:
            return None
        seconds = time.monotonic() - self.began_at
        return seconds / self.spent * max(0.0, self.budget - self.spent)


class ReportingBackend(BackendAround):
    """A backend that reports to the progress while a request is open."""

    def __init__(self, backend: Backend, progress: StudyProgress) -> None:
        super().__init__(backend)
        self._progress = progress

    def complete(self, request: Request) -> Reply:
        """Send the request to the wrapped backend.

        Raises:
            BackendError: The model did not answer.
        """
        self._progress.n_asked += 1
        self._progress.is_asking = True
        try:
            return self._backend.complete(request)
        finally:
            self._progress.is_asking = False


def _line(trial: Trial, improved: bool) -> str:
    params = ", ".join(f"{brief(name)}={short(value)}" for name, value in trial.params.items())
    warned = f"  ({'; '.join(trial.warnings)})" if trial.warnings else ""
    if trial.failure is not None:
        return f"failed ({trial.failure.kind}: {trial.failure.message})  {trial.source}  {params}"
    if trial.state is TrialState.INFEASIBLE:
        return f"infeasible ({violated_text(trial)})  {trial.source}  {params}"
    if trial.value is None:
        ended = "paused" if trial.state is TrialState.PENDING else "pruned"
        fidelity, value = trial.rungs[-1]
        return (
            f"{ended} at {fidelity:.0%} of the training with {value:.5g}  {trial.source}  {params}"
        )
    mark = "  ← best so far" if improved else ""
    values = ", ".join(f"{name} {value:.5g}" for name, value in trial.values.items())
    return f"{values or f'{trial.value:.5g}'}  {trial.source}  {params}{mark}{warned}"
