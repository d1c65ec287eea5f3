"""The benchmark as a Prefect flow, and as a command: `python -m flows.benchmark`."""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner

from flows.benchmarks.curves_suite import benchmark_curves, curve_problems
from flows.benchmarks.goals_suite import benchmark_goals, goals_plan
from flows.benchmarks.memory_suite import benchmark_memory, memory_problems
from flows.benchmarks.plan import BenchmarkOptions, BenchmarkPlan, prepare_benchmark
from flows.benchmarks.repeats_suite import benchmark_repeats, repeats_tables
from flows.benchmarks.scale_suite import benchmark_scale
from flows.benchmarks.speed_suite import benchmark_speed, speed_tables
from flows.benchmarks.workers_suite import benchmark_workers
from flows.command import Command
from flows.command_line import run_module
from flows.masked_logs import masked_run
from flows.parameters import with_parameters
from llmpso import __version__
from llmpso.benchmark.report import Report, write_report
from llmpso.benchmark.runs import StudyGroup, load_trials, one_core_processes
from llmpso.benchmark.scenarios import write_scenarios
from llmpso.cores import usable_cores
from tasks.benchmark import run_studies
from tasks.records.flow_runs import without_process_tag

APART = {
    "curves": benchmark_curves,
    "goals": benchmark_goals,
    "memory": benchmark_memory,
    "repeats": benchmark_repeats,
    "scale": benchmark_scale,
    "speed": benchmark_speed,
    "workers": benchmark_workers,
}
"""Suites that compare something other than arms."""


@flow(name="benchmark", version=__version__, flow_run_name="{suite} · {seeds} seeds")
@masked_run
@without_process_tag()
@with_parameters(BenchmarkOptions)
def benchmark(options: BenchmarkOptions) -> str:
    """Compare search methods on problems whose best value is known.

    Finished studies are stored and not run again; all tables and figures are made from them.

    Returns:
        The table of the arms, as Markdown.
    """
    if options.suite in APART:
        return APART[options.suite](options, options.workers or usable_cores())
    with (
        closing(prepare_benchmark(options)) as plan,
        plan.experiment.run(
            f"{options.suite} · {options.seeds} seeds",
            params=options.model_dump(),
            tags={"suite": options.suite},
        ) as study,
    ):
        report = _run(plan, options.report_only)
        study.record_folder(plan.root / plan.suite, "report")
        study.record_summary(report.figures, f"```\n{report.headline}\n```", {})
    create_markdown_artifact(report.text, key=f"benchmark-{options.suite}")
    return f"{report.headline}\n\n{plan.root / plan.suite}"


def _run(plan: BenchmarkPlan, report_only: bool) -> Report:
    if not report_only:
        _run_missing(plan)
    folder = plan.root / plan.suite
    folder.mkdir(parents=True, exist_ok=True)
    trials = load_trials(plan.groups, plan.root)
    if plan.suite in ("paper", "live"):
        return write_scenarios(trials, folder, plan.model)
    return write_report(trials, plan.suite, folder)


def _run_missing(plan: BenchmarkPlan) -> None:
    """Run all groups in parallel on the cores; then those that use a live model, one by one."""
    asks = [group for group in plan.groups if plan.is_live and group.arm.voice.is_model]
    others = [group for group in plan.groups if group not in asks]
    with one_core_processes(plan.n_workers) as processes:
        _run_groups(plan, others, processes, plan.n_workers)
    # A model needs all cores, and one process records its replies.
    with ThreadPoolExecutor(1) as thread:
        _run_groups(plan, asks, thread, 1)


def _run_groups(
    plan: BenchmarkPlan, groups: Sequence[StudyGroup], executor: Executor, n_at_once: int
) -> None:
    with ThreadPoolTaskRunner[int](max_workers=n_at_once) as runner:
        futures: list[PrefectFuture[int]] = [
            runner.submit(
                run_studies,
                parameters={
                    "group": group,
                    "root": plan.root,
                    "executor": executor,
                    "backend": plan.backend if group.arm.voice.is_model else None,
                },
            )
            for group in groups
        ]
        wait(futures)
        n_run = sum(future.result() for future in futures)
    get_run_logger().info("%d studies run, the others were there", n_run)


def _check(arguments: dict[str, Any]) -> None:
    options = BenchmarkOptions(**arguments)
    if options.suite == "speed":
        speed_tables(options)
    elif options.suite == "goals":
        goals_plan(options)
    elif options.suite == "repeats":
        repeats_tables(options)
    elif options.suite == "memory":
        memory_problems(options)
    elif options.suite in ("curves", "workers"):
        curve_problems(options)
    elif options.suite not in APART:
        prepare_benchmark(options)


COMMAND = Command(benchmark, check=_check, as_text=str)
APP = COMMAND.app()

if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.benchmark"))
