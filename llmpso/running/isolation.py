"""Where evaluations run: in threads of this process, or in processes that can be killed.

Processes are kept from one evaluation to the next, with the data loaded. One that takes too long,
takes too much memory or dies makes a failed trial, and is replaced.
"""

import math
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Literal

from llmpso.errors import SpecError
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.objectives.threads import limit_threads
from llmpso.running.evaluate import Evaluate, Outcome, evaluate_trial
from llmpso.trial import Failure, FailureKind, Trial

LOOK_SECONDS = 0.05
"""How often a worker's time and memory are looked at."""

EXIT_SECONDS = 5.0
"""How long a process that hung up may take to end."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """What evaluations may take, and what keeps them to it."""

    kind: Literal["thread", "process"] | str = "thread"
    timeout: float | None = None
    """Seconds for one evaluation."""
    memory_mb: int | None = None
    """Resident memory of one worker process, in MiB."""

    def __post_init__(self) -> None:
        """Refuse limits that nothing would enforce."""
        if self.kind not in ("thread", "process"):
            raise SpecError(f"isolation is {self.kind!r}; it must be thread or process")
        for name, limit in (("timeout", self.timeout), ("memory", self.memory_mb)):
            if limit is not None and not limit > 0:
                raise SpecError(f"{name} is {limit!r}; it must be greater than 0")
            if limit is not None and self.kind == "thread":
                raise SpecError(
                    f"{name} is {limit!r}, but a thread cannot be stopped; add --isolation process"
                )
        if self.memory_mb is not None and not Path("/proc/self/statm").exists():
            raise SpecError(f"memory is {self.memory_mb!r}; it can only be limited on Linux")


@contextmanager
def evaluator(
    spec: ObjectiveSpec, isolation: Isolation, *, n_workers: int, n_threads: int
) -> Iterator[Evaluate]:
    """What evaluates trials, called from up to `n_workers` threads at once.

    Args:
        spec: The objective.
        isolation: Where evaluations run, and what they may take.
        n_workers: Processes, started at their first trial.
        n_threads: Cores that one evaluation may use.
    """
    if isolation.kind == "thread":
        objective = build_objective(spec)

        def measure(trial: Trial) -> Outcome:
            limit_threads(n_threads)
            return evaluate_trial(objective, trial)

        yield measure
        return
    with tempfile.TemporaryDirectory() as scratch:
        pool = _Pool([_Worker(spec, isolation, n_threads, scratch) for _ in range(n_workers)])
        try:
            yield pool.evaluate
        finally:
            pool.close()


class ClosedError(Exception):
    """The study ended while this evaluation was under way: it is not to be told."""


class _Pool:
    """Workers, each of which one thread has at a time."""

    def __init__(self, workers: list["_Worker"]) -> None:
        self._workers = workers
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
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
        """Kill all workers, and wait for the threads that hear of it."""
        for worker in self._workers:
            worker.stop()
        for _ in self._workers:
            self._idle.get().discard()


class _Worker:
    """One process, started when it is needed and again after it was lost."""

    def __init__(
        self, spec: ObjectiveSpec, isolation: Isolation, n_threads: int, scratch: str
    ) -> None:
        self._isolation = isolation
        self._settings = (spec, n_threads, scratch)
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._is_stopped = False

    def evaluate(self, trial: Trial) -> Outcome:
        """The outcome that the process sent, or how it was lost.

        Raises:
            ClosedError: The process was stopped.
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
                return _read(connection.recv())
            self.discard()
        except (EOFError, OSError):
            failure = self._lost()
        if self._is_stopped:
            raise ClosedError
        begun = replace(trial, started_at=started_at)
        return Outcome(begun.failed(failure, time.time() - started_at), None)

    def stop(self) -> None:
        """Kill the process; whoever waits for it hears that it is gone."""
        self._is_stopped = True
        if self._process is not None:
            self._process.kill()

    def discard(self, patience: float = 0.0) -> int:
        """Do without the process; how it ended, if it does so within `patience`."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is None or connection is None or process.stdin is None:
            return 0
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        process.kill()
        process.stdin.close()
        connection.close()
        return process.wait()

    def _running(self) -> tuple[subprocess.Popen[bytes], Connection]:
        if self._process is not None and self._connection is not None:
            return self._process, self._connection
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "llmpso.running.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                # Ctrl-C is for the study, which ends its workers itself.
                start_new_session=True,
            )
        self._process, self._connection = process, ours
        ours.send(self._settings)
        ours.recv()
        return process, ours

    def _overdrawn(
        self, process: subprocess.Popen[bytes], connection: Connection
    ) -> Failure | None:
        """Wait for the outcome; a failure if the process takes more than it may."""
        timeout, memory_mb = self._isolation.timeout, self._isolation.memory_mb
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not connection.poll(LOOK_SECONDS):
            if time.monotonic() > deadline:
                message = f"no result within {timeout:g} s; its process was killed"
                return Failure(FailureKind.TIMEOUT, message)
            if memory_mb is not None and _resident_mb(process.pid) > memory_mb:
                message = f"more than {memory_mb} MiB; its process was killed"
                return Failure(FailureKind.OUT_OF_MEMORY, message)
        return None

    def _lost(self) -> Failure:
        code = self.discard(EXIT_SECONDS)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        hint = ", as if the machine had run out of memory" if code == -signal.SIGKILL else ""
        return Failure(FailureKind.LOST_WORKER, f"its process ended with {how}{hint}")


def _read(path: Path) -> Outcome:
    """What our own child wrote: the one pickle that is trusted."""
    outcome: Outcome = pickle.loads(path.read_bytes())
    path.unlink()
    return outcome


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
