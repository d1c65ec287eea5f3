"""The suite `curves` of the benchmark: what a good model costs in epochs."""

from pathlib import Path

from flows.benchmarks.plan import BenchmarkOptions, check_names, names_of
from flows.benchmarks.record import record_suite
from llmpso.benchmark.curve_problems import CurveProblem, curves_of
from llmpso.benchmark.epoch_tables import write_epochs
from llmpso.benchmark.epochs import run_arms
from llmpso.benchmark.lcbench import tasks_in
from llmpso.benchmark.learning_curves import CURVES
from llmpso.benchmark.report import Report
from llmpso.benchmark.runs import one_core_processes
from llmpso.benchmark.taskset import tasks_of


def curve_problems(options: BenchmarkOptions) -> list[CurveProblem]:
    """The learning curves that are asked for: the own ones, and those whose folder is given.

    Raises:
        SpecError: A name is none of them.
        DataError: A folder is not that of its source.
    """
    known = [CurveProblem(name) for name in CURVES]
    if folder := options.lcbench:
        known += [CurveProblem(name, "LCBench", folder) for name in tasks_in(Path(folder))]
    if folder := options.taskset:
        known += [CurveProblem(name, "TaskSet", folder) for name in tasks_of(Path(folder))]
    by_name = {problem.name: problem for problem in known}
    asked = names_of(options.problems) or list(by_name)
    hint = "; those of LCBench and TaskSet need their folders: lcbench, taskset"
    check_names("problems", asked, list(by_name), hint)
    found = [by_name[name] for name in asked]
    for problem in {problem.source: problem for problem in found}.values():
        curves_of(problem)
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
