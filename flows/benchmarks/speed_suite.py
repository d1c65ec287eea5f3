"""The suite `speed` of the benchmark: what everything but training costs, beside others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from flows.benchmarks.overhead import machinery_table, measure_machinery
from flows.benchmarks.plan import BenchmarkOptions, names_of
from flows.benchmarks.recall import measure_recall, recall_table
from llmpso.benchmark.report import markdown
from llmpso.benchmark.scaling import measure_runners, runner_table
from llmpso.benchmark.steps import measure_steps, measure_surrogate, step_table, surrogate_table
from llmpso.errors import SpecError
from tasks.store.experiment import open_experiment

N_TRAININGS = 12


@dataclass(frozen=True, slots=True)
class SpeedTable:
    """One table: what is measured, and how the raw figures become rows."""

    title: str
    measure: Callable[[BenchmarkOptions, int], Iterable[dict[str, Any]]]
    """From the options and the number of processes to rows of raw figures, as they come."""
    condense: Callable[[pd.DataFrame], pd.DataFrame]


TABLES = {
    "machinery": SpeedTable(
        "Time per evaluation beyond training",
        lambda options, _: measure_machinery(options.budget, options.seeds),
        machinery_table,
    ),
    "recall": SpeedTable(
        "Seconds to find and read 200 earlier studies of 60 trials",
        lambda options, _: measure_recall(options.seeds),
        recall_table,
    ),
    "runners": SpeedTable(
        "Trainings of the default LSTM a minute",
        lambda options, n: measure_runners(N_TRAININGS, options.seeds, n),
        runner_table,
    ),
    "steps": SpeedTable(
        "One step of a swarm (µs)", lambda options, _: measure_steps(options.seeds), step_table
    ),
    "surrogate": SpeedTable(
        "What the surrogate takes to learn and to screen 100 candidates",
        lambda options, _: measure_surrogate(options.seeds),
        surrogate_table,
    ),
}


def speed_tables(options: BenchmarkOptions) -> dict[str, SpeedTable]:
    """The tables that are asked for, or all.

    Raises:
        SpecError: One is not known.
    """
    names = names_of(options.problems) or list(TABLES)
    for name in names:
        if name not in TABLES:
            raise SpecError(f"problems holds {name!r}; tables of speed are {', '.join(TABLES)}")
    return {name: TABLES[name] for name in names}


def benchmark_speed(options: BenchmarkOptions, n_workers: int) -> str:
    """Measure table by table, save the raw figures, and record everything.

    Returns:
        The tables, as Markdown, and their path.
    """
    tables = speed_tables(options)
    experiment = open_experiment(options.experiment, "seconds")
    folder = Path(options.out) / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"speed · {options.seeds} repetitions"
    with experiment.run(name, options.model_dump(), {"suite": "speed"}) as study:
        write = partial(_written, options=options, n_workers=n_workers, folder=folder)
        text = "\n\n".join(write(name, table) for name, table in tables.items())
        (folder / "speed.md").write_text(text, encoding="utf-8")
        study.record_folder(folder, "report")
        study.record_summary({}, f"```\n{text}\n```", {})
    return f"{text}\n\n{folder}"


def _written(
    name: str, table: SpeedTable, *, options: BenchmarkOptions, n_workers: int, folder: Path
) -> str:
    """The table as Markdown, from new or stored raw figures."""
    path = folder / f"{name}-raw.csv"
    if not options.report_only:
        path.unlink(missing_ok=True)
        for row in table.measure(options, n_workers):
            # Saved immediately: a later error must not lose half an hour of measurements.
            pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)
    condensed = table.condense(pd.read_csv(path))
    condensed.to_csv(folder / f"{name}.csv", index=False)
    shown = condensed.astype(object).where(condensed.notna(), "")
    return f"## {table.title}\n\n{markdown(shown)}"
