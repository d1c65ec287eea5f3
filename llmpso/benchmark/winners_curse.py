"""Picking the lowest of many noisy trainings, beside training the best again.

One training per evaluation, drawn from those that a table has of each configuration. A choice is
worth the mean of them all, as regret: 0 at the table's best mean, 1 at its median. All methods
spend the same number of trainings: those with repeats search less.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from llmpso.benchmark.lookup_table import searched
from llmpso.benchmark.report import Report, markdown
from llmpso.benchmark.statistics import compare_all
from llmpso.benchmark.tables import TableObjective, single_trainings
from llmpso.search.surrogate.posterior import fit
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import Params
from llmpso.study.expected import Expectation, expected_by_repeats, expected_by_surrogate
from llmpso.study.repeats import repeats_of
from llmpso.study.result import best_of
from llmpso.trial import Evaluation, Trial

REFERENCE_ARM = "lowest"

N_REPEATS = (2, 4, 6, 9)

COUNTED = (30, 60)
"""Trainings after which a choice is made."""

N_DRAWS = 10
"""Times that the repeats of one search are drawn: their luck is averaged."""

Row = dict[str, Any]
Choice = tuple[Trial, Expectation | None]


class NoisyTable:
    """A table of which each evaluation is one training.

    Args:
        name: Of the table.
    """

    def __init__(self, name: str) -> None:
        self.table = TableObjective(name)
        self._trainings = single_trainings(name)
        self._means = self._trainings.mean(axis=-1)
        self.best, self.median = float(self._means.min()), float(np.median(self._means))

    def trained(self, trial: Trial, rng: np.random.Generator) -> Trial:
        """A trial with the value of one training."""
        value = float(rng.choice(self._trainings[self.table.place(trial.params)]))
        return trial.completed(Evaluation(value), 0.0)

    def mean(self, params: Params) -> float:
        """What a configuration is worth."""
        return float(self._means[self.table.place(params)])

    def regret(self, value: float) -> float:
        """A value on the table's scale."""
        return (value - self.best) / (self.median - self.best)


def choices(
    problem: NoisyTable, trials: Sequence[Trial], n: int, seed: int
) -> Mapping[str, list[Choice]]:
    """What each method chooses after `n` trainings, and what it expects; several draws each."""
    space, all_trials = problem.table.space, trials[:n]
    lowest = best_of(all_trials)
    if lowest is None:
        raise RuntimeError("no training of a table fails")
    found: dict[str, list[Choice]] = {
        REFERENCE_ARM: [(lowest, expected_by_surrogate(all_trials, lowest, space))],
        "posterior": [(_by_posterior(problem, all_trials), None)],
    }
    for n_repeats in N_REPEATS:
        rng = np.random.default_rng([seed, n, n_repeats])
        search = trials[: n - n_repeats]
        found[f"{n_repeats} repeats"] = [
            _by_repeats(problem, search, n_repeats, seed, rng) for _ in range(N_DRAWS)
        ]
    return found


def _by_posterior(problem: NoisyTable, trials: Sequence[Trial]) -> Trial:
    """The trial at which the surrogate expects the lowest value."""
    space = problem.table.space
    positions = np.array([space.encode(trial.params) for trial in trials])
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    means = fit(space, positions, values).predict(positions).means
    return trials[int(np.argmin(means))]


def _by_repeats(
    problem: NoisyTable, trials: Sequence[Trial], n: int, seed: int, rng: np.random.Generator
) -> Choice:
    repeats = [problem.trained(trial, rng) for trial in repeats_of(trials, n, seed)]
    best = best_of(trials, repeats)
    if best is None:
        raise RuntimeError("no training of a table fails")
    return best, expected_by_repeats(trials, repeats)


def run_choices(
    executor: Executor, problems: Sequence[str], seeds: Iterable[int], folder: Path
) -> pd.DataFrame:
    """One row per search, number of trainings and method; searches in the folder are not rerun."""
    folder.mkdir(parents=True, exist_ok=True)
    plans = list(product(seeds, problems))
    found = executor.map(partial(_rows_of_search, folder=folder), plans)
    return pd.DataFrame([row for rows in found for row in rows])


