"""Evaluations on a Ray cluster: an existing one, or one on this machine for one study.

Each worker is an actor, which holds the objective, and to which Ray assigns its GPUs. The tasks
are Ray's own, not Prefect's: a worker does not need to reach Prefect's server.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from llmpso.errors import SpecError
from llmpso.resources import MEMORY
from llmpso.running.evaluate import Measure
from llmpso.running.outcome import Outcome, lost_outcome, outcome_from_bytes
from llmpso.running.worker_context import WorkerContext
from llmpso.running.worker_pool import ClosedError, NoRoomError, WorkerPool
from llmpso.text import one_line, plural
from llmpso.trial import Failure, FailureKind, Trial
from llmpso.user_code.safe_path import forget_working_directory

try:
    import ray
    from ray.exceptions import RayActorError
except ImportError as error:
    message = "runner is 'ray', which is not installed: pip install 'llmpso[ray]'"
    raise SpecError(message) from error

MIB = 2**20

ROOM_SECONDS = 60.0
"""How long a trial waits until its worker has room, before another worker takes it."""


@contextmanager
def ray_cluster(
    context: WorkerContext, n_workers: int, address: str | None, taken: Mapping[str, float]
) -> Iterator[Measure]:
    """A function that evaluates trials on a cluster; any of `n_workers` threads may call it.

    Args:
        context: What each worker is to do.
        n_workers: Actors, each of which takes as many cores as an evaluation may use.
        address: That of the cluster, for example `ray://10.0.0.1:10001`.
        taken: What each actor takes beside, by name; memory in MiB.

    Raises:
        SpecError: The cluster does not answer, or is too small.
        LLMPSOError: A worker cannot build the objective.
    """
    if address:
        context = context.for_a_cluster()
    with _connected(address, n_cores=n_workers * context.n_threads):
        needs = {**_needs(context), **taken}
        _check_room(needs, n_workers)
        # Ray deals out the GPUs.
        workers = [_Worker(replace(context, per_gpu=None), needs) for _ in range(n_workers)]
        workers[0].prepare()
        pool = WorkerPool(workers)
        try:
            yield pool.evaluate
        finally:
            pool.close()


def places(address: str, taken: Mapping[str, float]) -> int:
    """How many evaluations a cluster can run in parallel: its cores, or fewer by what each takes.

    Raises:
        SpecError: It does not answer, or has no room for one.
    """
    with _connected(address):
        _check_room(taken, 1)
        found = _found()
        return int(min(found.get(name, 0) / each for name, each in {"CPU": 1.0, **taken}.items()))


@contextmanager
def _connected(address: str | None, n_cores: int | None = None) -> Iterator[None]:
    # Without `local` Ray would look for a cluster that somebody else has started here.
    own = {"address": "local", "num_cpus": n_cores, "include_dashboard": False}
    where = own if address is None else {"address": address}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SpecError(
            f"address is {address!r}, where no Ray cluster answers ({error}); {_advice(error)}"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _advice(error: BaseException) -> str:
    """What to do about a cluster that does not answer."""
    # Ray sends its token to an address only if it is told to, and says so in the cause alone.
    if "token" in str(error.__cause__).lower():
        return "it asks for a token: set RAY_AUTH_MODE=token and, for its token, RAY_AUTH_TOKEN"
    return "start one with `ray start --head`"


def _needs(context: WorkerContext) -> dict[str, float]:
    """What one actor takes of the cluster."""
    gpus = {} if context.per_gpu is None else {"GPU": 1 / context.per_gpu}
    return {"CPU": float(context.n_threads)} | gpus


def _check_room(needs: Mapping[str, float], n_workers: int) -> None:
    """Refuse more actors than the cluster has room for; the last of them would wait forever."""
    found = _found()
    for name, amount in needs.items():
        if n_workers * amount > found.get(name, 0.0):
            raise SpecError(
                f"the Ray cluster has {found.get(name, 0.0):g} {name}, and "
                f"{plural(n_workers, 'worker needs', 'workers need')} {n_workers * amount:g}; set "
                "--workers or --resources"
            )


def _found() -> dict[str, float]:
    """What the cluster has in all; memory in MiB."""
    found: dict[str, float] = ray.cluster_resources()
    return found | {MEMORY: found.get(MEMORY, 0.0) / MIB}


class _Worker:
    """One actor, started when it is needed and again, maybe elsewhere, after it was lost."""

    def __init__(self, context: WorkerContext, needs: dict[str, float]) -> None:
        self._context = context
        self._needs = needs
        self._actor: Any = None
        self._room: Future[None] = Future()
        self._is_stopped = False

    def prepare(self) -> None:
        """Build the objective."""
        ray.get(self._running().prepare.remote())

    def evaluate(self, trial: Trial) -> Outcome:
        """The outcome that the actor sent, or how it was lost.

        Raises:
            ClosedError: The actor was stopped.
            NoRoomError: It waits for room on the cluster.
        """
        if self._is_stopped:
            raise ClosedError
        actor = self._running()
        if not wait([self._room], ROOM_SECONDS).done:
            raise NoRoomError(self._room)
        started_at = time.time()
        try:
            return outcome_from_bytes(ray.get(actor.measure.remote(trial)))
        except RayActorError as error:
            self.discard()
            if self._is_stopped:
                raise ClosedError from error
            lost = one_line(error, 200)
        return lost_outcome(trial, Failure(FailureKind.LOST_WORKER, lost), started_at)

    def stop(self) -> None:
        """Kill the actor; a thread that waits for it gets an error."""
        self._is_stopped = True
        # Another thread may discard it meanwhile.
        actor = self._actor
        if actor is not None:
            ray.kill(actor)

    def discard(self) -> None:
        """Do without the actor."""
        self._actor = None

    def _running(self) -> Any:
        if self._actor is None:
            own = dict(self._needs)
            actor = ray.remote(_Place).options(
                num_cpus=own.pop("CPU"),
                num_gpus=own.pop("GPU", 0),
                memory=int(own.pop(MEMORY, 0) * MIB) or None,
                resources=own,
            )
            self._actor = actor.remote(self._context)
            self._room = self._actor.arrive.remote().future()
        if self._is_stopped:  # before there was an actor to kill
            raise ClosedError
        return self._actor


class _Place:
    """What lives in the actor's process."""

    def __init__(self, context: WorkerContext) -> None:
        # Ray searches it first, where it would take a user's `tasks.py` for ours.
        forget_working_directory()
        self._context = context

    def arrive(self) -> None:
        """Nothing: its end shows that there was room."""

    def prepare(self) -> None:
        self._context.prepare()

    def measure(self, trial: Trial) -> bytes:
        return self._context.measure(trial)
