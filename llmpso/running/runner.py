"""Where evaluations run: threads of this process, processes, a Dask cluster or a Ray cluster.

Whichever it is, the same trial gives the same value, only the measuring happens there, and what is
measured is recorded here. So a worker needs neither the address of Prefect nor that of MLflow.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llmpso.errors import SpecError
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.running.evaluate import Evaluate
from llmpso.running.processes import Limits, process_pool
from llmpso.running.site import Site
from llmpso.running.surroundings import Surroundings

KINDS = ("thread", "process", "dask", "ray")
CLUSTERS = ("dask", "ray")


@dataclass(frozen=True, slots=True)
class Runner:
    """Where evaluations run, and what they may take."""

    kind: Literal["thread", "process", "dask", "ray"] | str = "thread"
    address: str | None = None
    """Of a cluster that is there; else one is started on this machine for the study."""
    timeout: float | None = None
    """Seconds for one evaluation."""
    memory_mb: int | None = None
    """Resident memory of one worker process and of what it started, in MiB."""
    per_gpu: int | None = None
    """Evaluations that share one GPU; None leaves the devices to the objective."""

    def __post_init__(self) -> None:
        """Refuse what nothing would heed."""
        if self.kind not in KINDS:
            raise SpecError(f"runner is {self.kind!r}; it must be one of {', '.join(KINDS)}")
        if self.address is not None and self.kind not in CLUSTERS:
            raise SpecError(
                f"address is {self.address!r}, but runner {self.kind!r} has none; "
                "add --runner dask or --runner ray"
            )
        self._check_limits()
        if self.per_gpu is not None and self.per_gpu < 1:
            raise SpecError(f"per_gpu is {self.per_gpu!r}; it must be at least 1")
        if self.per_gpu is not None and self.kind == "thread":
            raise SpecError(
                f"per_gpu is {self.per_gpu!r}, but threads share their devices; add "
                "--runner process, dask or ray"
            )

    def _check_limits(self) -> None:
        for name, limit in (("timeout", self.timeout), ("memory", self.memory_mb)):
            if limit is not None and not limit > 0:
                raise SpecError(f"{name} is {limit!r}; it must be greater than 0")
            if limit is not None and self.kind != "process":
                raise SpecError(
                    f"{name} is {limit!r}, but runner {self.kind!r} cannot stop an evaluation; "
                    "add --runner process"
                )
        if self.memory_mb is not None and not Path("/proc/self/statm").exists():
            raise SpecError(f"memory is {self.memory_mb!r}; it can only be limited on Linux")


def evaluator(
    spec: ObjectiveSpec,
    runner: Runner,
    *,
    n_workers: int,
    n_threads: int,
    around: str | None = None,
    arrivals: Path | None = None,
) -> AbstractContextManager[Evaluate]:
    """What evaluates trials, called from up to `n_workers` threads at once.

    Args:
        spec: The objective; each worker builds it once, and keeps its data.
        runner: Where evaluations run, and what they may take.
        n_workers: Evaluations at once.
        n_threads: Cores that one evaluation may use.
        around: `module:function` of a context manager, given the trial, around each evaluation.
        arrivals: Folder that processes write outcomes to, so that they outlast this one.

    Raises:
        SpecError: The cluster cannot be reached, its package is not installed, or there are too
            few GPUs.
        LLMPSOError: A worker of a cluster cannot build the objective.
    """
    site = Site.here(spec, n_threads, runner.per_gpu, around)
    match runner.kind:
        case "process":
            limits = Limits(runner.timeout, runner.memory_mb)
            return process_pool(site, n_workers, limits, arrivals)
        case "dask":
            from llmpso.running.dask_cluster import dask_cluster

            return dask_cluster(site, n_workers, runner.address)
        case "ray":
            from llmpso.running.ray_cluster import ray_cluster

            return ray_cluster(site, n_workers, runner.address)
    return _threads(site)


@contextmanager
def _threads(site: Site) -> Iterator[Evaluate]:
    objective = build_objective(site.spec)
    surroundings = Surroundings.found()
    yield lambda trial: site.evaluate(objective, trial, surroundings)


def cluster_places(runner: Runner) -> int:
    """How many evaluations a cluster that is there can take at once.

    Raises:
        SpecError: It does not answer, or its package is not installed.
    """
    if runner.kind == "dask":
        from llmpso.running.dask_cluster import places
    else:
        from llmpso.running.ray_cluster import places
    return places(str(runner.address))
