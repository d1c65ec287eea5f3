"""How far the trainings of a tracked study go at a time: in full, to a rung, or as a race."""

from collections.abc import Callable, Sequence
from functools import partial

from flows.display.progress import StudyProgress
from llmpso.fidelity.limits import StepLimits, limited
from llmpso.objectives.base import Objective
from llmpso.running.successive_halving import Race
from llmpso.study.loop import Evaluator
from llmpso.study.spec import StudySpec
from llmpso.trial import Trial
from tasks.ledger import Ledger


def trained(
    study: StudySpec,
    objective: Objective,
    train: Evaluator,
    ledger: Ledger,
    prune: Callable[[Trial], Trial],
) -> Evaluator:
    """What evaluates a batch, as far as its trainings go at a time.

    Args:
        study: Whether trainings are raced, pause, or are trained in full.
        objective: One whose trainings cannot be resumed may report, and stop for good.
        train: Trains a batch to the fidelity of its trials.
        ledger: Has the checkpoints.
        prune: Ends a trial of a race.
    """

    def train_on(trials: Sequence[Trial]) -> Sequence[Trial]:
        return train([ledger.raced(trial) for trial in trials])

    if study.pauses(objective):
        return train_on
    if (race := study.race(objective)) is not None:
        return partial(Race(race).run, train=train_on, prune=prune)
    return train if study.racing is None else limited(train, StepLimits())


def pruned(ledger: Ledger, progress: StudyProgress, trial: Trial) -> Trial:
    """A trial that goes no further, recorded and shown."""
    recorded = ledger.prune(trial)
    progress(recorded)
    return recorded
