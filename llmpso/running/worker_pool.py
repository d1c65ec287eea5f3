"""A number of workers, each of which serves one thread at a time."""

import queue
from collections.abc import Sequence
from typing import Protocol

from llmpso.running.outcome import Outcome
from llmpso.trial import Trial


class ClosedError(Exception):
    """The study ended during this evaluation: its result is not recorded."""


class Worker(Protocol):
    """Evaluates one trial after the other, and is started again after it was lost."""

    def evaluate(self, trial: Trial) -> Outcome:
        """The outcome, or how the worker was lost.

        Raises:
            ClosedError: It was stopped.
        """
        ...

    def stop(self) -> None:
        """End it; a thread that waits for it gets an error."""
        ...

    def discard(self) -> object:
        """Release what it holds."""
        ...


class WorkerPool:
    """Workers that are reused from one evaluation to the next.

    Args:
        workers: Started at their first trial.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in reversed(workers):
            self._idle.put(worker)

    def evaluate(self, trial: Trial) -> Outcome:
        """Evaluate one trial; what becomes of the worker is a failure of the trial."""
        worker = self._idle.get()
        try:
            return worker.evaluate(trial)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Stop all workers, and wait for the threads that used them."""
        for worker in self._workers:
            worker.stop()
        for _ in self._workers:
            self._idle.get().discard()
