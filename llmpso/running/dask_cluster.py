"""Evaluations on a Dask cluster: an existing one, or workers on this machine for one study.

The tasks are Dask's own, not Prefect's: a worker does not need to reach Prefect's server, and an
evaluation costs milliseconds where one through `prefect-dask` costs a tenth of a second.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from llmpso.errors import SpecError
from llmpso.running.evaluate import Measure
from llmpso.running.outcome import Outcome, lost_outcome, outcome_from_bytes
from llmpso.running.worker_context import WorkerContext
from llmpso.running.worker_pool import CHECK_SECONDS, PATIENCE_SECONDS, ClosedError
from llmpso.trial import Failure, FailureKind, Trial
from llmpso.user_code.safe_path import SAFE_PATH, safe_path

try:
    import dask
    from distributed import Client, Future, KilledWorker, LocalCluster
except ImportError as error:
    message = "runner is 'dask', which is not installed: pip install 'llmpso[dask]'"
    raise SpecError(message) from error

CONNECT_SECONDS = 10.0

RETURN_SECONDS = 300.0
"""How long a lost worker on this machine may take to start again before it is replaced."""

SETTINGS = {
    # No retry by Dask: a lost worker is a failed trial, and our own retry notes it on the trial.
    "distributed.scheduler.allowed-failures": 0,
    # Dask gives a worker up that is lost, or lost again, as this ends: after 15 s by default.
    "distributed.deploy.lost-worker-timeout": RETURN_SECONDS,
    # No worker may take a `queue.py` in the working directory for Python's own as it starts.
    f"distributed.nanny.pre-spawn-environ.{SAFE_PATH}": 1,
}
"""For a cluster on this machine."""


@contextmanager
def dask_cluster(
    context: WorkerContext, n_workers: int, address: str | None, taken: Mapping[str, float]
) -> Iterator[Measure]:
    """A function that evaluates trials on a cluster; any of `n_workers` threads may call it.

    Args:
        context: What each worker is to do.
        n_workers: Workers to start on this machine; an existing cluster has its own.
        address: That of the cluster's scheduler, for example `tcp://10.0.0.1:8786`.
        taken: What each evaluation takes of a worker's resources, by name.

    Raises:
        SpecError: The cluster does not answer, or no worker has what an evaluation takes.
        LLMPSOError: A worker cannot build the objective.
    """
    if address:
        context = context.for_a_cluster()
    with _connected(address) if address else _started(n_workers) as client:
        _needed_places(client, taken)  # else evaluations would wait in vain
        crew = _Crew(client, context, taken)
        with crew.watched():
            crew.prepare()
            try:
                yield crew.evaluate
            finally:
                crew.is_closed = True


def places(address: str, taken: Mapping[str, float]) -> int:
    """How many evaluations a cluster can run in parallel: by its workers' threads and resources.

    Raises:
        SpecError: It does not answer, or no worker has what an evaluation takes.
    """
    with _connected(address) as client:
        return _needed_places(client, taken)


def _needed_places(client: Client, taken: Mapping[str, float]) -> int:
    workers = _workers(client)
    places = _n_places(workers, taken)
    if workers and not places:
        offered = sorted({f"{n}={x:g}" for each in workers for n, x in each["resources"].items()})
        raise SpecError(
            f"resources asks for {', '.join(f'{n}={x:g}' for n, x in taken.items())}, which no "
            f"worker of the Dask cluster has; they offer {', '.join(offered) or 'none'}"
        )
    return places


def _workers(client: Client) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def _n_places(workers: list[dict[str, Any]], taken: Mapping[str, float]) -> int:
    return sum(
        int(min([each["nthreads"], *(each["resources"].get(r, 0) / taken[r] for r in taken)]))
        for each in workers
    )


@contextmanager
def _started(n_workers: int) -> Iterator[Client]:
    """A cluster on this machine during the block."""
    is_asked_for = SAFE_PATH in os.environ
    # Python starts this process for the first worker, and never tells it where not to search.
    with safe_path():
        resource_tracker.ensure_running()
    with (
        dask.config.set(SETTINGS),
        _environment_restored(),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        if not is_asked_for:
            client.register_worker_callbacks(_search_paths_as_usual)
        yield client


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Undo what Dask sets in this process too when it starts a worker, such as one thread each."""
    names = {*dask.config.get("distributed.nanny.pre-spawn-environ"), "PYTHONHASHSEED"}
    before = {name: os.environ[name] for name in names & os.environ.keys()}
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def _search_paths_as_usual() -> None:
    """Let what a training starts find modules as it does anywhere else."""
    os.environ.pop(SAFE_PATH, None)


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise SpecError(
            f"address is {address!r}, where no Dask scheduler answers ({error}); start one with "
            "`dask scheduler` and its workers with `dask worker`"
        ) from error


class _Crew:
    """The workers of a cluster, as one study sees them."""

    def __init__(self, client: Client, context: WorkerContext, taken: Mapping[str, float]) -> None:
        self._client = client
        self._context = context
        self._taken = dict(taken)
        self._awaited: set[Future[Any]] = set()
        self._is_deserted = False
        self.is_closed = False
        """Whether running evaluations are abandoned."""

    def prepare(self) -> None:
        """Have each worker build the objective: none is to fail later for want of code or data."""
        names = list(self._client.nthreads())
        if not names:
            raise SpecError("the Dask cluster has no workers; start some with `dask worker`")
        futures = [
            self._client.submit(
                WorkerContext.prepare,
                self._context,
                workers=[name],
                # A worker that is lost meanwhile comes back under another name.
                allow_other_workers=True,
                pure=False,
            )
            for name in names
        ]
        for future in futures:
            self._result(future)

    def evaluate(self, trial: Trial) -> Outcome:
        """The outcome that a worker sent, or how it was lost.

        Raises:
            SpecError: The cluster has had no worker for too long.
        """
        started_at = time.time()
        try:
            future = self._client.submit(
                WorkerContext.measure,
                self._context,
                trial,
                pure=False,
                resources=self._taken or None,
            )
            return outcome_from_bytes(self._result(future))
        except KilledWorker as error:
            lost = f"Dask worker {error.last_worker.address} died"
        except CancelledError as error:
            if self.is_closed:
                raise ClosedError from error
            lost = f"the Dask scheduler gave it up: {error}"
        return lost_outcome(trial, Failure(FailureKind.LOST_WORKER, lost), started_at)

    def _result(self, future: Future[Any]) -> Any:
        self._awaited.add(future)
        try:
            return future.result()
        except CancelledError as error:
            if self._is_deserted:
                raise SpecError(
                    f"the Dask cluster has had no worker for a training for {PATIENCE_SECONDS:g} "
                    "seconds; the study continues when it is run again"
                ) from error
            raise
        finally:
            self._awaited.discard(future)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let nobody wait forever, during the block, for workers that do not come back."""
        is_over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(is_over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _watch(self, is_over: threading.Event) -> None:
        seen_at = time.monotonic()
        while not is_over.wait(CHECK_SECONDS):
            # While the client connects again nothing is known.
            with suppress(OSError):
                _replace_lost_workers(self._client.cluster)
                if _n_places(_workers(self._client), self._taken):
                    seen_at = time.monotonic()
                elif time.monotonic() - seen_at >= PATIENCE_SECONDS:
                    self._is_deserted = True
                    self._client.cancel(list(self._awaited), force=True)


def _replace_lost_workers(cluster: LocalCluster | None) -> None:
    """Start those of a cluster on this machine again that Dask gave up."""
    if cluster is not None:
        cluster.scale(len(cluster.worker_spec))
