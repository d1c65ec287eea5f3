"""What a training that reported came to: its curve, and what `report` made of it."""

import math
from dataclasses import replace

from llmpso.errors import TrainingStoppedError
from llmpso.fidelity.reporter import Reporter, Stop
from llmpso.running.outcome import Outcome
from llmpso.trial import Evaluation, Failure, FailureKind, Trial
from llmpso.user_code.calls import described


def reported(
    outcome: Outcome, trial: Trial, reporter: Reporter, error: BaseException | None = None
) -> Outcome:
    """The outcome of a training with its reports; where these stopped it, that alone counts.

    Args:
        outcome: What the training came to without them.
        trial: As it was before.
        reporter: Has the reports.
        error: What the training raised.
    """
    ended, evaluation = _seen(outcome.trial, reporter), outcome.evaluation
    if reporter.stop is not None:
        ended, evaluation = _stopped(_seen(trial, reporter), reporter.stop, ended.seconds)
        ended = replace(ended, warnings=_after(reporter.stop, error))
    if reporter.points:
        # What was reported before a failure is on record, too.
        evaluation = replace(evaluation or Evaluation(math.nan), reports=reporter.points)
    return Outcome(replace(ended, warnings=(*ended.warnings, *reporter.warnings)), evaluation)


def _seen(trial: Trial, reporter: Reporter) -> Trial:
    return replace(trial, milestones=reporter.milestones, n_steps=reporter.n_steps)


def _stopped(trial: Trial, stop: Stop, total: float) -> tuple[Trial, Evaluation]:
    """A trial that `report` stopped: it diverged, is pruned, or pauses."""
    seconds, evaluation = total - trial.seconds, Evaluation(stop.value)
    if not math.isfinite(stop.value):
        message = f"the training reported {stop.value} at step {stop.step}, where it is compared"
        return trial.failed(Failure(FailureKind.NAN, message), seconds), evaluation
    if stop.limit is not None:
        return trial.stopped(stop.limit, seconds), evaluation
    return trial.measured(evaluation, seconds), evaluation


def _after(stop: Stop, error: BaseException | None) -> tuple[str, ...]:
    """A warning, unless the training let the exception pass that stopped it."""
    if isinstance(error, TrainingStoppedError):
        return ()
    ended = "returned" if error is None else f"raised {described(error)}"
    return (f"report stopped the training at step {stop.step}, but it went on and {ended}",)
