"""The paper's three scenarios: its claims beside what was measured.

Hameed et al., 2025 (arXiv 2504.14126): 20 to 60% fewer model calls than PSO at the same accuracy,
and convergence in fewer than 4 iterations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from llmpso.benchmark.report import Report, markdown, write_report
from llmpso.benchmark.results import STUDY, arm_table, reference_arm, study_measures

N_PARTICLES = 6
"""Evaluations that count as one iteration, whatever an arm calls one."""

PAPER_ITERATIONS = 4
"""The paper's studies converge in fewer."""

CLAIMS = (
    ("paper: ChatGPT-3.5, LSTM and CNN", "60%"),
    ("paper: Llama 3, LSTM", "20 to 40%"),
)
"""Fewer model calls than PSO, as the paper has it."""

MODELS = {"gpt-3.5-turbo": "openai", "llama3": "ollama"}
"""The paper's language models, and how to ask them."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of the paper's experiments."""

    name: str
    title: str
    prefixes: tuple[str, ...]
    """What the names of its problems begin with: looked up, or trained in earnest."""
    near: Callable[[pd.Series, pd.Series], pd.Series]
    """The value that is within 2% of the best, from the best and the median of a problem."""
    near_text: str


SCENARIOS = (
    Scenario(
        "rastrigin",
        "Scenario 1: Rastrigin, shifted and turned by seed, 2 to 10 dimensions",
        ("rastrigin",),
        lambda best, median: best + 0.02 * (median - best),
        "2% of the way from the minimum to the median of random points",
    ),
    Scenario(
        "surface-lstm",
        "Scenario 2: LSTM, air quality index of Delhi one day ahead",
        ("surface-lstm", "live-lstm"),
        lambda best, median: 1.02 * best,
        "an RMSE within 2% of the grid's best",
    ),
    Scenario(
        "surface-cnn",
        "Scenario 3: CNN, photographed materials",
        ("surface-cnn", "live-cnn"),
        lambda best, median: 1 - 0.98 * (1 - best),
        "an accuracy within 2% of the grid's best",
    ),
)


def write_scenarios(trials: pd.DataFrame, folder: Path, model: str | None) -> Report:
    """Evaluate each scenario by itself and write its report, into an existing folder.

    Args:
        trials: Of all scenarios.
        folder: Where tables, figures and one Markdown file per scenario go.
        model: The language model that was asked; None if none was.

    Returns:
        The three reports as one.
    """
    reports = []
    for scenario in SCENARIOS:
        of_scenario = trials[trials["problem"].str.startswith(scenario.prefixes)]
        if len(of_scenario):
            reports.append(_written(scenario, of_scenario, folder, model))
    figures = {name: value for report in reports for name, value in report.figures.items()}
    return Report(
        "\n".join(report.text for report in reports),
        "\n\n".join(report.headline for report in reports),
        figures,
    )


def _written(scenario: Scenario, trials: pd.DataFrame, folder: Path, model: str | None) -> Report:
    report = write_report(trials, scenario.name, folder)
    table = scenario_table(trials, scenario)
    table.to_csv(folder / f"{scenario.name}-scenario.csv", index=False)
    text = "\n\n".join(
        [
            f"# {scenario.title}",
            f"`near`: evaluations to {scenario.near_text}. `top 1%`: to the true best 1%, or "
            "the best alone in a small grid. `fewer`: share of the reference's evaluations that "
            "are saved, with bootstrap 95% interval; `p`: paired Wilcoxon, Holm-corrected. "
            f"`iterations`: of {N_PARTICLES} evaluations, to `near`; `under "
            f"{PAPER_ITERATIONS}`: share of studies that need fewer, as the paper says of its "
            "own. `training s`: CPU seconds of all trainings to the top 1%. An unsolved study "
            "counts its budget and one more.",
            markdown(table),
            "## What the paper says",
            markdown(claim_table(trials, scenario, model)),
            report.text.replace("# ", "## ", 1),
        ]
    )
    (folder / f"{scenario.name}.md").write_text(text, encoding="utf-8")
    figures = {f"{scenario.name}.{name}": value for name, value in report.figures.items()}
    return Report(text, f"{scenario.title}\n\n{markdown(table)}", figures)


