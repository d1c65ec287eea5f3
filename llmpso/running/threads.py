"""A batch in threads of this process, without records: what a notebook needs."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from llmpso.objectives.base import Objective
from llmpso.running.evaluate import evaluate_trial
from llmpso.running.racing import Race, Racing
from llmpso.trial import Trial, TrialState


def thread_evaluator(
    objective: Objective,
    racing: Racing | None,
    pool: ThreadPoolExecutor,
    scratch: Path,
    on_trial: Callable[[Trial], None],
) -> Callable[[Sequence[Trial]], list[Trial]]:
    """What evaluates batches in threads.

    Args:
        objective: What is evaluated.
        racing: How a batch is raced; each trial is trained in full if None.
        pool: The threads.
        scratch: Folder for the checkpoints of a race.
        on_trial: Hears of each trial as it ends.
    """

    def heard(trial: Trial) -> Trial:
        if trial.state is not TrialState.PENDING:
            on_trial(trial)
        return trial

    def evaluate(trial: Trial) -> Trial:
        return heard(evaluate_trial(objective, trial).trial)

    def train(trials: Sequence[Trial]) -> list[Trial]:
        return list(pool.map(evaluate, trials))

    if racing is None:
        return train

    def train_on(trials: Sequence[Trial]) -> list[Trial]:
        return train([replace(t, checkpoint=str(scratch / f"{t.number}.pt")) for t in trials])

    return partial(Race(racing).run, train=train_on, prune=heard)
