"""Where the trainings of a tracked study run, and how far they go at a time."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.display.prefect_page import PrefectPage
from flows.display.progress import StudyProgress
from flows.display.terminal import shown_on_terminal
from flows.tune_plan import Plan
from llmpso.running.evaluate import Measure
from llmpso.running.successive_halving import Race
from llmpso.study.workers import Batches, Evaluator, LimitedWorkers, Workers
from llmpso.trial import Trial
from tasks.iterate import iterate
from tasks.records.flow_runs import prefect_address
from tasks.records.ledger import Ledger
from tasks.records.running_trials import RunningTrials
from tasks.store.state_folders import study_folder
from tasks.tracked_workers import TrackedWorkers


class ShownWorkers:
    """Workers of a study whose pages are brought up to date when trials have come back.

    Args:
        workers: Where its trainings run.
        ledger: Has the curve of the best value.
        progress: Counts the trials.
        page: Prefect's.
    """

    def __init__(
        self, workers: Workers, ledger: Ledger, progress: StudyProgress, page: PrefectPage
    ) -> None:
        self._workers, self._ledger = workers, ledger
        self._running = RunningTrials(study_folder(ledger.study.run_id))
        self._progress, self._page = progress, page

    @property
    def n_at_once(self) -> int:
        """That of the workers."""
        return self._workers.n_at_once

    def begin(self, trials: Sequence[Trial]) -> None:
        """Begin to train some trials."""
        self._running.begin(trials)
        self._workers.begin(trials)

    def wait(self) -> Sequence[Trial]:
        """Wait for trials that were begun, and show them.

        Raises:
            BusyError: Another process took the study over meanwhile.
        """
        returned = self._workers.wait()
        self._ledger.check()
        self._running.end(returned)
        self._ledger.note_incumbent(self._progress.best)
        self._page.show()
        return returned


@dataclass(frozen=True, slots=True)
class Trainings:
    """What a tracked study trains with."""

    workers: Workers
    """For the search."""
    in_full: Evaluator
    """For a batch of which none is paused or stopped early."""


@contextmanager
def open_trainings(plan: Plan, ledger: Ledger, progress: StudyProgress) -> Iterator[Trainings]:
    """Workers each of which takes the next trial when it is free, or that wait for each other.

    Args:
        plan: The study.
        ledger: Answers what was measured before, and records what is measured.
        progress: Shows the trials that begin and end.
    """
    page = PrefectPage(progress)
    page.show()
    with (
        ThreadPoolTaskRunner[Trial](max_workers=plan.n_workers) as runner,
        plan.open_runner(ledger.worker_outcomes) as measure,
        shown_on_terminal(progress, plan.n_workers, prefect_address()),
        _open_workers(plan, ledger, progress, measure, runner) as workers,
    ):
        shown: Workers = ShownWorkers(workers, ledger, progress, page)
        limits = plan.study.new_limits()
        yield Trainings(
            shown if limits is None else LimitedWorkers(shown, limits),
            partial(_trained, ledger, progress, measure, runner),
        )
    page.show(is_last=True)


def pruned(ledger: Ledger, progress: StudyProgress, trial: Trial) -> Trial:
    """A trial that goes no further, recorded and shown."""
    recorded = ledger.prune(trial)
    progress(recorded)
    return recorded


@contextmanager
def _open_workers(
    plan: Plan,
    ledger: Ledger,
    progress: StudyProgress,
    measure: Measure,
    runner: TaskRunner[PrefectConcurrentFuture[Trial]],
) -> Iterator[Workers]:
    pauses = plan.study.pauses
    if not plan.study.is_asynchronous:
        yield Batches(_evaluator(plan, ledger, progress, measure, runner, pauses=pauses))
        return
    with TrackedWorkers(
        ledger,
        plan.study.n_at_once,
        measure,
        runner,
        progress.begin,
        progress,
        pauses=pauses,
    ) as workers:
        yield workers


def _evaluator(
    plan: Plan,
    ledger: Ledger,
    progress: StudyProgress,
    measure: Measure,
    runner: TaskRunner[PrefectConcurrentFuture[Trial]],
    *,
    pauses: bool,
) -> Evaluator:
    """What evaluates a batch: to its fidelity, to a rung, or as a race."""
    train = partial(_trained, ledger, progress, measure, runner)
    # A paused training goes on in a later step than the one that it began in.
    numbers = itertools.count()

    def train_on(trials: Sequence[Trial]) -> list[Trial]:
        return train(
            [ledger.raced(trial) for trial in trials], numbers=numbers if pauses else None
        )

    if pauses:
        return train_on
    if (race := plan.study.race) is not None:
        prune = partial(pruned, ledger, progress)
        return partial(Race(race).run, train=train_on, prune=prune)
    return train


def _trained(
    ledger: Ledger,
    progress: StudyProgress,
    measure: Measure,
    runner: TaskRunner[PrefectConcurrentFuture[Trial]],
    trials: Sequence[Trial],
    numbers: Iterator[int] | None = None,
) -> list[Trial]:
    """A batch after its trainings; what was measured before is not trained again.

    Args:
        ledger: Answers and records.
        progress: Shows the trials.
        measure: Turns a trial into its outcome.
        runner: Where evaluations run.
        trials: The batch.
        numbers: Of the steps in Prefect, if these are not the iterations of the trials.
    """
    done = [answer for trial in trials if (answer := ledger.answer(trial))]
    for trial in done:
        progress(trial)
    known = {trial.number for trial in done}
    if missing := [trial for trial in trials if trial.number not in known]:
        number = trials[0].iteration if numbers is None else next(numbers)
        progress.begin(missing)
        done += iterate(number, missing, measure, ledger, runner, progress)
    return done
