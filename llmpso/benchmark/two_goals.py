"""The front of error and training time on the tables, beside Optuna's samplers of several goals.

Every method is given the error and the logarithm of the seconds, which span up to five orders of
magnitude. A study is worth the hypervolume of what it has found, as a share of that of the table's
own front: both goals are scaled by this front, and the reference is a tenth beyond its ends.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from llmpso.benchmark.lookup_table import searched
from llmpso.benchmark.report import Report, markdown
from llmpso.benchmark.rivals import drawn_by_optuna
from llmpso.benchmark.statistics import compare
from llmpso.benchmark.tables import TableObjective, training_seconds
from llmpso.pareto import MARGIN, hypervolume
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import Floats, Params
from llmpso.trial import Evaluation, Trial

GOALS = ("error", "log_seconds")

REFERENCE_ARM = "guided"

SHOWN = (10, 20, 30, 45, 60)
"""Evaluations after which the hypervolume is counted."""

Row = dict[str, Any]


class TwoGoalTable:
    """A table with two goals, and its front.

    Args:
        name: Of the table.

    Attributes:
        front: The goals of the configurations that no other dominates, shape (n_front, 2).
    """

    def __init__(self, name: str) -> None:
        self.table = TableObjective(name)
        self._log_seconds = np.log10(training_seconds(name))
        configurations = np.column_stack([self.table.values.ravel(), self._log_seconds.ravel()])
        self.front = _front(configurations)
        self._low, self._high = self.front.min(axis=0), self.front.max(axis=0)
        self._whole = self._volume(self.front)

    def measure(self, params: Params) -> list[float]:
        """Both goals of a configuration."""
        place = self.table.place(params)
        return [float(self.table.values[place]), float(self._log_seconds[place])]

    def share(self, found: Sequence[Sequence[float]]) -> float:
        """The hypervolume of what was found, as a share of the front's."""
        return self._volume(np.array(found)) / self._whole

    def _volume(self, points: Floats) -> float:
        scaled = (points - self._low) / (self._high - self._low)
        return hypervolume(scaled, np.full(len(GOALS), 1 + MARGIN))


Study = Callable[[TwoGoalTable, int, int], list[list[float]]]
"""From a problem, the evaluations and a seed to what was measured, in its order."""


def guided(problem: TwoGoalTable, budget: int, seed: int) -> list[list[float]]:
    """Our search."""

    def measure(trial: Trial) -> Trial:
        values = dict(zip(GOALS, problem.measure(trial.params), strict=True))
        return trial.completed(Evaluation(values=values), 0.0)

    search = SurrogateAssistedSearch(problem.table.space, seed=seed, goals=GOALS)
    return [list(trial.values.values()) for trial in searched(search, measure, budget)]


def random(problem: TwoGoalTable, budget: int, seed: int) -> list[list[float]]:
    """Configurations drawn evenly."""
    space, rng = problem.table.space, np.random.default_rng(seed)
    return [problem.measure(space.decode(rng.random(len(space)))) for _ in range(budget)]


