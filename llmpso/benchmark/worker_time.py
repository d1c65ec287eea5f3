"""What workers that wait for nobody are worth: the time of studies on a virtual clock."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from llmpso.benchmark.curve_problems import CurveProblem, curves_of
from llmpso.benchmark.report import Report, markdown
from llmpso.benchmark.statistics import bootstrap_interval
from llmpso.benchmark.virtual_workers import VirtualWorkers
from llmpso.study.build_optimizer import build_optimizer
from llmpso.study.loop import run_study
from llmpso.study.spec import study_spec

N_WORKERS = (1, 4, 8, 16)

WAITS = " synchronous"
"""End of the name of an arm whose workers wait for each other."""

ARMS: dict[str, dict[str, Any]] = {
    "pso": {"method": "pso"},
    f"guided{WAITS}": {"racing": False, "synchronous": True},
    "guided": {"racing": False},
    f"guided racing{WAITS}": {"racing": True, "synchronous": True},
    "guided racing": {"racing": True},
}
"""Options of `minimize`."""

FREE = [arm for arm in ARMS if f"{arm}{WAITS}" in ARMS]
"""Arms whose workers wait for nobody."""

SHAPES = [(n, arm) for n in N_WORKERS for arm in ARMS if n > 1 or arm not in FREE]
"""Numbers of workers and arms; one worker has nobody to wait for."""

Row = dict[str, Any]


def run_arms(
    executor: Executor, problems: Sequence[CurveProblem], seeds: Iterable[int], budget: int
) -> pd.DataFrame:
    """Run each arm on each problem with each number of workers; one row per study.

    Args:
        executor: Runs the studies.
        problems: The learning curves.
        seeds: Of the studies.
        budget: Full trainings' worth of each study.
    """
    plans = list(product(problems, SHAPES, seeds))
    return pd.DataFrame(list(executor.map(partial(_study_row, budget=budget), plans)))


def worker_table(studies: pd.DataFrame) -> pd.DataFrame:
    """One row per number of workers and arm: means over problems and seeds.

    Times are compared with those of the same workers waiting for each other, study by study.
    """
    return pd.DataFrame([_arm_row(studies, *shape) for shape in SHAPES])


def write_worker_time(studies: pd.DataFrame, budget: int, folder: Path) -> Report:
    """Write raw rows and the table into an existing folder."""
    table = worker_table(studies)
    studies.to_csv(folder / "workers-studies.csv", index=False)
    table.to_csv(folder / "workers.csv", index=False)
    shown = markdown(table)
    title = "# What workers that wait for nobody are worth"
    text = f"{title}\n\n{_explained(studies, budget)}\n\n{shown}"
    (folder / "workers.md").write_text(text, encoding="utf-8")
    figures = {
        f"busy.{row['workers']}.{row['arm']}".replace(" ", "_"): float(row["busy"])
        for _, row in table.iterrows()
    }
    return Report(text, shown, figures)


def _study_row(plan: tuple[CurveProblem, tuple[int, str], int], budget: int) -> Row:
    problem, (n_workers, arm), seed = plan
    curves, scale = curves_of(problem)
    spec = study_spec(
        n_workers=n_workers, can_pause=True, evaluations=budget, seed=seed, **ARMS[arm]
    )
    workers = VirtualWorkers(curves, n_workers, spec.n_at_once if spec.is_asynchronous else None)
    with threadpool_limits(limits=1):
        optimizer = build_optimizer(spec, curves.space, None)
        run_study(optimizer, workers, budget)
    reached = [end for end, value in workers.completed if value <= scale.target]
    best = min((value for _, value in workers.completed), default=scale.median)
    return {
        "problem": problem.name,
        "workers": n_workers,
        "arm": arm,
        "seed": seed,
        "busy": workers.worked / (n_workers * workers.now),
        "to the target": min(reached, default=workers.now),
        "solved": bool(reached),
        "time": workers.now,
        "regret": scale.regret(best),
    }


def _arm_row(studies: pd.DataFrame, n_workers: int, arm: str) -> Row:
    own, base = (_of(studies, n_workers, name) for name in (arm, _waiting(arm)))
    return {
        "workers": n_workers,
        "arm": arm,
        "busy": round(float(own["busy"].mean()), 3),
        "time to the target": _ratio(own, base, "to the target"),
        "time in all": _ratio(own, base, "time"),
        "solved": f"{own['solved'].mean():.0%}",
        "regret": round(float(own["regret"].mean()), 3),
    }


def _waiting(arm: str) -> str:
    """The same arm whose workers wait for each other."""
    return f"{arm}{WAITS}" if arm in FREE else arm


def _of(studies: pd.DataFrame, n_workers: int, arm: str) -> pd.DataFrame:
    part = studies[(studies["workers"] == n_workers) & (studies["arm"] == arm)]
    return part.sort_values(["problem", "seed"])


def _ratio(own: pd.DataFrame, base: pd.DataFrame, column: str) -> str:
    """The mean ratio of two times of the same problem and seed, which is that of their logs."""
    logs = np.log(own[column].to_numpy() / base[column].to_numpy())
    low, high = np.exp(bootstrap_interval(logs))
    return f"x {np.exp(logs.mean()):.2f} [{low:.2f}, {high:.2f}]"


def _explained(studies: pd.DataFrame, budget: int) -> str:
    return (
        f"{studies['problem'].nunique()} problems, {studies['seed'].nunique()} seeds; each study "
        f"spends {budget} full trainings' worth. Trainings take the time that they once took "
        "(LCBench: seconds; own curves: epochs), the search itself none. `busy`: share of the "
        "workers' time, up to the last training's end, that they worked. Times: against the same "
        "workers waiting for each other, geometric mean over studies with bootstrap 95% "
        "intervals; a study that did not reach the target counts with its whole time."
    )
