"""Which earlier trials of a study are reused in place of the same evaluation, asked for again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmpso.running.evaluate import is_transient
from llmpso.running.fingerprint import training_key
from llmpso.trial import Failure, FailureKind, Trial, TrialState

PROGRESS = (
    TrialState.FAILED,
    TrialState.PRUNED,
    TrialState.INFEASIBLE,
    TrialState.COMPLETE,
)
"""States of a trial, in the order of how far its training got."""


Allowed = Mapping[FailureKind, float]
"""What a training may take now, by the failure that more would be; without limit if not named."""


def reusable_trials(
    trials: Sequence[Trial], fingerprint: str, allowed: Allowed
) -> dict[str, Trial]:
    """One trial for each training, by its key: of two, the one that got further.

    Two kinds of failures are left out, so that they are trained again. Lost workers at the end of
    the study, on which no later proposal can depend. And trainings that took more time or memory
    than they were allowed, where they are allowed more now.

    Args:
        trials: All that was recorded or measured.
        fingerprint: That of the objective.
        allowed: What a training may take.
    """
    last = max((trial.iteration for trial in trials), default=0)
    # Workers that wait for nobody begin trials of an iteration after others of it have ended.
    began = max((t.started_at for t in trials if not _is_transient(t)), default=0.0)
    found: dict[str, Trial] = {}
    for trial in trials:
        is_at_the_end = trial.iteration == last and trial.started_at + trial.seconds >= began
        if _is_transient(trial) and is_at_the_end:
            continue
        if trial.failure and _may_go_further(trial.failure, allowed):
            continue
        key = training_key(fingerprint, trial)
        if key not in found or progress(trial) >= progress(found[key]):
            found[key] = trial
    return found


def found_for(trial: Trial, stored: Trial | None) -> Trial | None:
    """A stored trial as the one that is asked for would end; None if it must be trained.

    One that a limit stopped would be stopped again by the same limits.
    """
    if stored is None:
        return None
    is_stopped = stored.state is TrialState.PRUNED and stored.limits != ()
    return stored if is_stopped and stored.limits == trial.limits else stored.at(trial.fidelity)


def reused_for(trial: Trial, recorded: Trial) -> Trial:
    """A recorded trial in the place of the one that is asked for."""
    return replace(
        recorded,
        number=trial.number,
        params=trial.params,
        source=trial.source,
        iteration=trial.iteration,
        particle=trial.particle,
    )


def _is_transient(trial: Trial) -> bool:
    return trial.failure is not None and is_transient(trial.failure.kind)


def _may_go_further(failure: Failure, allowed: Allowed) -> bool:
    """Whether a training was killed for taking more than it was allowed, which is more now."""
    return failure.allowed is not None and failure.allowed < allowed.get(failure.kind, math.inf)


def progress(trial: Trial) -> tuple[int, float]:
    """How far the training of a trial that has ended got, to be compared with another."""
    return PROGRESS.index(trial.state), trial.fidelity
