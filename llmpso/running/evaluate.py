"""Evaluates one trial, again if its worker was lost; a failure of the user's code is a result."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from llmpso.fidelity.reporter import Reporter, reporting
from llmpso.objectives.base import Objective, Resumable
from llmpso.running.objective_result import to_evaluation
from llmpso.running.outcome import Outcome
from llmpso.running.reports import reported
from llmpso.trial import Failure, FailureKind, Trial
from llmpso.user_code.calls import described, traceback_of

logger = logging.getLogger(__name__)

Measure = Callable[[Trial], Outcome]
"""Turns a pending trial into its outcome, here or in another process; never raises."""


def evaluate_trial(
    objective: Objective, trial: Trial, *, is_interruptible: bool = False
) -> Outcome:
    """Evaluate one trial; whatever goes wrong makes a failed trial with its kind.

    Args:
        objective: Is given a copy of the parameters: it may change them.
        trial: What is evaluated.
        is_interruptible: Whether a `KeyboardInterrupt` is a person's, and ends the study; else it
            is one of the objective's own, as `sys.exit` is.
    """
    trial = replace(trial, started_at=trial.started_at or time.time())
    begin, process, reporter = time.perf_counter(), os.getpid(), Reporter(trial)
    try:
        with reporting(reporter):
            evaluation, warnings = to_evaluation(_returned(objective, trial))
    except BaseException as error:  # noqa: BLE001 - user code may raise anything; it is on record
        if is_interruptible and isinstance(error, KeyboardInterrupt):
            raise
        outcome = failed_outcome(trial, error, time.perf_counter() - begin)
        outcome = reported(outcome, trial, reporter, error)
    else:
        # A training that ended before the step where it was to pause is whole.
        is_final = evaluation.is_final or trial.until > 0
        evaluation = replace(evaluation, is_final=is_final)
        measured = trial.measured(evaluation, time.perf_counter() - begin)
        outcome = Outcome(replace(measured, warnings=warnings), evaluation)
        outcome = reported(outcome, trial, reporter)
    if os.getpid() != process:
        # A fork of this process made by the objective: it must not run our clean-up.
        os._exit(0)
    return outcome


def evaluate_with_retry(measure: Measure, trial: Trial, max_retries: int) -> Outcome:
    """Evaluate one trial, and retry after a transient failure; the trial's note says so."""
    outcome = measure(trial)
    for _ in range(max_retries):
        failure = outcome.trial.failure
        if failure is None or not is_transient(failure.kind):
            break
        logger.warning("trial %d is retried: %s", trial.number, failure.message)
        note = f"{trial.note}; " if trial.note else ""
        trial = replace(trial, note=f"{note}retried after: {failure.message}")
        outcome = measure(trial)
    return outcome


def is_transient(kind: FailureKind) -> bool:
    """Whether a retry of the same evaluation may succeed."""
    return kind is FailureKind.LOST_WORKER


def failed_outcome(trial: Trial, error: BaseException, seconds: float) -> Outcome:
    """The outcome of a trial that an exception ended."""
    failure = Failure(failure_kind(error), described(error), traceback_of(error))
    return Outcome(trial.failed(failure, seconds), None)


def failure_kind(error: BaseException) -> FailureKind:
    """The kind of failure of an exception."""
    if isinstance(error, TimeoutError):
        return FailureKind.TIMEOUT
    # torch raises its own class on a GPU and a plain RuntimeError on a CPU; neither may be
    # imported here.
    ran_out = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if ran_out or "can't allocate memory" in described(error):
        return FailureKind.OUT_OF_MEMORY
    return FailureKind.EXCEPTION


def _returned(objective: Objective, trial: Trial) -> object:
    params = dict(trial.params)
    if trial.checkpoint and isinstance(objective, Resumable):
        return objective.train_to(
            params,
            fidelity=trial.fidelity,
            seed=trial.seed,
            checkpoint=Path(trial.checkpoint),
        )
    if trial.checkpoint and trial.fidelity < 1 and not trial.until:
        raise TypeError(f"{type(objective).__name__} has no train_to: it cannot be raced")
    return objective.evaluate(params, fidelity=trial.fidelity, seed=trial.seed)
