"""Workers each of which takes the next trial as soon as it is free; all is recorded.

A study that is resumed learns of its earlier trials in the order in which they had ended, so that
it proposes the same ones again, whatever had ended first.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Self

from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from llmpso.running.evaluate import Measure
from llmpso.trial import Trial
from tasks.iterate import iterate
from tasks.records.ledger import Ledger


class Feed:
    """The trials of one iteration, given to it while it runs."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Trial | None] = SimpleQueue()
        self.n_given = 0

    def __iter__(self) -> Iterator[Trial]:
        """Each trial as it is given, until the iteration is closed."""
        return iter(self._queue.get, None)

    def give(self, trial: Trial) -> None:
        """Give one more trial."""
        self.n_given += 1
        self._queue.put(trial)

    def close(self) -> None:
        """Give no more."""
        self._queue.put(None)


class TrackedWorkers:
    """Workers of a study, with a ledger; iterations are the parents of its evaluations.

    As many trials as are under way together, in the order in which they begin, make an iteration.
    Within a `with` block.

    Args:
        ledger: Answers what was measured before, and records what is measured.
        n_at_once: Further trials are begun while fewer than this are under way.
        measure: Turns a trial into its outcome.
        runner: Where evaluations run.
        on_begin: Called with each trial whose evaluation begins.
        on_trial: Called with each trial as it comes back.
        pauses: Whether trainings leave checkpoints, from which they go on.
    """

    def __init__(
        self,
        ledger: Ledger,
        n_at_once: int,
        measure: Measure,
        runner: TaskRunner[PrefectConcurrentFuture[Trial]],
        on_begin: Callable[[Sequence[Trial]], None],
        on_trial: Callable[[Trial], None],
        *,
        pauses: bool,
    ) -> None:
        self.n_at_once = n_at_once
        self._ledger, self._pauses = ledger, pauses
        self._on_begin, self._on_trial = on_begin, on_trial
        self._shared = {"measure": measure, "ledger": ledger, "runner": runner}
        # An iteration lasts as long as its longest training.
        self._iterations = ThreadPoolTaskRunner[list[Trial]](max_workers=2 * n_at_once)
        self._numbers = itertools.count()
        self._feed = Feed()
        self._known: list[tuple[float, int, Trial]] = []
        """What was measured before, the first to end first."""
        self._returned: SimpleQueue[Trial | BaseException] = SimpleQueue()
        self._early: dict[int, Trial] = {}
        """Trials that wait for one that ended before them, by their place."""
        self._place = ledger.n_ended
        self._n_running = 0

    def __enter__(self) -> Self:
        """Be ready to begin iterations."""
        self._iterations.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Close the last iteration."""
        self._feed.close()
        self._iterations.__exit__(*error)

    def begin(self, trials: Sequence[Trial]) -> None:
        """Give trials to the workers, if they were not evaluated before."""
        # The first positions are one iteration, however many there are.
        size = max(self.n_at_once, len(trials))
        for proposed in trials:
            trial = self._ledger.raced(proposed) if self._pauses else proposed
            if (known := self._ledger.answer(trial)) is not None:
                place = known.order[-1] if known.order else math.inf
                heapq.heappush(self._known, (place, known.number, known))
            else:
                if not self._n_running:
                    # Others may have trained with the ledger meanwhile.
                    self._place = self._ledger.n_ended
                self._n_running += 1
                self._on_begin([trial])
                self._iteration(size).give(trial)

    def wait(self) -> list[Trial]:
        """Wait for the next trial.

        Raises:
            BaseException: Not its evaluation failed, but what is around it.
        """
        if self._known:
            _, _, trial = heapq.heappop(self._known)
            self._on_trial(trial)
            return [trial]
        # The search learns of results in the order that the ledger keeps, so that it proposes the
        # same when an interrupted study goes on.
        while self._place not in self._early:
            returned = self._returned.get()
            if isinstance(returned, BaseException):
                raise returned
            self._early[returned.order[-1]] = returned
        self._place += 1
        self._n_running -= 1
        return [self._early.pop(self._place - 1)]

    def _iteration(self, size: int) -> Feed:
        """The iteration that takes the next trial: a new one if the last is full."""
        feed = self._feed
        if not 0 < feed.n_given < size:
            feed.close()
            feed = self._feed = Feed()
            own = {"number": next(self._numbers), "trials": feed}
            calls = {"on_trial": self._come_back, "on_error": self._returned.put}
            self._iterations.submit(iterate, parameters=self._shared | own | calls)
        return feed

    def _come_back(self, trial: Trial) -> None:
        self._on_trial(trial)
        self._returned.put(trial)
