"""Runs the arms of `memory_arms`, and makes the tables of what memory is worth."""

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from llmpso.backends.base import Backend
from llmpso.benchmark.lcbench import EPOCHS
from llmpso.benchmark.memory_arms import ARMS, MemoryProblem, measure, opened, search_of
from llmpso.benchmark.recorded import RecordedBackend
from llmpso.benchmark.report import Report, markdown
from llmpso.benchmark.statistics import compare, ratio_interval
from llmpso.search.optimizer import Optimizer
from llmpso.trial import Source, Trial

BASE = "pso"
"""The arm that the others are compared with."""

CONTROL, RACING_CONTROL = "guided", "guided racing"
"""Our search without memory, without short trainings and with them."""

N_ASKING = 4
"""Batches after which a search has asked its model, if it does."""


def run_memory(
    executor: Executor,
    problems: Sequence[MemoryProblem],
    arms: Sequence[str],
    seeds: Iterable[int],
    budget: int,
    replies: Path | None = None,
) -> pd.DataFrame:
    """Run each arm on each problem; one row per study.

    Args:
        executor: Runs the studies.
        problems: What is searched; arms that train shortly are run on LCBench only.
        arms: Names in `ARMS`.
        seeds: Of the studies.
        budget: Full trainings of a study.
        replies: Recorded replies of a language model; without them no arm asks one.
    """
    plans = [
        (problem, arm, seed)
        for problem, arm, seed in product(problems, arms, seeds)
        if (problem.folder or not ARMS[arm].racing) and (replies or not ARMS[arm].asks_model)
    ]
    row = partial(_study_row, budget=budget, replies=replies)
    return pd.DataFrame(list(executor.map(row, plans)))


def record_replies(
    problems: Sequence[MemoryProblem], arms: Sequence[str], seeds: Iterable[int], backend: Backend
) -> None:
    """Let a recording model answer what the arms will ask: in the first batches of each study."""
    asking = [name for name in arms if ARMS[name].asks_model]
    for problem, arm, seed in product(problems, asking, seeds):
        if problem.folder or not ARMS[arm].racing:
            objective, _ = opened(problem)
            search = search_of(ARMS[arm], problem, seed, backend)
            for _ in range(N_ASKING):
                search.tell([measure(objective, trial) for trial in search.ask()])


def memory_table(studies: pd.DataFrame) -> pd.DataFrame:
    """One row per arm of one family: mean cost until the target, as a ratio to PSO and control."""
    return pd.DataFrame([_arm_row(studies, str(arm)) for arm in studies["arm"].unique()])


def write_memory(studies: pd.DataFrame, budget: int, folder: Path) -> Report:
    """Write the studies and the tables into an existing folder."""
    studies.to_csv(folder / "memory-studies.csv", index=False)
    families = {
        "tables": studies[studies["problem"].str.contains("/")],
        "LCBench": studies[~studies["problem"].str.contains("/")],
    }
    tables = {name: memory_table(part) for name, part in families.items() if len(part)}
    by_problem = studies.pivot_table(
        values="evaluations", index="problem", columns="arm", sort=False
    )
    by_problem.round(1).to_csv(folder / "memory-problems.csv")
    for name, table in tables.items():
        table.to_csv(folder / f"memory-{name}.csv", index=False)
    shown = "\n\n".join(f"**{name}**\n\n{markdown(table)}" for name, table in tables.items())
    text = "\n\n".join(["# What memory is worth", _explained(studies, budget), shown])
    (folder / "memory.md").write_text(text, encoding="utf-8")
    figures = {
        f"{name}.{row['arm']}".replace(" ", "_").replace(":", ""): float(row["evaluations"])
        for name, table in tables.items()
        for _, row in table.iterrows()
    }
    return Report(text, shown, figures)


