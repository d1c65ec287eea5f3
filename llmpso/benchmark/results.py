"""The results of a benchmark: one row per study, per problem and per arm, Optuna's arms too."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from llmpso.benchmark.statistics import (
    BUDGETS,
    Comparison,
    compare,
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
    reference, figures = _figures(studies, "evaluations")
    compared = _compared(figures, reference)
    rows = [
        {
            "arm": arm,
            **_comparison_row(compared.get(arm), figures[arm], figures[reference]),
            **_shares(studies[studies["arm"] == arm]),
        }
        for arm in figures
    ]
    return pd.DataFrame(rows).sort_values("evaluations", kind="stable", ignore_index=True)


def problem_table(studies: pd.DataFrame, measure: str) -> pd.DataFrame:
    """One row per problem and arm, tested against the reference; Holm over an arm's problems."""
    reference = reference_arm(studies)
    rows = [
        {"problem": problem, "arm": arm} | _tested(comparison)
        for problem, group in studies.groupby("problem", sort=False)
        for arm, comparison in _uncorrected(_figures(group, measure)[1], reference).items()
    ]
    table = pd.DataFrame(rows, columns=["problem", "arm", *_TESTED])
    table["p"] = table.groupby("arm")["p"].transform(lambda p: holm(p.tolist()))
    table["verdict"] = [_verdict(row) for _, row in table.iterrows()]
    return table


def pair_table(studies: pd.DataFrame) -> pd.DataFrame:
    """The language model's arm against what could explain its gain; Holm over the pairs."""
    _, figures = _figures(studies, "evaluations")
    rows = [
        {"arm": MODEL_ARM, "against": arm} | _tested(comparison)
        for arm, comparison in _reversed(figures).items()
    ]
    table = pd.DataFrame(rows, columns=["arm", "against", *_TESTED])
    table["p"] = holm(table["p"].tolist())
    return table


def reference_arm(studies: pd.DataFrame) -> str:
    """Plain PSO, or the first arm where that was not run."""
    arms: list[str] = studies["arm"].unique().tolist()
    return REFERENCE if REFERENCE in arms else arms[0]


_TESTED = ["mean", "reference", "difference", "low", "high", "p"]


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
    ordered = study.sort_values("number")["value"].fillna(np.inf)
    return np.minimum.accumulate(ordered.to_numpy(dtype=np.float64))


def _regrets(study: pd.DataFrame, evaluations: Iterable[int]) -> list[float]:
    """Normalised regret after some numbers of evaluations."""
    trace, best, median = _trace(study), study["best"].iloc[0], study["median"].iloc[0]
    return [normalized_regret(trace, n, best, median) for n in evaluations]


def _figures(studies: pd.DataFrame, measure: str) -> tuple[str, dict[str, list[float]]]:
    """The reference's name, and each arm's figures in one order of problems and seeds."""
    wide = studies.pivot(index=["problem", "seed"], columns="arm", values=measure)
    return reference_arm(studies), {
        arm: wide[arm].astype(float).tolist() for arm in studies["arm"].unique()
    }


def _compared(figures: dict[str, list[float]], reference: str) -> dict[str, Comparison]:
    others = {arm: values for arm, values in figures.items() if arm != reference}
    return compare(others, figures[reference])


def _uncorrected(figures: dict[str, list[float]], reference: str) -> dict[str, Comparison]:
    """Each arm against the reference, uncorrected: it is corrected over problems later."""
    return {
        arm: compare({arm: values}, figures[reference])[arm]
        for arm, values in figures.items()
        if arm != reference
    }


def _reversed(figures: dict[str, list[float]]) -> dict[str, Comparison]:
    """The model's arm against each of its controls that were run."""
    if MODEL_ARM not in figures:
        return {}
    model = figures[MODEL_ARM]
    return {
        arm: compare({MODEL_ARM: model}, figures[arm])[MODEL_ARM]
        for arm in PAIRS
        if arm in figures
    }


def _comparison_row(
    comparison: Comparison | None, figures: Sequence[float], base: Sequence[float]
) -> dict[str, float]:
    mean = float(np.mean(figures))
    if comparison is None:
        return {"evaluations": mean, "ratio": 1.0, "low": 1.0, "high": 1.0, "p": 1.0}
    low, high = ratio_interval(np.asarray(figures), np.asarray(base))
    ratio, p_value = comparison.ratio, comparison.p_value
    return {"evaluations": mean, "ratio": ratio, "low": low, "high": high, "p": p_value}


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


def _tested(comparison: Comparison) -> dict[str, float]:
    return {
        "mean": comparison.mean,
        "reference": comparison.reference_mean,
        "difference": comparison.difference,
        "low": comparison.low,
        "high": comparison.high,
        "p": comparison.p_value,
    }


def _verdict(row: "pd.Series[Any]") -> str:
    if row["p"] >= 0.05:
        return "no difference"
    return "better" if row["difference"] < 0 else "worse"
