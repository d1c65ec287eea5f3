"""Where evaluations run: threads of this process, processes, a Dask cluster or a Ray cluster.

Whichever it is, the same trial gives the same value, only the measuring happens there, and what is
measured is recorded here. So a worker needs neither the address of Prefect nor that of MLflow.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.options import RunOptions
from llmpso.running.evaluate import Evaluate
from llmpso.running.processes import Limits, process_pool
from llmpso.running.site import Site
from llmpso.running.surroundings import Surroundings


def evaluator(
    spec: ObjectiveSpec,
    run: RunOptions,
    *,
    n_workers: int,
    n_threads: int,
    around: str | None = None,
    arrivals: Path | None = None,
) -> AbstractContextManager[Evaluate]:
    """What evaluates trials, called from up to `n_workers` threads at once.

    Args:
        spec: The objective; each worker builds it once, and keeps its data.
        run: Where evaluations run, and what they may take.
        n_workers: Evaluations at once.
        n_threads: Cores that one evaluation may use.
        around: `module:function` of a context manager, given the trial, around each evaluation.
        arrivals: Folder that processes write outcomes to, so that they outlast this one.

    Raises:
        SpecError: The cluster cannot be reached, its package is not installed, or there are too
            few GPUs.
        LLMPSOError: A worker of a cluster cannot build the objective.
    """
    site = Site.here(spec, n_threads, run.per_gpu, around)
    match run.runner:
        case "process":
            limits = Limits(run.timeout, run.memory)
            return process_pool(site, n_workers, limits, arrivals)
        case "dask":
            from llmpso.running.dask_cluster import dask_cluster

            return dask_cluster(site, n_workers, run.address)
        case "ray":
            from llmpso.running.ray_cluster import ray_cluster

            return ray_cluster(site, n_workers, run.address)
    return _threads(site)


@contextmanager
def _threads(site: Site) -> Iterator[Evaluate]:
    objective = build_objective(site.spec)
    surroundings = Surroundings.found()
    yield lambda trial: site.evaluate(objective, trial, surroundings)


def cluster_places(run: RunOptions) -> int:
    """How many evaluations a cluster that is there can take at once.

    Raises:
        SpecError: It does not answer, or its package is not installed.
    """
    if run.runner == "dask":
        from llmpso.running.dask_cluster import places
    else:
        from llmpso.running.ray_cluster import places
    return places(str(run.address))
