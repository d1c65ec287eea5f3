"""The suite `racing` of the benchmark: the same studies with racing and without."""

from pathlib import Path

from flows.benchmarks.plan import BenchmarkOptions
from llmpso.benchmark.epochs_saved import run_races, write_races
from llmpso.benchmark.runs import one_core_processes
from tasks.experiment import open_experiment


def benchmark_racing(options: BenchmarkOptions, n_workers: int) -> str:
    """Run all studies again, which takes a minute or two, and record the trials and the table.

    Returns:
        The table, as Markdown, and its path.
    """
    experiment = open_experiment(options.experiment, "training epochs")
    name = f"racing · {options.seeds} seeds"
    folder = Path(options.out) / "racing"
    folder.mkdir(parents=True, exist_ok=True)
    with experiment.run(name, options.model_dump(), {"suite": "racing"}) as study:
        with one_core_processes(n_workers) as processes:
            trials = run_races(processes, range(options.seeds), options.budget)
        report = write_races(trials, folder)
        study.record_folder(folder, "report")
        study.record_summary(report.figures, f"```\n{report.headline}\n```", {})
    return f"{report.headline}\n\n{folder}"
