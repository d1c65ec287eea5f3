"""What a good model costs in epochs: searches with short trainings, without, and Optuna's.

All spend the same number of epochs on the same learning curves. A target counts as reached when a
full training has reached it; the epochs of all trainings up to then are counted.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from llmpso.benchmark.epoch_meter import Curves, EpochMeter
from llmpso.benchmark.lcbench import LCBench
from llmpso.benchmark.learning_curves import CURVES, CurveObjective
from llmpso.benchmark.pruning_rivals import PRUNERS, optuna_study
from llmpso.benchmark.report import Report, markdown
from llmpso.benchmark.statistics import ratio_interval
from llmpso.running.thread_evaluator import ThreadEvaluator
from llmpso.study.build_optimizer import build_optimizer
from llmpso.study.spec import study_spec

TOP_SHARE = {"lstm": 0.03, "cnn": 0.03}
"""Share of all configurations that counts as the target; 1% where there are more of them."""

BATCH = 2
"""Trainings that are proposed together."""

BASE = "pso"
"""The arm that the others are compared with."""

OWN_ARMS: dict[str, dict[str, Any]] = {
    "pso": {"method": "pso"},
    "pso racing": {"method": "pso", "racing": True},
    "guided": {"method": "guided", "batch": BATCH},
    "guided racing": {"method": "guided", "batch": BATCH, "racing": True},
}
"""Options of `minimize`."""

ARMS = (*OWN_ARMS, *(f"optuna {pruner}" for pruner in PRUNERS))


@dataclass(frozen=True, slots=True)
class CurveProblem:
    """A set of learning curves by its name: `lstm`, `cnn`, or a data set of LCBench."""

    name: str
    folder: str = ""
    """That of LCBench."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What values of a problem mean."""

    target: float
    best: float
    median: float

    def regret(self, value: float) -> float:
        """0 at the best value, 1 at the median or above."""
        return min(1.0, (value - self.best) / (self.median - self.best))


@lru_cache(maxsize=64)
def curves_of(problem: CurveProblem) -> tuple[Curves, Scale]:
    """The learning curves of a problem, and its scale.

    Raises:
        DataError: The folder is not that of LCBench.
        SpecError: There is no such data set, or onnxruntime is missing.
    """
    if problem.name in CURVES:
        own = CurveObjective(problem.name)
        return own, _scale(np.array(own.values), TOP_SHARE[problem.name])
    bench = LCBench(Path(problem.folder), problem.name)
    return bench, _scale(bench.reference, 0.01)


def run_arms(
    executor: Executor, problems: Sequence[CurveProblem], seeds: Iterable[int], budget: int
) -> pd.DataFrame:
    """Run each arm on each problem; a row per full training as they end, and one for the end.

    Args:
        executor: Runs the studies.
        problems: The learning curves.
        seeds: Of the studies.
        budget: Full trainings' worth of epochs.
    """
    plans = list(product(problems, ARMS, seeds))
    studies = executor.map(partial(_study_rows, budget=budget), plans)
    return pd.DataFrame([row for rows in studies for row in rows])


