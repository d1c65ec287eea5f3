"""Where evaluations run: threads of this process, processes, a Dask cluster or a Ray cluster.

Whichever it is, the same trial gives the same value, only the measuring happens there, and what is
measured is recorded here. So a worker needs neither the address of Prefect nor that of MLflow.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.options import RunOptions
from llmpso.resources import parsed_resources
from llmpso.running.evaluate import Measure, evaluate_with_retry
from llmpso.running.global_state import GlobalState
from llmpso.running.process_pool import ProcessLimits, process_pool
from llmpso.running.worker_context import WorkerContext

RETRIES = {"process": 1, "dask": 5, "ray": 5}
"""How often a training whose worker was lost is repeated at most: the machines of a cluster may
vanish again and again, without any fault of the training. A lost thread ends the study."""


def open_runner(
    spec: ObjectiveSpec,
    run: RunOptions,
    *,
    n_workers: int,
    n_threads: int,
    around: str | None = None,
    worker_outcomes: Path | None = None,
) -> AbstractContextManager[Measure]:
    """A function that evaluates trials, called from up to `n_workers` threads in parallel.

    Args:
        spec: The objective; each worker builds it once, with its data.
        run: Where evaluations run, and what they may take.
        n_workers: Parallel evaluations.
        n_threads: Cores that one evaluation may use.
        around: `module:function` of a context manager, given the trial, around each evaluation.
        worker_outcomes: Folder that processes write outcomes to, so that they outlast this one.

    Raises:
        SpecError: The cluster cannot be reached, its package is not installed, or there are too
            few GPUs.
        LLMPSOError: A worker of a cluster cannot build the objective.
    """
    context = WorkerContext.here(spec, n_threads, run.per_gpu, around)
    taken = parsed_resources(run.resources)
    match run.runner:
        case "process":
            limits = ProcessLimits(run.timeout, run.max_memory)
            return _patient(process_pool(context, n_workers, limits, worker_outcomes), run)
        case "dask":
            from llmpso.running.dask_cluster import dask_cluster

            return _patient(dask_cluster(context, n_workers, run.address, taken), run)
        case "ray":
            from llmpso.running.ray_cluster import ray_cluster

            return _patient(ray_cluster(context, n_workers, run.address, taken), run)
    return _threads(context)


@contextmanager
def _patient(workers: AbstractContextManager[Measure], run: RunOptions) -> Iterator[Measure]:
    """Workers, each of which may be lost."""
    with workers as measure:
        yield lambda trial: evaluate_with_retry(measure, trial, RETRIES[run.runner])


@contextmanager
def _threads(context: WorkerContext) -> Iterator[Measure]:
    objective = build_objective(context.spec)
    state = GlobalState.captured()
    yield lambda trial: context.evaluate(objective, trial, state)


def cluster_capacity(run: RunOptions) -> int:
    """How many evaluations an existing cluster can run in parallel.

    Raises:
        SpecError: It does not answer, its package is not installed, or it lacks what one takes.
    """
    if run.runner == "dask":
        from llmpso.running.dask_cluster import places
    else:
        from llmpso.running.ray_cluster import places
    return places(str(run.address), parsed_resources(run.resources))
