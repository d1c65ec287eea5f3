"""The suite `curves` of the benchmark: what a good model costs in epochs."""

from pathlib import Path

from flows.benchmarks.plan import BenchmarkOptions, names_of
from flows.benchmarks.record import record_suite
from llmpso.benchmark.epochs import CurveProblem, curves_of, run_arms, write_epochs
from llmpso.benchmark.lcbench import tasks_in
from llmpso.benchmark.learning_curves import CURVES
from llmpso.benchmark.report import Report
from llmpso.benchmark.runs import one_core_processes
from llmpso.errors import SpecError


def curve_problems(options: BenchmarkOptions) -> list[CurveProblem]:
    """The learning curves that are asked for: the own ones, and those of LCBench if it is given.

    Raises:
        SpecError: A name is none of them.
        DataError: The folder is not that of LCBench.
    """
    folder = options.lcbench or ""
    names = [*CURVES, *(tasks_in(Path(folder)) if folder else ())]
    asked = names_of(options.problems) or names
    if unknown := [name for name in asked if name not in names]:
        raise SpecError(
            f"problems names {unknown[0]!r}; it must be one of: {', '.join(names)}"
            f"{'' if folder else ', or a data set of LCBench, whose folder is given by lcbench'}"
        )
    found = [CurveProblem(name, "" if name in CURVES else folder) for name in asked]
    if folder:
        curves_of(found[-1])
    return found


def benchmark_curves(options: BenchmarkOptions, n_workers: int) -> str:
    """Run all studies again, and record the trainings and the tables.

    Returns:
        The tables, as Markdown, and their path.
    """
    problems = curve_problems(options)

    def measure(folder: Path) -> Report:
        with one_core_processes(n_workers) as processes:
            rows = run_arms(processes, problems, range(options.seeds), options.budget)
        return write_epochs(rows, options.budget, folder)

    return record_suite(options, "training epochs", measure)