def study_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per study: epochs to the target, or all if it was not reached, and regrets."""
    groups = rows.groupby(["problem", "arm", "seed"], sort=False)
    return pd.DataFrame([_measures(group) for _, group in groups])


def arm_table(studies: pd.DataFrame) -> pd.DataFrame:
    """One row per arm: means over problems and seeds, and the ratio of epochs to those of PSO."""
    base = _by_problem(studies, BASE)
    return pd.DataFrame([_arm_row(studies, str(arm), base) for arm in studies["arm"].unique()])


def write_epochs(rows: pd.DataFrame, budget: int, folder: Path) -> Report:
    """Write raw rows, studies and the tables into an existing folder."""
    studies = study_table(rows)
    rows.to_csv(folder / "curves-trainings.csv", index=False)
    studies.to_csv(folder / "curves-studies.csv", index=False)
    is_own = studies["problem"].isin(list(CURVES))
    parts = {name: studies[studies["problem"] == name] for name in CURVES}
    parts["LCBench"] = studies[~is_own]
    tables = {name: arm_table(part) for name, part in parts.items() if len(part)}
    for name, table in tables.items():
        table.to_csv(folder / f"curves-{name}.csv", index=False)
    shown = "\n\n".join(f"**{name}**\n\n{markdown(table)}" for name, table in tables.items())
    text = "\n\n".join(["# What a good model costs in epochs", _explained(studies, budget), shown])
    (folder / "curves.md").write_text(text, encoding="utf-8")
    figures = {
        f"{name}.{row['arm']}".replace(" ", "_"): float(row["epochs"])
        for name, table in tables.items()
        for _, row in table.iterrows()
    }
    return Report(text, shown, figures)


def _study_rows(plan: tuple[CurveProblem, str, int], budget: int) -> list[dict[str, Any]]:
    problem, arm, seed = plan
    curves, scale = curves_of(problem)
    meter = EpochMeter(curves, budget * curves.max_epochs)
    with threadpool_limits(limits=1):
        _runner(arm)(meter, budget, seed)
    common: dict[str, Any] = {"problem": problem.name, "arm": arm, "seed": seed, "budget": budget}
    common |= {"max_epochs": curves.max_epochs, "target": scale.target}
    ends: list[dict[str, Any]] = [
        {"epochs": epochs, "value": value, "regret": scale.regret(value)}
        for epochs, value in meter.completed
    ]
    return [common | end for end in (*ends, {"epochs": meter.spent})]


def _runner(arm: str) -> Callable[[EpochMeter, int, int], None]:
    if arm in OWN_ARMS:
        return partial(_own_study, arm)
    pruner = arm.removeprefix("optuna ")
    return lambda meter, budget, seed: optuna_study(meter, pruner, seed)


def _own_study(arm: str, meter: EpochMeter, budget: int, seed: int) -> None:
    """The loop of a study; epochs end it, since some trainings end by themselves."""
    spec = study_spec(evaluations=budget, seed=seed, **OWN_ARMS[arm])
    pauses, race = spec.pauses(meter), spec.race(meter)
    optimizer = build_optimizer(spec, meter.space, None, pauses=pauses)
    with TemporaryDirectory() as scratch, ThreadPoolExecutor(1) as pool:
        evaluate = ThreadEvaluator(
            meter, race, pool, 1, Path(scratch), lambda trial: None, pauses=pauses
        )
        while not meter.is_spent and (asked := optimizer.ask(meter.n_left)):
            optimizer.tell(evaluate(asked))


def _scale(values: "np.ndarray[Any, Any]", share: float) -> Scale:
    target = values[max(1, round(share * len(values))) - 1]
    return Scale(float(target), float(values[0]), float(np.median(values)))


def _measures(study: pd.DataFrame) -> dict[str, Any]:
    first = study.iloc[0]
    in_all = int(first["budget"] * first["max_epochs"])
    reached = study[(study["value"] <= first["target"]) & (study["epochs"] <= in_all)]
    third = study[study["epochs"] <= in_all / 3]
    within = study[study["epochs"] <= in_all]
    return {
        **{name: first[name] for name in ("problem", "arm", "seed")},
        "epochs": float(reached["epochs"].min()) if len(reached) else float(in_all),
        "solved": bool(len(reached)),
        "regret after a third": _lowest(third),
        "regret": _lowest(within),
    }


def _lowest(study: pd.DataFrame) -> float:
    return float(study["regret"].min()) if study["regret"].notna().any() else 1.0


def _arm_row(studies: pd.DataFrame, arm: str, base: "pd.Series[float]") -> dict[str, Any]:
    own, part = _by_problem(studies, arm), studies[studies["arm"] == arm]
    low, high = ratio_interval(np.asarray(own), np.asarray(base))
    return {
        "arm": arm,
        "epochs": round(float(own.mean()), 1),
        f"x {BASE}": f"{own.mean() / base.mean():.2f} [{low:.2f}, {high:.2f}]",
        "solved": f"{part['solved'].mean():.0%}",
        "regret after a third": round(float(part["regret after a third"].mean()), 3),
        "regret": round(float(part["regret"].mean()), 3),
    }


def _by_problem(studies: pd.DataFrame, arm: str) -> "pd.Series[float]":
    """Mean epochs of each problem; of each seed where there is one problem only."""
    unit = "problem" if studies["problem"].nunique() > 1 else "seed"
    means: pd.Series[float] = studies[studies["arm"] == arm].groupby(unit)["epochs"].mean()
    return means


def _explained(studies: pd.DataFrame, budget: int) -> str:
    problems, n_seeds = studies["problem"].unique(), studies["seed"].nunique()
    return (
        f"{n_seeds} seeds on {', '.join(problems)}; each study spends {budget} full trainings' "
        "worth of epochs, no LLM is used. `epochs`: until a full training is one of the best 3% "
        "(LCBench: 1%), all if none is. Regret: 0 at the best, 1 at the median. Bootstrap 95% "
        "intervals of the ratio over problems, or over seeds where there is one problem only."
    )
