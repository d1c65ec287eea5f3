"""Runs a suite that is measured anew each time, and records its report."""

from collections.abc import Callable
from pathlib import Path

from flows.benchmarks.plan import BenchmarkOptions
from llmpso.benchmark.report import Report
from tasks.store.experiment import open_experiment


def record_suite(options: BenchmarkOptions, metric: str, measure: Callable[[Path], Report]) -> str:
    """Measure a suite, and record it with its report.

    Args:
        options: Name the suite and the experiment.
        metric: What is measured.
        measure: Writes raw rows and tables into an existing folder.

    Returns:
        The tables, as Markdown, and their path.
    """
    experiment, suite = open_experiment(options.experiment, metric), options.suite
    folder = Path(options.out) / suite
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{suite} · {options.seeds} seeds"
    with experiment.run(name, options.model_dump(), {"suite": suite}) as study:
        report = measure(folder)
        study.record_folder(folder, "report")
        study.record_summary(report.figures, f"```\n{report.headline}\n```", {})
    return f"{report.headline}\n\n{folder}"
