"""A batch in threads of this process, without records: what a notebook needs."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from llmpso.objectives.base import Objective
from llmpso.running.evaluate import evaluate_trial
from llmpso.running.global_state import GlobalState
from llmpso.running.successive_halving import Race, Racing
from llmpso.trial import Trial, TrialState


class InterruptedBatchError(KeyboardInterrupt):
    """A user interrupted a batch.

    Args:
        ended: Its trials that had ended.
    """

    def __init__(self, ended: Sequence[Trial]) -> None:
        super().__init__()
        self.ended = tuple(ended)


class ThreadEvaluator:
    """Evaluates batches in threads; a batch for one worker in the calling thread.

    Args:
        objective: What is evaluated.
        racing: How a batch is raced; each trial is trained to its fidelity if None.
        pool: The threads.
        n_workers: How many there are.
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

    def _train_on(self, trials: Sequence[Trial]) -> list[Trial]:
        """Train each from its checkpoint."""
        return self._train(
            [replace(t, checkpoint=str(self._scratch / f"{t.number}.pt")) for t in trials]
        )

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


def _end(futures: Sequence[Future[Trial]]) -> None:
    """Start nothing new, and wait for running evaluations until a second interrupt."""
    running = [future for future in futures if not future.cancel()]
    with suppress(KeyboardInterrupt):
        wait(running)