def write_choices(rows: pd.DataFrame, folder: Path) -> Report:
    """Write raw rows and the tables into an existing folder."""
    table = choice_table(rows)
    rows.to_csv(folder / "repeats-choices.csv", index=False)
    table.to_csv(folder / "repeats.csv", index=False)
    by_table = problem_table(rows)
    by_table.to_csv(folder / "repeats-problems.csv", index=False)
    shown = markdown(table)
    text = (
        f"# The choice of the best\n\n{rows['seed'].nunique()} seeds on "
        f"{rows['problem'].nunique()} tables, one training per evaluation.\n\n{shown}\n\n"
        f"Regret by table:\n\n{markdown(by_table)}"
    )
    (folder / "repeats.md").write_text(text, encoding="utf-8")
    figures = {f"{r['trainings']}.{r['method']}": float(r["regret"]) for _, r in table.iterrows()}
    return Report(text, shown, figures)


def choice_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per number of trainings and method: what is chosen, and what is said of it."""
    return (
        pd.DataFrame(
            [row for n in sorted(rows["trainings"].unique()) for row in _methods(rows, int(n))]
        )
        .astype(object)
        .fillna("")
    )


def problem_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per number of trainings and table: the regret of each method."""
    means = rows.pivot_table(
        index=["trainings", "problem"], columns="method", values="regret", sort=False
    )
    return means.round(4).reset_index()


def _methods(rows: pd.DataFrame, n: int) -> list[Row]:
    of_n = rows[rows["trainings"] == n]
    pivot = of_n.pivot_table(index=["problem", "seed"], columns="method", values="regret")
    methods = [str(name) for name in of_n["method"].unique()]
    others = {name: pivot[name] for name in methods if name != REFERENCE_ARM}
    compared = compare_all(others, pivot[REFERENCE_ARM])
    true = of_n.pivot_table(index="problem", columns="method", values="true")
    found = []
    for name in methods:
        own = of_n[of_n["method"] == name]
        row: Row = {"trainings": n, "method": name, "regret": round(float(pivot[name].mean()), 4)}
        if name in compared:
            it = compared[name]
            row["difference"] = f"{it.difference:.4f} ({it.low:.4f} to {it.high:.4f})"
            row["p"] = f"{it.p:.2g}"
            row["worst value"] = round(float((true[name] / true[REFERENCE_ARM]).max()), 3)
        row["stated: too low by"] = round(float((own["regret"] - own["stated"]).mean()), 4)
        if own["expected"].notna().any():
            row["expected: too low by"] = round(float((own["regret"] - own["expected"]).mean()), 4)
            row["within two deviations"] = f"{own['covered'].mean():.0%}"
        found.append(row)
    return found


def _rows_of_search(plan: tuple[int, str], folder: Path) -> list[Row]:
    seed, name = plan
    file = folder / f"{name.replace('/', '-')}-{seed}.json"
    if file.exists():
        rows: list[Row] = json.loads(file.read_text())
        return rows
    problem = _problem(name)
    with threadpool_limits(limits=1):
        search = SurrogateAssistedSearch(problem.table.space, seed=seed)
        trials = searched(
            search, lambda t: problem.trained(t, np.random.default_rng(t.seed)), max(COUNTED)
        )
        rows = [
            {"problem": name, "seed": seed, "trainings": n, "method": method}
            | _row(problem, method_choices)
            for n in COUNTED
            for method, method_choices in choices(problem, trials, n, seed).items()
        ]
    file.write_text(json.dumps(rows))
    return rows


def _row(problem: NoisyTable, made: Sequence[Choice]) -> Row:
    """The means over several draws, values as regret."""
    true = np.array([problem.mean(best.params) for best, _ in made])
    row = {
        "true": float(true.mean()),
        "regret": float(np.mean([problem.regret(value) for value in true])),
        "stated": float(np.mean([problem.regret(float(best.value or 0.0)) for best, _ in made])),
    }
    known = [(value, it) for value, (_, it) in zip(true, made, strict=True) if it is not None]
    if not known:
        return row | {"expected": None, "covered": None}
    return row | {
        "expected": float(np.mean([problem.regret(it.value) for _, it in known])),
        "covered": float(np.mean([abs(it.value - v) <= 2 * it.deviation for v, it in known])),
    }


@lru_cache(maxsize=12)
def _problem(name: str) -> NoisyTable:
    return NoisyTable(name)
