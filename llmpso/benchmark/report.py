"""The report of a benchmark: tables as Markdown and CSV, and figures, from trials alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from llmpso.benchmark.figures import draw_ratios, draw_regret
from llmpso.benchmark.results import (
    arm_table,
    pair_table,
    problem_table,
    reference_arm,
    regret_traces,
    study_measures,
)

SHARES = ("solved", "repeated", "llm_invalid")
"""Columns shown in percent."""

P_VALUES = ("p",)


@dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark comes to."""

    text: str
    """Markdown, all tables."""
    headline: str
    """Markdown, the table of the arms alone."""
    figures: Mapping[str, float]
    """Mean evaluations and ratio by arm, for a tracking server."""


def write_report(trials: pd.DataFrame, suite: str, folder: Path) -> Report:
    """Evaluate the trials of a suite and write the report into an existing folder."""
    studies, measure = study_measures(trials), measure_of(suite)
    tables = {
        "arms": arm_table(studies),
        "problems": problem_table(studies, measure),
        "pairs": pair_table(studies),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{suite}-{name}.csv", index=False)
    arms = tables["arms"]
    traces = {arm: regret_traces(trials, arm) for arm in arms["arm"]}
    draw_regret(traces, folder / f"{suite}-regret.png")
    draw_ratios(arms, reference_arm(studies), folder / f"{suite}-ratios.png")
    text = _text(suite, studies, tables, measure)
    (folder / f"{suite}.md").write_text(text, encoding="utf-8")
    return Report(text, markdown(arms), _figures(arms))


def measure_of(suite: str) -> str:
    """What problems are compared by: soon enough on real trainings, far enough on functions."""
    return "evaluations" if suite.startswith(("tables", "surface")) else "value"


def _text(
    suite: str, studies: pd.DataFrame, tables: Mapping[str, pd.DataFrame], measure: str
) -> str:
    reference, n_problems = reference_arm(studies), studies["problem"].nunique()
    n_seeds = studies["seed"].nunique()
    parts = [
        f"# {suite}: {n_problems} problems, {n_seeds} paired seeds",
        "`evaluations`: mean number until one of the true best 1% is found; an unsolved study "
        f"counts its budget and one more. `ratio`: to `{reference}`, with its bootstrap 95% "
        "interval over the pairs of problem and seed. `p`: paired Wilcoxon, Holm-corrected over "
        "the arms. `regret@n`: 0 at the best value there is, 1 at the median. `repeated`: share "
        "of evaluations of a configuration that the study had evaluated before. `llm_…`: per "
        "study; `llm_invalid`: share of calls whose reply was not wholly usable.",
        markdown(tables["arms"]),
        f"![Regret]({suite}-regret.png)\n\n![Ratios]({suite}-ratios.png)",
    ]
    if len(tables["pairs"]):
        parts += ["## Is it the language model?", markdown(tables["pairs"])]
    what = "evaluations to the best 1%" if measure == "evaluations" else "value at the budget"
    parts += [
        f"## By problem: {what}, against `{reference}`",
        "`p`: Holm-corrected over the problems of an arm. `low`, `high`: of the difference.",
        markdown(tables["problems"]),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(arms: pd.DataFrame) -> dict[str, float]:
    # MLflow takes no plus sign in the name of a metric.
    return {
        f"{row['arm'].replace('+', ' with ')}.{name}": float(row[name])
        for _, row in arms.iterrows()
        for name in ("evaluations", "ratio")
    }


def markdown(table: pd.DataFrame) -> str:
    """A table whose columns are aligned, so that it reads well as text too."""
    cells = [[*map(str, table.columns)]]
    cells += [[_cell(n, v) for n, v in row.items()] for _, row in table.iterrows()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths) for row in cells]
    rule = _line(["-" * width for width in widths], widths)
    return "\n".join([lines[0], rule, *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"


def _cell(name: Any, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if name in SHARES:
        return f"{value:.1%}"
    if name in P_VALUES:
        return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
