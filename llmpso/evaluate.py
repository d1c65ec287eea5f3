"""One trial through one objective: the border where the user's code may fail in any way."""

import time
from dataclasses import dataclass, replace

from llmpso.objectives.base import Objective
from llmpso.trial import Evaluation, Failure, FailureKind, Trial


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trial with its result, and the evaluation it came from."""

    trial: Trial
    evaluation: Evaluation | None
    """None if the trial failed before it was measured."""
    error: BaseException | None = None
    """What the objective raised."""


def evaluate_trial(objective: Objective, trial: Trial, *, fidelity: float = 1.0) -> Outcome:
    """Evaluate one trial; whatever goes wrong makes a failed trial with its kind."""
    trial, begin = replace(trial, started_at=time.time()), time.perf_counter()
    try:
        evaluation = objective.evaluate(trial.params, fidelity=fidelity, seed=trial.seed)
    except Exception as error:  # noqa: BLE001 - user code may raise anything; it is on record
        failure = Failure(failure_kind(error), _one_line(error))
        return Outcome(trial.failed(failure, time.perf_counter() - begin), None, error)
    return Outcome(trial.completed(evaluation, time.perf_counter() - begin), evaluation)


def failure_kind(error: BaseException) -> FailureKind:
    """What kind of failure an exception stands for."""
    if isinstance(error, TimeoutError):
        return FailureKind.TIMEOUT
    # torch raises its own class on a GPU and a plain RuntimeError on a CPU; neither may be
    # imported here.
    ran_out = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if ran_out or "can't allocate memory" in str(error):
        return FailureKind.OUT_OF_MEMORY
    return FailureKind.EXCEPTION


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:500]}"
