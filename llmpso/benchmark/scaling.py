"""How many trainings a minute each runner does, one at a time and several."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, get_args

import pandas as pd

from llmpso.objectives.registry import ObjectiveSpec
from llmpso.options import RunnerKind, RunOptions
from llmpso.running.outcome import Outcome
from llmpso.running.runner import open_runner
from llmpso.search.archive import trial_seed
from llmpso.trial import Source, Trial

PARAMS = {"layers": 2, "hidden_units": 32, "learning_rate": 0.003, "dropout": 0.1}
"""A middling configuration of the default LSTM: what is compared is where it is trained."""


def measure_runners(evaluations: int, repeats: int, n_workers: int) -> Iterator[dict[str, Any]]:
    """Seconds for so many trainings of the default LSTM, one row per repetition; all take turns.

    Every training has one core, and each worker has trained once before the clock starts.
    """
    for repeat, kind, workers in product(range(repeats), get_args(RunnerKind), (1, n_workers)):
        seconds = _seconds(RunOptions(runner=kind), workers, evaluations)
        labels = {"runner": kind, "workers": workers, "repeat": repeat}
        yield labels | {"evaluations": evaluations, "seconds": seconds}


def runner_table(raw: pd.DataFrame) -> pd.DataFrame:
    """Median trainings a minute by runner, and how many times more with all workers than one."""
    per_minute = 60 * raw["evaluations"] / raw["seconds"]
    medians = per_minute.groupby([raw["runner"], raw["workers"]], sort=False).median().unstack()
    table = medians.rename(columns=lambda workers: f"{workers} at once")
    table["times more"] = medians[medians.columns.max()] / medians[1]
    return table.reset_index()


def _seconds(run: RunOptions, n_workers: int, evaluations: int) -> float:
    spec = ObjectiveSpec()
    with (
        open_runner(spec, run, n_workers=n_workers, n_threads=1) as measure,
        ThreadPoolExecutor(n_workers) as threads,
    ):
        _checked(list(threads.map(measure, _trials(0, n_workers))))
        begin = time.perf_counter()
        _checked(list(threads.map(measure, _trials(n_workers, evaluations))))
        return time.perf_counter() - begin


def _trials(first: int, n_trials: int) -> list[Trial]:
    return [
        Trial(
            number=number,
            params=dict(PARAMS),
            source=Source.START,
            iteration=0,
            particle=0,
            seed=trial_seed(0, number),
        )
        for number in range(first, first + n_trials)
    ]


def _checked(outcomes: Sequence[Outcome]) -> None:
    """A failed training is quick: it must not count."""
    for outcome in outcomes:
        if outcome.evaluation is None:
            raise RuntimeError(f"a training of the benchmark failed: {outcome.trial.failure}")
