"""The suite `memory` of the benchmark: what earlier studies are worth to a new one."""

from contextlib import closing
from pathlib import Path

from flows.benchmarks.plan import BenchmarkOptions, check_names, names_of, recorded_model
from flows.benchmarks.record import record_suite
from llmpso.benchmark.lcbench import DEVELOPMENT, tasks_in
from llmpso.benchmark.memory_arms import ARMS, MemoryProblem
from llmpso.benchmark.memory_study import record_replies, run_memory, write_memory
from llmpso.benchmark.report import Report
from llmpso.benchmark.runs import one_core_processes
from llmpso.benchmark.tables import DEVELOPMENT_TABLES, REPORT_TABLES


def memory_problems(options: BenchmarkOptions) -> list[MemoryProblem]:
    """The problems that are asked for: the tables and data sets of LCBench for reports, if none.

    Raises:
        SpecError: A name is none of them.
        DataError: The folder is not that of LCBench.
    """
    folder = options.lcbench or ""
    sets = tasks_in(Path(folder)) if folder else []
    report = [*REPORT_TABLES, *(name for name in sets if name not in DEVELOPMENT)]
    names = [*DEVELOPMENT_TABLES, *REPORT_TABLES, *sets]
    asked = names_of(options.problems) or report
    check_names("problems", asked, names)
    return [MemoryProblem(name, folder if name in sets else "") for name in asked]


def benchmark_memory(options: BenchmarkOptions, n_workers: int) -> str:
    """Run all studies again, and record them and the tables.

    Returns:
        The tables, as Markdown, and their path.
    """
    problems, seeds = memory_problems(options), range(options.seeds)

    def measure(folder: Path) -> Report:
        with closing(recorded_model(options)) as model:
            if options.advisor != "recorded":
                record_replies(problems, list(ARMS), seeds, model)
        with one_core_processes(n_workers) as processes:
            studies = run_memory(
                processes, problems, list(ARMS), seeds, options.budget, model.path
            )
        return write_memory(studies, options.budget, folder)

    return record_suite(options, "evaluations to the best 1%", measure)
