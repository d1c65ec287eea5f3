"""A number of workers, each of which serves one thread at a time."""

import logging
import queue
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Protocol

from llmpso.errors import SpecError
from llmpso.running.outcome import Outcome
from llmpso.trial import Trial

logger = logging.getLogger(__name__)

CHECK_SECONDS = 20.0
"""How often who waits for a worker looks whether there are any."""

PATIENCE_SECONDS = 900.0
"""How long a study may have no worker for a training before it ends."""


class ClosedError(Exception):
    """The study ended during this evaluation: its result is not recorded."""


class NoRoomError(Exception):
    """A worker waits for room: another is to evaluate the trial.

    Args:
        room: Ends when the worker has room, or never will.
    """

    def __init__(self, room: Future[None]) -> None:
        super().__init__()
        self.room = room


class Worker(Protocol):
    """Evaluates one trial after the other.

    One that was lost is replaced here; its trial is repeated by `evaluate_with_retry`.
    """

    def evaluate(self, trial: Trial) -> Outcome:
        """The outcome, or how the worker was lost.

        Raises:
            ClosedError: It was stopped.
            NoRoomError: It cannot be started yet; nothing was evaluated.
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
        self._without_room: set[Worker] = set()
        for worker in reversed(workers):
            self._idle.put(worker)

    def evaluate(self, trial: Trial) -> Outcome:
        """Evaluate one trial; what becomes of the worker is a failure of the trial.

        Raises:
            SpecError: No worker has had room for too long.
        """
        while True:
            worker = self._next()
            try:
                outcome = worker.evaluate(trial)
            except NoRoomError as error:
                self._set_aside(worker, error.room)
            except BaseException:
                self._idle.put(worker)
                raise
            else:
                self._idle.put(worker)
                return outcome

    def close(self) -> None:
        """Stop all workers, and wait for the threads that used them."""
        for worker in self._workers:
            worker.stop()
        for worker in [self._idle.get() for _ in self._workers]:
            worker.discard()
            # A thread that still waits for a worker learns from it that there are none.
            self._idle.put(worker)

    def _next(self) -> Worker:
        seen_at = time.monotonic()
        while True:
            with suppress(queue.Empty):
                return self._idle.get(timeout=CHECK_SECONDS)
            if len(self._without_room) < len(self._workers):
                seen_at = time.monotonic()
            elif time.monotonic() - seen_at >= PATIENCE_SECONDS:
                raise SpecError(
                    "the cluster has had no room for a worker of this study for "
                    f"{PATIENCE_SECONDS:g} seconds; the study continues when it is run again"
                )

    def _set_aside(self, worker: Worker, room: Future[None]) -> None:
        if not self._without_room:
            logger.warning("the cluster has no room for a worker; its trials wait for another")
        self._without_room.add(worker)
        room.add_done_callback(lambda ended: self._take_back(worker, ended))

    def _take_back(self, worker: Worker, room: Future[None]) -> None:
        if room.exception() is not None:
            worker.discard()  # it was lost meanwhile: no trial is to fail for that
        self._without_room.remove(worker)
        self._idle.put(worker)
