"""The suite `workers` of the benchmark: how long studies take with workers that wait or do not."""

from pathlib import Path

from flows.benchmarks.curves_suite import curve_problems
from flows.benchmarks.plan import BenchmarkOptions
from flows.benchmarks.record import record_suite
from llmpso.benchmark.report import Report
from llmpso.benchmark.runs import one_core_processes
from llmpso.benchmark.worker_time import run_arms, write_worker_time


def benchmark_workers(options: BenchmarkOptions, n_workers: int) -> str:
    """Run all studies again, and record them and the table.

    Returns:
        The table, as Markdown, and its path.
    """
    problems = curve_problems(options)

    def measure(folder: Path) -> Report:
        with one_core_processes(n_workers) as processes:
            studies = run_arms(processes, problems, range(options.seeds), options.budget)
        return write_worker_time(studies, options.budget, folder)

    return record_suite(options, "time to the target", measure)
