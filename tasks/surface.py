"""One training of a surface as a Prefect task."""

from threading import Lock
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from llmpso.benchmark.surfaces import Cell, Surface, SurfaceFile, train_cell
from llmpso.objectives.torch_threads import limit_threads
from tasks.storable_errors import storable_errors

_WRITING = Lock()


@task(
    name="train",
    task_run_name="{cell.layers} layers · {cell.width} wide · seed {cell.seed}",
    # Finished trainings are stored in the file, which outlives any cache.
    cache_policy=NO_CACHE,
)
@storable_errors
def train(surface: Surface, objective: Any, cell: Cell, file: SurfaceFile) -> None:
    """Train one network and add it to the file."""
    limit_threads(1)
    row = train_cell(surface, objective, cell)
    with _WRITING:
        file.add(row)
