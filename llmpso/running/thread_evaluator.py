"""Evaluations in threads of this process, without records: what a notebook needs."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from llmpso.objectives.base import Objective
from llmpso.running.evaluate import evaluate_trial
from llmpso.running.global_state import GlobalState
from llmpso.running.successive_halving import Race, Racing
from llmpso.trial import Trial, TrialState


class InterruptedBatchError(KeyboardInterrupt):
    """A user interrupted evaluations.

    Args:
        ended: Those of them that had ended.
    """

    def __init__(self, ended: Sequence[Trial]) -> None:
        super().__init__()
        self.ended = tuple(ended)


class ThreadEvaluator:
    """Evaluates batches in threads, or one trial after the other in the calling thread.

    Args:
        objective: What is evaluated.
        racing: How a batch is raced; each trial is trained to its fidelity if None.
        pool: The threads.
        n_workers: How many there are; one is the calling thread.
        scratch: Folder for the checkpoints.
        on_trial: Called with each trial as it ends.
        pauses: Whether trainings leave checkpoints, from which they go on.
    """

    def __init__(
        self,
        objective: Objective,
        racing: Racing | None,
        pool: ThreadPoolExecutor,
        n_workers: int,
        scratch: Path,
        on_trial: Callable[[Trial], None],
        *,
        pauses: bool = False,
    ) -> None:
        self._objective = objective
        self._race = None if racing is None else Race(racing)
        self._pool, self._n_workers = pool, n_workers
        self._scratch = scratch
        self._on_trial = on_trial
        self._pauses = pauses
        self._state = GlobalState.captured()
        self._ended: list[Trial] = []

    def __call__(self, trials: Sequence[Trial]) -> list[Trial]:
        """Evaluate a batch.

        Raises:
            InterruptedBatchError: By Ctrl-C. What runs in other threads is waited for, until the
                second Ctrl-C; nothing new begins.
        """
        self._ended = []
        try:
            if self._race is not None:
                return self._race.run(trials, train=self._train_on, prune=self._reported)
            return self._train_on(trials) if self._pauses else self._train(trials)
        except KeyboardInterrupt as error:
            raise InterruptedBatchError(self._ended) from error

    def prune(self, trial: Trial) -> Trial:
        """End a trial that is paused."""
        return self._reported(trial.pruned())

    def evaluate(self, trial: Trial) -> Trial:
        """Evaluate one trial, on from its checkpoint if trainings pause."""
        return self._evaluate(self._with_checkpoint(trial) if self._pauses else trial)

    def _train_on(self, trials: Sequence[Trial]) -> list[Trial]:
        """Train each from its checkpoint."""
        return self._train([self._with_checkpoint(trial) for trial in trials])

    def _with_checkpoint(self, trial: Trial) -> Trial:
        return replace(trial, checkpoint=str(self._scratch / f"{trial.number}.pt"))

    def _train(self, trials: Sequence[Trial]) -> list[Trial]:
        if self._n_workers == 1:
            # Ctrl-C ends a training immediately only if it runs in the main thread.
            is_main = threading.current_thread() is threading.main_thread()
            return [self._evaluate(trial, is_interruptible=is_main) for trial in trials]
        futures = [self._pool.submit(self._evaluate, trial) for trial in trials]
        try:
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            _end(futures)
            raise

    def _evaluate(self, trial: Trial, *, is_interruptible: bool = False) -> Trial:
        with self._state.restored():
            outcome = evaluate_trial(self._objective, trial, is_interruptible=is_interruptible)
        return self._reported(outcome.trial)

    def _reported(self, trial: Trial) -> Trial:
        if trial.state is not TrialState.PENDING:
            self._ended.append(trial)
            self._on_trial(replace(trial, params=dict(trial.params)))
        return trial


class ThreadWorkers:
    """Threads each of which takes the next trial as soon as it is free.

    Args:
        evaluate: Evaluates one trial.
        pool: The threads.
        n_at_once: Further trials are begun while fewer than this are under way.
    """

    def __init__(
        self, evaluate: Callable[[Trial], Trial], pool: ThreadPoolExecutor, n_at_once: int
    ) -> None:
        self.n_at_once = n_at_once
        self._evaluate, self._pool = evaluate, pool
        self._futures: set[Future[Trial]] = set()
        self._ended: SimpleQueue[Future[Trial]] = SimpleQueue()

    def begin(self, trials: Sequence[Trial]) -> None:
        """Give trials to the threads."""
        for trial in trials:
            future = self._pool.submit(self._evaluate, trial)
            self._futures.add(future)
            future.add_done_callback(self._ended.put)

    def wait(self) -> list[Trial]:
        """Wait for the next trial to end, or pause.

        Raises:
            InterruptedBatchError: By Ctrl-C; as `ThreadEvaluator`.
        """
        try:
            future = self._ended.get()
        except KeyboardInterrupt as error:
            _end([*self._futures])
            ended = [future.result() for future in self._futures if _has_result(future)]
            raise InterruptedBatchError(ended) from error
        self._futures.remove(future)
        return [future.result()]


def _has_result(future: Future[Trial]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _end(futures: Sequence[Future[Trial]]) -> None:
    """Start nothing new, and wait for running evaluations until a second interrupt."""
    running = [future for future in futures if not future.cancel()]
    with suppress(KeyboardInterrupt):
        wait(running)
