"""A finished study of ours as a later one reads it."""

from collections.abc import Sequence

from llmpso.memory.past_study import PastState, PastTrial
from llmpso.trial import Trial, TrialState

STATES = {
    TrialState.COMPLETE: PastState.COMPLETE,
    TrialState.PRUNED: PastState.PRUNED,
    TrialState.FAILED: PastState.FAILED,
    TrialState.INFEASIBLE: PastState.INFEASIBLE,
}
"""How the trials of a finished study ended; none of them is pending."""

INFEASIBLE_VALUE = "infeasible_value"
"""Metric of the value that a trial had although it broke a constraint."""


def past_trials(trials: Sequence[Trial]) -> tuple[PastTrial, ...]:
    """The trials of a study that have ended, by number."""
    ended = [trial for trial in trials if trial.state in STATES]
    return tuple(map(_past_trial, sorted(ended, key=lambda trial: trial.number)))


def _past_trial(trial: Trial) -> PastTrial:
    measured = {"value": trial.value} if trial.value is not None else {}
    if trial.state is TrialState.INFEASIBLE and INFEASIBLE_VALUE in trial.metrics:
        measured = {"value": trial.metrics[INFEASIBLE_VALUE]}
    if trial.state is TrialState.PRUNED and trial.rungs:
        measured = {"value": trial.rungs[-1][1]}
    return PastTrial(
        params=dict(trial.params),
        state=STATES[trial.state],
        fidelity=trial.fidelity,
        rungs=trial.rungs,
        **measured,
    )