def scenario_table(trials: pd.DataFrame, scenario: Scenario) -> pd.DataFrame:
    """One row per arm: how soon it is near the best, how soon at it, and at what cost."""
    near = _near(trials, scenario)
    near_arms, arms = _arms(near), _arms(trials)
    iterations = _iterations(near)
    table = pd.DataFrame(
        {
            "near": near_arms["evaluations"],
            "near: fewer": _fewer(near_arms),
            "near: p": near_arms["p"],
            "top 1%": arms["evaluations"],
            "top 1%: fewer": _fewer(arms),
            "top 1%: p": arms["p"],
            "unsolved": 1 - arms["solved"],
            "iterations": iterations["mean"],
            f"under {PAPER_ITERATIONS}": iterations["few"],
            "training s": _training_seconds(trials),
            "LLM s": arms["llm_seconds"],
        }
    )
    return table.dropna(axis=1, how="all").sort_values("near").reset_index(names="arm")


def claim_table(trials: pd.DataFrame, scenario: Scenario, model: str | None) -> pd.DataFrame:
    """The paper's claims, each arm's own figure, and what could not be measured."""
    fewer = _fewer(_arms(_near(trials, scenario)))
    reference = reference_arm(trials)
    rows = list(CLAIMS) if scenario.name != "rastrigin" else []
    rows += [
        (f"here: {arm}, to `near`", share) for arm, share in fewer.items() if arm != reference
    ]
    rows += [
        (f"here: {name}", f"not measured here (--advisor {advisor} --llm-model {name})")
        for name, advisor in MODELS.items()
        if model is None or not model.startswith(name)
    ]
    return pd.DataFrame(rows, columns=["who", f"fewer evaluations than {reference}"])


def _near(trials: pd.DataFrame, scenario: Scenario) -> pd.DataFrame:
    """The trials, with the value near the best as their target."""
    return trials.assign(target=scenario.near(trials["best"], trials["median"]))


def _iterations(trials: pd.DataFrame) -> pd.DataFrame:
    """Iterations to the target by arm: their mean, and the share of studies that need few."""
    studies = study_measures(trials)
    studies["mean"] = np.ceil(studies["evaluations"] / N_PARTICLES)
    studies["few"] = (studies["mean"] < PAPER_ITERATIONS).astype(float)
    return studies.groupby("arm")[["mean", "few"]].mean()


def _training_seconds(trials: pd.DataFrame) -> "pd.Series[float]":
    """CPU seconds of the trainings to the target, mean over an arm's studies; NaN if one is."""
    spent = pd.Series(
        {study: _seconds_to_target(group) for study, group in trials.groupby(STUDY, sort=False)}
    )
    by_arm = spent.groupby(level=STUDY.index("arm"))
    return by_arm.agg(lambda seconds: seconds.mean(skipna=False))


def _seconds_to_target(study: pd.DataFrame) -> float:
    """NaN where nothing was trained."""
    ordered = study.sort_values("number")
    reached = (ordered["value"] <= ordered["target"]).to_numpy()
    n_trained = int(reached.argmax()) + 1 if reached.any() else len(ordered)
    return float(ordered["training_seconds"].iloc[:n_trained].sum(skipna=False))


def _arms(trials: pd.DataFrame) -> pd.DataFrame:
    return arm_table(study_measures(trials)).set_index("arm")


def _fewer(arms: pd.DataFrame) -> "pd.Series[str]":
    """Saved share of the reference's evaluations by arm, with its interval."""
    saved = {
        arm: f"{1 - row['ratio']:.0%} [{1 - row['high']:.0%}, {1 - row['low']:.0%}]"
        for arm, row in arms.iterrows()
    }
    return pd.Series(saved, dtype=str)
