"""A finished study of ours as a later one reads it."""

import math
from collections.abc import Sequence
from dataclasses import replace

from llmpso.memory.past_study import PastState, PastTrial
from llmpso.trial import INFEASIBLE_VALUE, Source, Trial, TrialState

STATES = {
    TrialState.COMPLETE: PastState.COMPLETE,
    TrialState.PRUNED: PastState.PRUNED,
    TrialState.FAILED: PastState.FAILED,
    TrialState.INFEASIBLE: PastState.INFEASIBLE,
}
"""How the trials of a finished study ended; none of them is pending."""


def past_trials(trials: Sequence[Trial]) -> tuple[PastTrial, ...]:
    """The trials of a study that have ended, by number."""
    ended = [trial for trial in trials if trial.state in STATES]
    return tuple(map(_past_trial, sorted(ended, key=lambda trial: trial.number)))


def trials_of(past: Sequence[PastTrial]) -> tuple[Trial, ...]:
    """Trials of an earlier study, as far as it says, numbered in their order."""
    return tuple(_trial(number, trial) for number, trial in enumerate(past))


def _trial(number: int, past: PastTrial) -> Trial:
    trial = Trial(
        number=number,
        params=dict(past.params),
        source=Source.MEMORY,
        iteration=0,
        particle=number,
        seed=0,
        fidelity=past.fidelity,
        rungs=past.rungs,
        goals=tuple(past.values),
        state=next(ours for ours, theirs in STATES.items() if theirs is past.state),
    )
    if not math.isfinite(past.value):
        return trial
    if trial.state is TrialState.PRUNED:
        return replace(trial, rungs=trial.rungs or ((past.fidelity, past.value),))
    if trial.state is TrialState.INFEASIBLE:
        return replace(trial, metrics={**past.values, INFEASIBLE_VALUE: past.value})
    if trial.state is TrialState.COMPLETE:
        return replace(trial, value=past.value, values=past.values)
    return trial


def _past_trial(trial: Trial) -> PastTrial:
    measured = {"value": trial.value} if trial.value is not None else {}
    values = dict(trial.values)
    if trial.state is TrialState.INFEASIBLE and INFEASIBLE_VALUE in trial.metrics:
        measured = {"value": trial.metrics[INFEASIBLE_VALUE]}
        values = _goals(trial)
    if trial.state is TrialState.PRUNED and trial.rungs:
        measured = {"value": trial.rungs[-1][1]}
    return PastTrial(
        params=dict(trial.params),
        state=STATES[trial.state],
        fidelity=trial.fidelity,
        rungs=trial.rungs,
        values=values,
        **measured,
    )


def _goals(trial: Trial) -> dict[str, float]:
    """Those that an infeasible trial measured; nothing if one of them is missing."""
    found = {name: trial.metrics.get(name, math.nan) for name in trial.goals}
    return found if all(map(math.isfinite, found.values())) else {}
