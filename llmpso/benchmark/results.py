"""The results of a benchmark: one row per study, per problem and per arm, Optuna's arms too."""

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pandas as pd

from llmpso.benchmark.statistics import (
    BUDGETS,
    Comparison,
    compare,
    compare_all,
    evaluations_to_target,
    normalized_regret,
    ratio_interval,
)
from llmpso.holm import holm
from llmpso.space import Floats

REFERENCE = "pso"
"""The arm that all others are a ratio of; the first arm where it is not among them."""

PAIRS = ("placebo", "surrogate", "guided")
"""What the language model's arm is tested against."""

MODEL_ARM = "guided-llm"
"""The arm whose gain is to be explained."""

STUDY = ["problem", "arm", "seed"]
"""Columns that identify a study."""


def study_measures(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per study: how soon and how far it came, and what it cost."""
    rows = [
        dict(zip(STUDY, study, strict=True)) | _measures(group)
        for study, group in trials.groupby(STUDY, sort=False)
    ]
    return pd.DataFrame(rows)


def regret_traces(trials: pd.DataFrame, arm: str) -> Floats:
    """Normalised regret after each evaluation, shape (n_studies, budget)."""
    studies = trials[trials["arm"] == arm].groupby(STUDY, sort=False)
    every = range(1, int(trials["budget"].iloc[0]) + 1)
    return np.array([_regrets(study, every) for _, study in studies])


def arm_table(studies: pd.DataFrame) -> pd.DataFrame:
    """One row per arm over all problems, the fewest evaluations first."""
    figures, reference = _figures(studies, "evaluations"), reference_arm(studies)
    base = figures[reference]
    compared = compare_all({n: own for n, own in figures.items() if n != reference}, base)
    rows = []
    for arm, own in figures.items():
        low, high = ratio_interval(own, base)
        row = {"arm": arm, "evaluations": own.mean(), "ratio": own.mean() / base.mean()}
        row |= {"low": low, "high": high, "p": compared[arm].p if arm in compared else 1.0}
        rows.append(row | _shares(studies[studies["arm"] == arm]))
    return pd.DataFrame(rows).sort_values("evaluations", kind="stable", ignore_index=True)


def problem_table(studies: pd.DataFrame, measure: str) -> pd.DataFrame:
    """One row per problem and arm, tested against the reference; Holm over an arm's problems."""
    reference = reference_arm(studies)
    rows = [
        {"problem": problem, "arm": arm} | asdict(compare(figures[arm], figures[reference]))
        for problem, group in studies.groupby("problem", sort=False)
        for figures in [_figures(group, measure)]
        for arm in figures
        if arm != reference
    ]
    table = pd.DataFrame(rows, columns=["problem", "arm", *_COMPARED])
    table["p"] = table.groupby("arm")["p"].transform(lambda p: holm(p.tolist()))
    table["verdict"] = [_verdict(row) for _, row in table.iterrows()]
    return table


def pair_table(studies: pd.DataFrame) -> pd.DataFrame:
    """The language model's arm against what could explain its gain; Holm over the pairs."""
    figures = _figures(studies, "evaluations")
    rows = [
        {"arm": MODEL_ARM, "against": arm} | asdict(compare(figures[MODEL_ARM], figures[arm]))
        for arm in PAIRS
        if MODEL_ARM in figures and arm in figures
    ]
    table = pd.DataFrame(rows, columns=["arm", "against", *_COMPARED])
    table["p"] = holm(table["p"].tolist())
    return table


def reference_arm(studies: pd.DataFrame) -> str:
    """Plain PSO, or the first arm where that was not run."""
    arms: list[str] = studies["arm"].unique().tolist()
    return REFERENCE if REFERENCE in arms else arms[0]


_COMPARED = [field.name for field in fields(Comparison)]


def _measures(study: pd.DataFrame) -> dict[str, Any]:
    first, trace = study.iloc[0], _trace(study)
    evaluations = evaluations_to_target(trace, first["target"], int(first["budget"]))
    shown = [n for n in BUDGETS if n <= first["budget"]]
    regrets = zip(shown, _regrets(study, shown), strict=True)
    asked = ("llm_calls", "llm_invalid", "llm_tokens", "llm_seconds")
    return {
        "evaluations": evaluations,
        "solved": evaluations <= first["budget"],
        "value": float(trace[-1]),
        **{f"regret@{n}": regret for n, regret in regrets},
        "trials": len(study),
        "repeated": int(study["repeated"].sum()),
        **{name: first[name] for name in asked},
    }


def _trace(study: pd.DataFrame) -> Floats:
    """The incumbent's value after each evaluation; a failed trial has none."""
    return study.sort_values("number")["value"].fillna(np.inf).cummin().to_numpy(np.float64)


def _regrets(study: pd.DataFrame, evaluations: Iterable[int]) -> list[float]:
    """Normalised regret after some numbers of evaluations."""
    trace, best, median = _trace(study), study["best"].iloc[0], study["median"].iloc[0]
    return [normalized_regret(trace, n, best, median) for n in evaluations]


def _figures(studies: pd.DataFrame, measure: str) -> dict[str, Floats]:
    """The figures of each arm, all in one order of problems and seeds."""
    wide = studies.pivot(index=["problem", "seed"], columns="arm", values=measure)
    return {arm: wide[arm].to_numpy(np.float64) for arm in studies["arm"].unique()}


def _shares(studies: pd.DataFrame) -> dict[str, float]:
    """What an arm reached on the way, and what it cost per study."""
    regrets = [name for name in studies.columns.astype(str) if name.startswith("regret@")]
    calls = studies["llm_calls"].sum()
    return {name: float(studies[name].mean()) for name in regrets} | {
        "solved": float(studies["solved"].mean()),
        "repeated": float(studies["repeated"].sum() / studies["trials"].sum()),
        "llm_calls": float(studies["llm_calls"].mean()),
        "llm_tokens": float(studies["llm_tokens"].mean()),
        "llm_seconds": float(studies["llm_seconds"].mean()),
        "llm_invalid": float(studies["llm_invalid"].sum() / calls) if calls else 0.0,
    }


def _verdict(row: "pd.Series[Any]") -> str:
    if row["p"] >= 0.05:
        return "no difference"
    return "better" if row["difference"] < 0 else "worse"
