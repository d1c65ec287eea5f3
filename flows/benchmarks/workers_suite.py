"""The suite `workers` of the benchmark: how long studies take with workers that wait or do not."""

from pathlib import Path

from flows.benchmarks.curves_suite import curve_problems
from flows.benchmarks.plan import BenchmarkOptions
from llmpso.benchmark.runs import one_core_processes
from llmpso.benchmark.worker_time import run_arms, write_worker_time
from tasks.experiment import open_experiment


def benchmark_workers(options: BenchmarkOptions, n_workers: int) -> str:
    """Run all studies again, and record them and the table.

    Returns:
        The table, as Markdown, and its path.
    """
    problems = curve_problems(options)
    experiment = open_experiment(options.experiment, "time to the target")
    folder = Path(options.out) / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"workers · {options.seeds} seeds"
    with experiment.run(name, options.model_dump(), {"suite": "workers"}) as study:
        with one_core_processes(n_workers) as processes:
            studies = run_arms(processes, problems, range(options.seeds), options.budget)
        report = write_worker_time(studies, options.budget, folder)
        study.record_folder(folder, "report")
        study.record_summary(report.figures, f"```\n{report.headline}\n```", {})
    return f"{report.headline}\n\n{folder}"
