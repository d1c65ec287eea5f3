"""The parts of a benchmark as Prefect tasks: the studies of an arm, one training of a surface."""

from concurrent.futures import Executor
from pathlib import Path
from threading import Lock
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from llmpso.backends.base import Backend
from llmpso.benchmark.runs import StudyGroup, run_group
from llmpso.benchmark.surfaces import Cell, Surface, SurfaceFile, train_cell
from llmpso.objectives.torch_threads import limit_threads
from tasks.storable_errors import storable_errors

_WRITING = Lock()


# Finished studies and trainings are stored as files, which outlive any cache.
@task(
    name="studies",
    task_run_name="{group.problem.name} · {group.arm.name}",
    cache_policy=NO_CACHE,
)
@storable_errors
def run_studies(group: StudyGroup, root: Path, executor: Executor, backend: Backend | None) -> int:
    """Run the studies of one arm on one problem that were not run yet; how many that were."""
    n_run = run_group(group, root, executor, backend)
    get_run_logger().info("%d of %d studies run", n_run, len(group.seeds))
    return n_run


@task(
    name="train",
    task_run_name="{cell.layers} layers · {cell.width} wide · seed {cell.seed}",
    cache_policy=NO_CACHE,
)
@storable_errors
def train(surface: Surface, objective: Any, cell: Cell, file: SurfaceFile) -> None:
    """Train one network of a surface and add it to the file."""
    limit_threads(1)
    row = train_cell(surface, objective, cell)
    with _WRITING:
        file.add(row)