def _study_row(
    plan: tuple[MemoryProblem, str, int], budget: int, replies: Path | None
) -> dict[str, Any]:
    problem, arm, seed = plan
    with threadpool_limits(limits=1):
        search = search_of(ARMS[arm], problem, seed, _recorded(replies) if replies else None)
        spent, evaluations, best, is_advised = _searched(problem, search, budget)
    _, scale = opened(problem)
    return {
        "problem": problem.name,
        "arm": arm,
        "seed": seed,
        "evaluations": evaluations,
        "epochs": spent * EPOCHS,
        "advised": is_advised,
        "solved": best <= scale.target,
        "regret": scale.regret(best),
    }


@cache
def _recorded(replies: Path) -> Backend:
    return RecordedBackend(replies)


def _searched(
    problem: MemoryProblem, search: Optimizer, budget: int
) -> tuple[float, int, float, bool]:
    """Full trainings' worth, completed trainings and best value when the target is reached.

    And whether a trial was the language model's.
    """
    objective, scale = opened(problem)
    spent, n_complete, best, is_advised = 0.0, 0, math.inf, False
    reached: dict[int, float] = {}
    while spent < budget and (asked := search.ask(math.ceil(budget - spent))):
        measured = [measure(objective, trial) for trial in asked]
        for trial in measured:
            is_advised |= trial.source is Source.DEFAULT
            spent += _share(trial) - reached.get(trial.number, 0.0)
            reached[trial.number] = _share(trial)
            n_complete += trial.value is not None
            best = min(best, math.inf if trial.value is None else trial.value)
            if best <= scale.target:
                return spent, n_complete, best, is_advised
        search.tell(measured)
    return max(spent, budget), budget + 1, best, is_advised


def _share(trial: Trial) -> float:
    """Of the epochs of a full training, in whole epochs."""
    return math.ceil(trial.fidelity * EPOCHS - 1e-9) / EPOCHS


def _arm_row(studies: pd.DataFrame, arm: str) -> dict[str, Any]:
    measure = "epochs" if ARMS[arm].racing else "evaluations"
    part = studies[studies["arm"] == arm]
    control = ARMS[arm].control or (RACING_CONTROL if ARMS[arm].racing else CONTROL)
    return {
        "arm": arm,
        "evaluations": round(float(part["evaluations"].mean()), 1),
        "epochs": round(float(part["epochs"].mean()), 1),
        f"x {BASE}": _ratio(studies, arm, BASE, measure),
        "control": control,
        "x control": _ratio(studies, arm, control, measure),
        "p": _p_value(studies, arm, control, measure),
        "solved": f"{part['solved'].mean():.0%}",
        "regret": round(float(part["regret"].mean()), 3),
    }


def _ratio(studies: pd.DataFrame, arm: str, base: str, measure: str) -> str:
    own, other = (_by_problem(studies, name, measure) for name in (arm, base))
    if not len(other):
        return ""
    low, high = ratio_interval(np.asarray(own), np.asarray(other))
    return f"{own.mean() / other.mean():.2f} [{low:.2f}, {high:.2f}]"


def _p_value(studies: pd.DataFrame, arm: str, control: str, measure: str) -> str:
    """Of the pairs of problem and seed, without a correction for several arms."""
    paired = studies.pivot_table(values=measure, index=["problem", "seed"], columns="arm")
    if arm == control or control not in paired:
        return ""
    return f"{compare(paired[arm], paired[control]).p:.2g}"


def _by_problem(studies: pd.DataFrame, arm: str, measure: str) -> "pd.Series[float]":
    means: pd.Series[float] = studies[studies["arm"] == arm].groupby("problem")[measure].mean()
    return means


def _explained(studies: pd.DataFrame, budget: int) -> str:
    return (
        f"{studies['seed'].nunique()} seeds on {', '.join(studies['problem'].unique())}; "
        f"at most {budget} full trainings each. Of the arms with `model` a language model names "
        "one start. `evaluations`: completed trainings until one is of the best "
        "1%, one more than the budget if none is. `epochs`: "
        "those of all trainings up to then, short ones included; arms with `racing` are compared "
        "by these. Bootstrap 95% intervals of ratios over problems; p of Wilcoxon's signed ranks "
        "over pairs of problem and seed."
    )
