"""Which trials of a study lowered its best value."""

from collections.abc import Sequence

from llmpso.trial import Trial


def improvements(trials: Sequence[Trial]) -> list[Trial]:
    """The trials, in order, that each lowered the best value of all before them.

    The first value is no improvement: there is nothing before it.
    """
    lowered: list[Trial] = []
    best: float | None = None
    for trial in trials:
        if trial.value is None:
            continue
        if best is not None and trial.value < best:
            lowered.append(trial)
        best = trial.value if best is None else min(best, trial.value)
    return lowered
