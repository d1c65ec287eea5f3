"""The suite `goals` of the benchmark: the front of error and training time."""

from pathlib import Path

from flows.benchmarks.plan import ALL_WITHOUT_MODEL, BenchmarkOptions, check_names, names_of
from flows.benchmarks.record import record_suite
from llmpso.benchmark.report import Report
from llmpso.benchmark.runs import one_core_processes
from llmpso.benchmark.tables import DEVELOPMENT_TABLES, REPORT_TABLES
from llmpso.benchmark.two_goals import ARMS, REFERENCE_ARM, run_goals, write_goals
from llmpso.errors import SpecError


def goals_plan(options: BenchmarkOptions) -> tuple[list[str], list[str]]:
    """The tables and arms that are asked for: those for reports, and all, if none is named.

    Raises:
        SpecError: A name is none of them, or the budget is too small.
    """
    problems = names_of(options.problems) or list(REPORT_TABLES)
    is_all = options.arms == ALL_WITHOUT_MODEL
    arms = list(ARMS) if is_all else names_of(options.arms)
    check_names("problems", problems, [*DEVELOPMENT_TABLES, *REPORT_TABLES])
    check_names("arms", arms, list(ARMS))
    if options.budget < 60:
        raise SpecError(f"budget is {options.budget!r}; the suite 'goals' counts at 30 and 60")
    return problems, list(dict.fromkeys([REFERENCE_ARM, *arms]))


def benchmark_goals(options: BenchmarkOptions, n_workers: int) -> str:
    """Run the studies that are not in the folder of results, and record the tables.

    Returns:
        The table, as Markdown, and its path.
    """
    problems, arms = goals_plan(options)

    def measure(folder: Path) -> Report:
        with one_core_processes(n_workers) as processes:
            stored, seeds = folder / "studies", range(options.seeds)
            studies = run_goals(processes, problems, arms, seeds, options.budget, stored)
        return write_goals(studies, folder)

    return record_suite(options, "hypervolume", measure)
