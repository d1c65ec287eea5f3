"""Evaluations in processes of this machine, which can be killed.

Processes are reused for further evaluations, with the data loaded. One that takes too long, takes
too much memory or terminates makes a failed trial and is replaced; the processes that it started
are killed too.
"""

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from llmpso.running.durable_files import DamagedError
from llmpso.running.evaluate import Measure
from llmpso.running.gpus import check_gpus
from llmpso.running.outcome import Outcome, lost_outcome
from llmpso.running.outcome_files import read_outcome
from llmpso.running.process_tree import kill_tree, resident_mb
from llmpso.running.worker_context import WorkerContext
from llmpso.running.worker_pool import ClosedError, WorkerPool
from llmpso.trial import Failure, FailureKind, Trial

LOOK_SECONDS = 0.05
"""How often a worker's time is checked."""

MEMORY_LOOK_SECONDS = 0.1
"""How often its memory is checked, which takes milliseconds."""

EXIT_SECONDS = 5.0
"""How long a process that hung up may take to end."""


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What one evaluation may take."""

    timeout: float | None = None
    """Seconds."""
    memory_mb: int | None = None
    """Resident memory of the process and of all that it started, in MiB."""


@contextmanager
def process_pool(
    context: WorkerContext,
    n_workers: int,
    limits: ProcessLimits,
    worker_outcomes: Path | None = None,
) -> Iterator[Measure]:
    """A function that evaluates trials in processes; any of `n_workers` threads may call it.

    Args:
        context: What each process is to do.
        n_workers: Processes, started at their first trial.
        limits: A process that goes beyond them is killed.
        worker_outcomes: Folder that outcomes are written to; a temporary one if None.

    Raises:
        SpecError: There are too few GPUs, or the code was edited since it was imported.
    """
    if context.per_gpu is not None:
        check_gpus(n_workers, context.per_gpu)
    with tempfile.TemporaryDirectory() as scratch:
        folder = worker_outcomes or Path(scratch)
        context = context.for_processes()
        pool = WorkerPool([_Worker(context, limits, folder) for _ in range(n_workers)])
        try:
            yield pool.evaluate
        finally:
            pool.close()


class _Worker:
    """One process, started when it is needed and again after it was lost."""

    def __init__(self, context: WorkerContext, limits: ProcessLimits, folder: Path) -> None:
        self._limits = limits
        self._settings = (context, folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._is_stopped = False

    def evaluate(self, trial: Trial) -> Outcome:
        """The outcome that the process sent, or how it was lost.

        Raises:
            ClosedError: The process was stopped.
            LLMPSOError: It cannot build the study's objective: the code was edited, say.
        """
        if self._is_stopped:
            raise ClosedError
        started_at = time.time()
        try:
            process, connection = self._running()
            started_at = time.time()
            connection.send(trial)
            failure = self._overdrawn(process, connection)
            if failure is None:
                return read_outcome(connection.recv())
            self.discard()
        except (EOFError, OSError, DamagedError):
            failure = self._lost()
        if self._is_stopped:
            raise ClosedError
        return lost_outcome(trial, failure, started_at)

    def stop(self) -> None:
        """Kill the process; a thread that waits for it gets an error."""
        self._is_stopped = True
        # Another thread may discard it meanwhile.
        process = self._process
        if process is not None:
            kill_tree(process.pid)

    def discard(self, patience: float = 0.0) -> int:
        """Do without the process; how it ended, if it does so within `patience`."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is None or connection is None or process.stdin is None:
            return 0
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        kill_tree(process.pid)
        process.stdin.close()
        connection.close()
        return process.wait()

    def _running(self) -> tuple[subprocess.Popen[bytes], Connection]:
        if self._process is not None and self._connection is not None:
            return self._process, self._connection
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "llmpso.running.worker_process",
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                # Ctrl-C is for the study, which ends its workers itself.
                start_new_session=True,
            )
        self._process, self._connection = process, ours
        if self._is_stopped:  # before there was a process to kill
            raise ClosedError
        ours.send(self._settings)
        problem = ours.recv()
        if problem is not None:
            raise problem
        return process, ours

    def _overdrawn(
        self, process: subprocess.Popen[bytes], connection: Connection
    ) -> Failure | None:
        """Wait for the outcome; a failure if the process takes more than it may."""
        timeout, memory_mb = self._limits.timeout, self._limits.memory_mb
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not connection.poll(LOOK_SECONDS if memory_mb is None else MEMORY_LOOK_SECONDS):
            if time.monotonic() > deadline:
                message = f"no result within {timeout:g} s; its process was killed"
                return Failure(FailureKind.TIMEOUT, message, allowed=timeout)
            if memory_mb is not None and resident_mb(process.pid) > memory_mb:
                message = f"more than {memory_mb} MiB; its process was killed"
                return Failure(FailureKind.OUT_OF_MEMORY, message, allowed=memory_mb)
        return None

    def _lost(self) -> Failure:
        code = self.discard(EXIT_SECONDS)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        hint = ", as if the machine had run out of memory" if code == -signal.SIGKILL else ""
        return Failure(FailureKind.LOST_WORKER, f"its process ended with {how}{hint}")
