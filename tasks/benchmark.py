"""A benchmark's batch as a Prefect task: the studies of one arm on one problem."""

from concurrent.futures import Executor
from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from llmpso.backends.base import Backend
from llmpso.benchmark.runs import Batch, run_batch
from tasks.storable_errors import storable_errors


@task(
    name="studies",
    task_run_name="{batch.problem.name} · {batch.arm.name}",
    # Finished studies are stored as files, which outlive any cache.
    cache_policy=NO_CACHE,
)
@storable_errors
def run_studies(batch: Batch, root: Path, executor: Executor, backend: Backend | None) -> int:
    """Run the studies that were not run yet; how many that were."""
    n_run = run_batch(batch, root, executor, backend)
    get_run_logger().info("%d of %d studies run", n_run, len(batch.seeds))
    return n_run