def _optuna(sampler: str, problem: TwoGoalTable, budget: int, seed: int) -> list[list[float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        drawn = getattr(optuna.samplers, sampler)(seed=seed)
    study = optuna.create_study(directions=["minimize"] * len(GOALS), sampler=drawn)
    measured: list[list[float]] = []
    while len(measured) < budget:
        trial = study.ask()
        measured.append(problem.measure(drawn_by_optuna(problem.table.space, trial)))
        study.tell(trial, measured[-1])
    return measured


ARMS: dict[str, Study] = {
    REFERENCE_ARM: guided,
    "random": random,
    "optuna-nsga2": partial(_optuna, "NSGAIISampler"),
    "optuna-tpe": partial(_optuna, "TPESampler"),
    "optuna-gp": partial(_optuna, "GPSampler"),
}
"""Optuna's as it ships them; each may repeat a configuration, ours does not."""


def run_goals(
    executor: Executor,
    problems: Sequence[str],
    arms: Sequence[str],
    seeds: Iterable[int],
    budget: int,
    folder: Path,
) -> pd.DataFrame:
    """Run each arm on each problem; one row per study, those in the folder are not run again."""
    folder.mkdir(parents=True, exist_ok=True)
    plans = list(product(seeds, problems, arms))
    return pd.DataFrame(
        list(executor.map(partial(_study_row, budget=budget, folder=folder), plans))
    )


def write_goals(studies: pd.DataFrame, folder: Path) -> Report:
    """Write raw rows and the tables into an existing folder."""
    arms, problems = arm_table(studies), problem_table(studies)
    studies.to_csv(folder / "goals-studies.csv", index=False)
    arms.to_csv(folder / "goals.csv", index=False)
    problems.to_csv(folder / "goals-problems.csv", index=False)
    shown = markdown(arms)
    text = (
        "# Fronts of error and training time\n\nHypervolume as a share of the table's own front, "
        f"{studies['seed'].nunique()} seeds on {studies['problem'].nunique()} tables.\n\n{shown}"
        f"\n\nAfter 30 evaluations, by table:\n\n{markdown(problems)}"
    )
    (folder / "goals.md").write_text(text, encoding="utf-8")
    figures = {f"after_30.{row['arm']}": float(row["after 30"]) for _, row in arms.iterrows()}
    return Report(text, shown, figures)


def arm_table(studies: pd.DataFrame) -> pd.DataFrame:
    """One row per arm: means over its studies, and how far ours is ahead on the same ones."""
    rows = [_arm_row(studies, arm) for arm in studies["arm"].unique()]
    return pd.DataFrame(rows).fillna("")


def problem_table(studies: pd.DataFrame) -> pd.DataFrame:
    """One row per problem, one column per arm: the mean after 30 evaluations."""
    means = studies.pivot_table(index="problem", columns="arm", values="after 30").round(3)
    return means[[arm for arm in ARMS if arm in means]].reset_index()


def _arm_row(studies: pd.DataFrame, arm: str) -> Row:
    keys = ["problem", "seed"]
    own = studies[studies["arm"] == arm].set_index(keys)
    ours = studies[studies["arm"] == REFERENCE_ARM].set_index(keys).loc[own.index]
    row: Row = {"arm": arm, "studies": len(own)}
    row |= {f"after {n}": round(float(own[f"after {n}"].mean()), 3) for n in (30, 60)}
    for n in (30, 60) if arm != REFERENCE_ARM else ():
        found = compare(own[f"after {n}"], ours[f"after {n}"])
        row[f"ours ahead, {n}"] = (
            f"{-found.difference:.3f} ({-found.high:.3f} to {-found.low:.3f})"
        )
        row[f"p, {n}"] = f"{found.p:.2g}"
    return row | {"seconds": round(float(own["seconds"].median()), 2)}


def _study_row(plan: tuple[int, str, str], budget: int, folder: Path) -> Row:
    seed, name, arm = plan
    file = folder / f"{name.replace('/', '-')}-{arm}-{seed}-{budget}.json"
    if file.exists():
        row: Row = json.loads(file.read_text())
        return row
    problem, begin = _problem(name), perf_counter()
    with threadpool_limits(limits=1):
        measured = ARMS[arm](problem, budget, seed)
    row = {"problem": name, "arm": arm, "seed": seed, "seconds": perf_counter() - begin}
    row |= {f"after {n}": problem.share(measured[:n]) for n in SHOWN if n <= budget}
    file.write_text(json.dumps(row))
    return row


@lru_cache(maxsize=12)
def _problem(name: str) -> TwoGoalTable:
    return TwoGoalTable(name)


def _front(points: Floats) -> Floats:
    """The front of many points of two goals, the lowest first goal first."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]
    lowest = np.minimum.accumulate(ordered[:, 1])
    front: Floats = ordered[ordered[:, 1] < np.concatenate([[np.inf], lowest[:-1]])]
    return front
