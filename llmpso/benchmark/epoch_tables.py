"""The tables of the benchmark on learning curves, from the trainings of all studies."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmpso.benchmark.report import Report, markdown
from llmpso.benchmark.statistics import paired_p_value, ratio_interval
from llmpso.holm import holm

BASE = "pso"
"""The arm that the others are compared with."""

FULL = "guided"
"""The arm that trains in full what the racing ones do not."""

SIGNIFICANT = 0.05

LEAST_SEEDS = 10
"""Paired studies of a problem from which on a difference there can be significant."""


def study_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per study: epochs to the target, or all if it was not reached, and regrets."""
    groups = rows.groupby(["problem", "arm", "seed"], sort=False)
    return pd.DataFrame([_measures(group) for _, group in groups])


def arm_table(studies: pd.DataFrame) -> pd.DataFrame:
    """One row per arm: means over problems and seeds, and the ratio of epochs to those of PSO."""
    return pd.DataFrame([_arm_row(studies, str(arm)) for arm in studies["arm"].unique()])


def worse_than_full(studies: pd.DataFrame, arm: str, figure: str) -> list[str]:
    """Problems on which an arm is significantly worse than full trainings, after Holm.

    Args:
        studies: As of `study_table`, of several problems and the same seeds for each arm.
        arm: One that does not train all in full.
        figure: Column that is compared, `epochs` or `regret`.
    """
    pairs = studies[studies["arm"].isin([arm, FULL])].pivot_table(
        index=["problem", "seed"], columns="arm", values=figure, sort=False
    )
    losses = (pairs[arm] - pairs[FULL]).groupby("problem", sort=False)
    p_values = holm([paired_p_value(np.asarray(loss)) for _, loss in losses])
    return [
        str(problem)
        for (problem, loss), p_value in zip(losses, p_values, strict=True)
        if p_value < SIGNIFICANT and loss.mean() > 0
    ]


def write_epochs(rows: pd.DataFrame, budget: int, folder: Path) -> Report:
    """Write raw rows, studies and the tables into an existing folder."""
    studies = study_table(rows)
    rows.to_csv(folder / "curves-trainings.csv", index=False)
    studies.to_csv(folder / "curves-studies.csv", index=False)
    parts = dict(list(studies.groupby("family", sort=False)))
    tables = {str(name): arm_table(part) for name, part in parts.items()}
    for name, table in tables.items():
        table.to_csv(folder / f"curves-{name}.csv", index=False)
    shown = "\n\n".join(
        f"**{name}**\n\n{markdown(table)}{_against_full(parts[name])}"
        for name, table in tables.items()
    )
    text = "\n\n".join(["# What a good model costs in epochs", _explained(studies, budget), shown])
    (folder / "curves.md").write_text(text, encoding="utf-8")
    figures = {
        f"{name}.{row['arm']}".replace(" ", "_"): float(row["epochs"])
        for name, table in tables.items()
        for _, row in table.iterrows()
    }
    return Report(text, shown, figures)


def _measures(study: pd.DataFrame) -> dict[str, Any]:
    first = study.iloc[0]
    in_all = int(first["budget"] * first["max_epochs"])
    reached = study[(study["value"] <= first["target"]) & (study["epochs"] <= in_all)]
    third = study[study["epochs"] <= in_all / 3]
    within = study[study["epochs"] <= in_all]
    return {
        **{name: first[name] for name in ("family", "problem", "arm", "seed")},
        "epochs": float(reached["epochs"].min()) if len(reached) else float(in_all),
        "seconds": float(reached["seconds"].min() if len(reached) else study["seconds"].max()),
        "solved": bool(len(reached)),
        "regret after a third": _lowest(third),
        "regret": _lowest(within),
    }


def _lowest(study: pd.DataFrame) -> float:
    return float(study["regret"].min()) if study["regret"].notna().any() else 1.0


def _arm_row(studies: pd.DataFrame, arm: str) -> dict[str, Any]:
    part = studies[studies["arm"] == arm]
    row: dict[str, Any] = {"arm": arm, "epochs": round(float(part["epochs"].mean()), 1)}
    row[f"x {BASE}"] = _ratio(studies, arm, "epochs")
    if studies["seconds"].notna().all():
        row[f"seconds x {BASE}"] = _ratio(studies, arm, "seconds")
    return row | {
        "solved": f"{part['solved'].mean():.0%}",
        "regret after a third": round(float(part["regret after a third"].mean()), 3),
        "regret": round(float(part["regret"].mean()), 3),
    }


def _ratio(studies: pd.DataFrame, arm: str, figure: str) -> str:
    """A mean as a share of the base's; its interval is over problems, or seeds of a single one."""
    unit = "problem" if studies["problem"].nunique() > 1 else "seed"
    means = studies.groupby([unit, "arm"])[figure].mean().unstack()
    own, base = np.asarray(means[arm]), np.asarray(means[BASE])
    low, high = ratio_interval(own, base)
    return f"{own.mean() / base.mean():.2f} [{low:.2f}, {high:.2f}]"


def _against_full(studies: pd.DataFrame) -> str:
    """On how many problems early stopping is worse than none; nothing with too few seeds."""
    if studies["seed"].nunique() < LEAST_SEEDS or studies["problem"].nunique() < 2:
        return ""
    found = [
        f"- `{arm}`, {figure}: {', '.join(worse_than_full(studies, arm, figure)) or 'none'}"
        for arm in studies["arm"].unique()
        if arm.startswith(("guided stopping", "guided racing"))
        for figure in ("epochs", "regret")
    ]
    title = f"Significantly worse than `{FULL}` (p < {SIGNIFICANT}, Holm):"
    return "\n\n".join(["", title, "\n".join(found)])


def _explained(studies: pd.DataFrame, budget: int) -> str:
    problems, n_seeds = studies["problem"].unique(), studies["seed"].nunique()
    return (
        f"{n_seeds} seeds on {', '.join(problems)}; each study spends {budget} full trainings' "
        "worth of epochs, no LLM is used. `epochs`: until a full training is one of the best 3% "
        "(LCBench and TaskSet: 1%), all if none is. Regret: 0 at the best, 1 at the median. "
        "Bootstrap 95% intervals of the ratio over problems, or over seeds where there is one "
        "problem only."
    )
