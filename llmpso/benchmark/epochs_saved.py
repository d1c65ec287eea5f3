"""What racing saves: the same studies with it and without it, on curves of real trainings.

Epochs are counted by whole batches: those of a batch are spent before its values are known.
"""

from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from llmpso.benchmark.learning_curves import CURVES, CurveObjective
from llmpso.benchmark.report import Report, markdown
from llmpso.benchmark.statistics import bootstrap_interval, ratio_interval
from llmpso.running.successive_halving import Racing
from llmpso.study.minimize import minimize
from llmpso.trial import Trial

METHODS = ("guided", "pso")
BATCH = 2
"""Particles that move at once in `guided`, as `flows.tune` has it."""

TOP_SHARE = 0.03
"""Share of all configurations that counts as the target."""

NEAR = 0.02
"""A value this close to the best of all is near it: of an RMSE, or of an accuracy."""

STUDY = ["scenario", "method", "racing", "seed"]


def run_races(executor: Executor, seeds: Iterable[int], budget: int) -> pd.DataFrame:
    """Run each study with racing and without; one row per trial."""
    plans = list(product(CURVES, METHODS, (False, True), seeds))
    studies = executor.map(partial(_study_rows, budget=budget), plans)
    return pd.DataFrame([row for rows in studies for row in rows])


def study_table(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per study: epochs to each target, epochs in all, and the best value.

    A target that was never reached has no figure.
    """
    rows = [
        dict(zip(STUDY, study, strict=True)) | _measures(str(study[0]), group)
        for study, group in trials.groupby(STUDY, sort=False)
    ]
    return pd.DataFrame(rows)


def race_table(studies: pd.DataFrame) -> pd.DataFrame:
    """One row per scenario, method and measure: means without racing and with it, and the ratio.

    A study that never reached a target counts what its twin without racing spent in all.
    """
    rows: list[dict[str, Any]] = []
    for pair, group in studies.groupby(["scenario", "method"], sort=False):
        labels = dict(zip(("scenario", "method"), pair, strict=True))
        plain, raced = (
            group[group["racing"] == racing].set_index("seed").sort_index()
            for racing in (False, True)
        )
        for measure in ("epochs to the target", "epochs to near", "epochs in all"):
            spent = [side[measure].fillna(plain["epochs in all"]) for side in (plain, raced)]
            reached = f"{plain[measure].notna().mean():.0%}, {raced[measure].notna().mean():.0%}"
            rows.append(labels | _row(measure, *spent) | {"reached": reached})
        rows.append(labels | _quality(plain["best"], raced["best"]))
    return pd.DataFrame(rows)


def write_races(trials: pd.DataFrame, folder: Path) -> Report:
    """Write trials, studies and the table into an existing folder."""
    studies = study_table(trials)
    table = race_table(studies)
    trials.to_csv(folder / "racing-trials.csv", index=False)
    studies.to_csv(folder / "racing-studies.csv", index=False)
    table.to_csv(folder / "racing.csv", index=False)
    shown = markdown(table.astype(object).where(table.notna(), ""))
    text = "\n\n".join(["# What racing saves", _explained(studies), shown])
    (folder / "racing.md").write_text(text, encoding="utf-8")
    ratios = table.dropna(subset=["times fewer"])
    names = (
        ratios["scenario"]
        + "."
        + ratios["method"]
        + "."
        + ratios["measure"].str.removeprefix("epochs ")
    )
    figures = dict(zip(names.str.replace(" ", "_"), ratios["times fewer"], strict=True))
    return Report(text, shown, figures)


def _study_rows(plan: tuple[str, str, bool, int], budget: int) -> list[dict[str, Any]]:
    scenario, method, is_raced, seed = plan
    objective = CurveObjective(scenario)
    with threadpool_limits(limits=1):
        result = minimize(
            objective,
            objective.space,
            evaluations=budget,
            method=method,
            seed=seed,
            batch=BATCH,
            racing=is_raced,
        )
    return [dict(zip(STUDY, plan, strict=True)) | _trial_row(trial) for trial in result.trials]


def _trial_row(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "iteration": trial.iteration,
        "state": str(trial.state),
        "value": trial.value,
        "fidelity": trial.fidelity,
        "epochs": trial.metrics["epochs"],
        **trial.params,
    }


def _measures(scenario: str, trials: pd.DataFrame) -> dict[str, float]:
    batches = trials.groupby("iteration").agg({"epochs": "sum", "value": "min"})
    target, near = targets(scenario)
    return {
        "epochs to the target": _spent(batches, target),
        "epochs to near": _spent(batches, near),
        "epochs in all": float(batches["epochs"].sum()),
        "best": float(trials["value"].min()),
        "trained in full": float((trials["state"] == "complete").mean()),
    }


def targets(scenario: str) -> tuple[float, float]:
    """The value that the best share of all configurations reach, and one near the best."""
    values = CurveObjective(scenario).values
    target = values[max(1, round(TOP_SHARE * len(values))) - 1]
    near = 1 - (1 - NEAR) * (1 - values[0]) if scenario == "cnn" else (1 + NEAR) * values[0]
    return target, near


def _spent(batches: pd.DataFrame, target: float) -> float:
    reached = (batches["value"] <= target).to_numpy()
    if not reached.any():
        return float("nan")
    return float(batches["epochs"].iloc[: int(reached.argmax()) + 1].sum())


def _row(measure: str, plain: "pd.Series[float]", raced: "pd.Series[float]") -> dict[str, Any]:
    low, high = ratio_interval(np.asarray(plain), np.asarray(raced))
    ratio = float(plain.mean() / raced.mean())
    return {
        "measure": measure,
        "off": float(plain.mean()),
        "on": float(raced.mean()),
        "times fewer": ratio,
        "interval": f"[{low:.2f}, {high:.2f}]",
    }


def _quality(plain: "pd.Series[float]", raced: "pd.Series[float]") -> dict[str, Any]:
    """The best values, and the interval of their difference in pairs."""
    low, high = bootstrap_interval(np.asarray(raced - plain))
    return {
        "measure": "best value",
        "off": float(plain.mean()),
        "on": float(raced.mean()),
        "interval": f"on - off [{low:.3g}, {high:.3g}]",
    }


def _explained(studies: pd.DataFrame) -> str:
    n_seeds, racing = studies["seed"].nunique(), Racing()
    lines = [
        f"- `{name}`: {len(CurveObjective(name).values)} configurations, trained in full once; "
        f"target {targets(name)[0]:.4g}, near {targets(name)[1]:.4g} "
        f"({CurveObjective(name).metric})"
        for name in CURVES
    ]
    rungs = ", ".join(f"{rung:.3g}" for rung in racing.rungs)
    return "\n".join(
        [
            f"The same {n_seeds} seeds with racing (rungs at {rungs}) and without; "
            "no LLM is used. Means over the seeds, with bootstrap 95% intervals of the ratio over "
            "pairs. `target`: a value that the best 3% reach; `near`: within 2% of the best.",
            "",
            *lines,
        ]
    )
