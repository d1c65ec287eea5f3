"""The result of one trial, and how it is sent from a worker to the study."""

import pickle
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cloudpickle

from llmpso.trial import Evaluation, Failure, Trial
from llmpso.user_code.calls import described


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trial with its result, and the evaluation it came from."""

    trial: Trial
    evaluation: Evaluation | None
    """None if the trial failed before it was measured."""
    file: Path | None = None
    """What a worker process wrote it to; of no use once it is recorded."""


def without_model(outcome: Outcome, reason: str) -> Outcome:
    """The outcome of a trial whose model cannot be saved; the trial has a warning."""
    warning = f"its model is not saved: {reason}"
    trial = replace(outcome.trial, warnings=(*outcome.trial.warnings, warning))
    bare = outcome.evaluation and replace(outcome.evaluation, model=None)
    return Outcome(trial, bare)


def lost_outcome(trial: Trial, failure: Failure, started_at: float) -> Outcome:
    """The outcome of a trial whose worker was lost."""
    begun = replace(trial, started_at=started_at)
    return Outcome(begun.failed(failure, time.time() - started_at), None)


def outcome_to_bytes(outcome: Outcome) -> bytes:
    """An outcome as bytes, with its model, lambdas included; without a model that is refused."""
    if outcome.evaluation is None or outcome.evaluation.model is None:
        return pickle.dumps((outcome, b""))
    bare = Outcome(outcome.trial, replace(outcome.evaluation, model=None))
    try:
        return pickle.dumps((bare, cloudpickle.dumps(outcome.evaluation.model)))
    except Exception as error:  # noqa: BLE001 - a user's model may refuse in any way
        return pickle.dumps((without_model(outcome, described(error)), b""))


def outcome_from_bytes(content: bytes) -> Outcome:
    """What `outcome_to_bytes` was given in a worker: the only pickle that is loaded."""
    outcome: Outcome
    outcome, model = pickle.loads(content)
    if not model or outcome.evaluation is None:
        return outcome
    try:
        return Outcome(outcome.trial, replace(outcome.evaluation, model=pickle.loads(model)))
    except Exception as error:  # noqa: BLE001 - a user's model may refuse in any way
        return without_model(outcome, described(error))
