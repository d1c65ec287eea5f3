"""How many trainings a second one study can give to many workers of a cluster, and what limits it.

Trainings sleep, so that one machine can have many workers: those of Dask are threads of a few
processes, each actor of Ray is a process.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pandas as pd

from llmpso.objectives.registry import ObjectiveSpec
from llmpso.options import RunOptions
from llmpso.running.evaluate import Measure
from llmpso.running.runner import open_runner
from llmpso.running.thread_evaluator import ThreadWorkers
from llmpso.search.optimizer import Optimizer
from llmpso.space import Float, SearchSpace
from llmpso.study.build_optimizer import build_optimizer
from llmpso.study.loop import run_study
from llmpso.study.spec import study_spec
from llmpso.trial import Evaluation, Trial

SIZES = {"dask": (64, 256), "ray": (64,)}
"""Workers; 256 processes of Ray do not fit into the memory of a small machine."""

TRAINING_SECONDS = 2.0
"""Mean duration of a training; the shortest takes half, the longest one and a half of it."""

PER_WORKER = 4
"""Trainings of each worker in a study."""

N_PROCESSES = 4
"""Of Dask; each has a part of the workers as threads."""


class Sleeping:
    """A bowl in five dimensions whose evaluation sleeps, as long as its seed says."""

    name = "sleeping"
    metric = "height"
    description = "A bowl in five dimensions."
    space = SearchSpace({f"x{dim}": Float(-5.0, 5.0) for dim in range(5)})

    def evaluate(self, params: Mapping[str, Any], *, fidelity: float, seed: int) -> Evaluation:
        """The height, after a while."""
        time.sleep(TRAINING_SECONDS * (0.5 + seed % 1000 / 1000))
        return Evaluation(sum(place**2 for place in params.values()))


SPEC = ObjectiveSpec(f"{__name__}:Sleeping")


class TimedOptimizer:
    """An optimizer that knows how many seconds its proposals took.

    Args:
        optimizer: The optimizer.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self.seconds = 0.0

    def ask(self, limit: int | None = None) -> list[Trial]:
        """That of the optimizer."""
        begin = time.perf_counter()
        asked = self._optimizer.ask(limit)
        self.seconds += time.perf_counter() - begin
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        """That of the optimizer."""
        begin = time.perf_counter()
        self._optimizer.tell(trials)
        self.seconds += time.perf_counter() - begin


@contextmanager
def dask_workers(n_workers: int) -> Iterator[str]:
    """The address of a Dask cluster on this machine with so many workers, as threads."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=N_PROCESSES,
        threads_per_worker=n_workers // N_PROCESSES,
        memory_limit=0,
        dashboard_address=None,
    ) as cluster:
        yield cluster.scheduler_address


def measure_scale(repeats: int) -> Iterator[dict[str, Any]]:
    """Seconds of whole studies and of their parts, one row per study."""
    for seed in range(repeats):
        for kind, sizes in SIZES.items():
            for n_workers in sizes:
                labels = {"runner": kind, "workers": n_workers, "repeat": seed}
                yield labels | _measured(kind, n_workers, seed)


def scale_table(raw: pd.DataFrame) -> pd.DataFrame:
    """Medians: trainings a second, which share of the workers' time was used, and by what."""
    rate, proposed = raw["evaluations"] / raw["seconds"], raw["search_seconds"]
    rows = raw[["runner", "workers"]].assign(
        **{
            "trainings a second": rate,
            "at most": raw["workers"] / TRAINING_SECONDS,
            "workers busy": rate * TRAINING_SECONDS / raw["workers"],
            "search busy": proposed / raw["seconds"],
            "search, ms each": 1e3 * proposed / raw["evaluations"],
            "runner alone, a second": raw["evaluations"] / raw["runner_seconds"],
        }
    )
    return rows.groupby(["runner", "workers"], sort=False).median().reset_index()


def _measured(kind: str, n_workers: int, seed: int) -> dict[str, float]:
    if kind == "ray":
        return _study(RunOptions(runner="ray"), n_workers, seed)
    with dask_workers(n_workers) as address:
        return _study(RunOptions(runner="dask", address=address), n_workers, seed)


def _study(run: RunOptions, n_workers: int, seed: int) -> dict[str, float]:
    evaluations = PER_WORKER * n_workers
    spec = study_spec(n_workers=n_workers, evaluations=evaluations, seed=seed)
    optimizer = TimedOptimizer(build_optimizer(spec, Sleeping.space, None))
    with (
        open_runner(SPEC, run, n_workers=n_workers, n_threads=1) as measure,
        ThreadPoolExecutor(n_workers) as pool,
    ):
        alone = _runner_seconds(measure, pool, n_workers, evaluations)
        begin = time.perf_counter()
        workers = ThreadWorkers(lambda trial: _trained(measure, trial), pool, spec.n_at_once)
        run_study(optimizer, workers, evaluations)
        seconds = time.perf_counter() - begin
    return {
        "evaluations": evaluations,
        "seconds": seconds,
        "search_seconds": optimizer.seconds,
        "runner_seconds": alone,
    }


def _runner_seconds(
    measure: Measure, pool: ThreadPoolExecutor, n_workers: int, evaluations: int
) -> float:
    """Seconds of as many trainings that no search proposes; each worker has trained before."""
    spec = study_spec(method="pso", n_workers=n_workers, particles=n_workers, synchronous=True)
    trials = build_optimizer(spec, Sleeping.space, None).ask()
    list(pool.map(measure, trials))
    begin = time.perf_counter()
    list(pool.map(measure, trials * (evaluations // len(trials))))
    return time.perf_counter() - begin


def _trained(measure: Measure, trial: Trial) -> Trial:
    trained = measure(trial).trial
    if trained.failure is not None:
        raise RuntimeError(f"a training of the benchmark failed: {trained.failure}")
    return trained
