"""The suite `repeats` of the benchmark: which of many noisy trainings is chosen as the best."""

from pathlib import Path

from flows.benchmarks.plan import BenchmarkOptions, check_names, names_of
from flows.benchmarks.record import record_suite
from llmpso.benchmark.report import Report
from llmpso.benchmark.runs import one_core_processes
from llmpso.benchmark.tables import DEVELOPMENT_TABLES, REPORT_TABLES
from llmpso.benchmark.winners_curse import run_choices, write_choices


def repeats_tables(options: BenchmarkOptions) -> list[str]:
    """The tables that are asked for: those for reports if none is named.

    Raises:
        SpecError: There is no table of a name.
    """
    problems = names_of(options.problems) or list(REPORT_TABLES)
    check_names("problems", problems, [*DEVELOPMENT_TABLES, *REPORT_TABLES])
    return problems


def benchmark_repeats(options: BenchmarkOptions, n_workers: int) -> str:
    """Run the searches that are not in the folder of results, and record the tables.

    Returns:
        The table, as Markdown, and its path.
    """
    problems = repeats_tables(options)

    def measure(folder: Path) -> Report:
        with one_core_processes(n_workers) as processes:
            stored = folder / "searches"
            choices = run_choices(processes, problems, range(options.seeds), stored)
        return write_choices(choices, folder)

    return record_suite(options, "regret of the choice", measure)
