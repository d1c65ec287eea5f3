"""The batches of a tracked study as races."""

from collections.abc import Sequence
from functools import partial

from flows.display.progress import StudyProgress
from llmpso.fidelity.limits import StepLimits, limited
from llmpso.objectives.base import Objective, Resumable
from llmpso.running.successive_halving import Race, Racing
from llmpso.study.loop import Evaluator
from llmpso.trial import Trial
from tasks.ledger import Ledger


def raced(
    racing: Racing | None,
    objective: Objective,
    train: Evaluator,
    ledger: Ledger,
    progress: StudyProgress,
) -> Evaluator:
    """What evaluates a batch: all of it in full, or as a race whose pruned trials are recorded.

    Args:
        racing: How to race; not at all if None.
        objective: One whose trainings cannot be resumed may report, and stop for good.
        train: Trains a batch to the fidelity of its trials.
        ledger: Has the checkpoints, and takes the pruned trials.
        progress: Is notified of them.
    """
    if racing is None:
        return train
    if not isinstance(objective, Resumable):
        return limited(train, StepLimits())

    def train_on(trials: Sequence[Trial]) -> Sequence[Trial]:
        return train([ledger.raced(trial) for trial in trials])

    def prune(trial: Trial) -> Trial:
        pruned = ledger.prune(trial)
        progress(pruned)
        return pruned

    return partial(Race(racing).run, train=train_on, prune=prune)
