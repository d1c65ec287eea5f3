"""Which trials of a study lowered its best value, or advanced the front of several goals."""

from collections.abc import Sequence

from llmpso.goals import enters_front
from llmpso.trial import Trial


def improvements(trials: Sequence[Trial]) -> list[Trial]:
    """The trials, in order, that each lowered the best value of all before them.

    Of several goals, those that were better in one of them than each trial before. The first value
    is no improvement: there is nothing before it.
    """
    valued = [trial for trial in trials if trial.value is not None]
    if valued and valued[0].values:
        return [t for at, t in enumerate(valued) if at and enters_front(t, valued[:at])]
    lowered: list[Trial] = []
    best: float | None = None
    for trial in valued:
        if trial.value is None:
            continue
        if best is not None and trial.value < best:
            lowered.append(trial)
        best = trial.value if best is None else min(best, trial.value)
    return lowered
