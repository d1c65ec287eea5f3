"""A study of two goals in the whole product: trials, runs, front, pages, choice, resuming."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from flows.display.prefect_page import leaderboard
from flows.refit import (
    Arms,
    Refit,
    compare_arms,
    compare_with_serving,
    reason_not_to_refresh,
    reason_to_keep,
    reason_to_promote,
)
from flows.retune_plan import RetuneOptions
from flows.tune import tune
from flows.tune_plan import TuneOptions, prepare
from llmpso.errors import SpecError
from llmpso.goals import Goals
from llmpso.objectives.held_out import HeldOut
from llmpso.retuning.promotion import Rule, compare_refits
from llmpso.trial import Evaluation, Source, Trial
from tasks.records.stored_study import stored_study

SOURCE = '''
import torch
from llmpso import Evaluation


def train(params):
    """A network whose error falls as it grows."""
    with open("{counted}", "a") as file:
        file.write(".")
    units = params["units"]
    if params["rate"] > 0.9:
        return Evaluation(values={"error": 1.0, "megabytes": float("nan")})
    values = {"error": 1 / units + params["rate"], "megabytes": units / 4}
    return Evaluation(values=values, model=torch.nn.Linear(1, 1, device="cpu"))
'''

SPACE = """
units: {type: float, low: 1.0, high: 10.0}
rate: {type: float, low: 0.0, high: 1.0}
"""


@pytest.fixture
def sized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / "two_goals.py").write_text(SOURCE.replace("{counted}", str(tmp_path / "counted")))
    (tmp_path / "two_goals.yaml").write_text(SPACE)
    monkeypatch.syspath_prepend(tmp_path)
    return {"objective": "two_goals:train", "space_file": str(tmp_path / "two_goals.yaml")}


def test_two_goals_pass_through_everything(
    prefect_server, mlflow_store, sized: dict[str, str], tmp_path: Path
) -> None:
    asked = sized | {"advisor": "none", "goals": "error,megabytes", "choose": "megabytes <= 1"}
    tune(**asked, evaluations=10)
    summary = tune(**asked, evaluations=16)
    sys.modules.pop("two_goals", None)
    assert len((tmp_path / "counted").read_text()) == 16
    assert list(summary.goals) == ["error", "megabytes"]
    assert summary.goals["megabytes"] <= 1
    assert summary.best_value == summary.goals["error"]
    assert summary.best_number in [row["number"] for row in summary.front]
    assert summary.model

    client = MlflowClient()
    runs = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.mlflow.parentRunId = '{summary.run_id}'",
        output_format="list",
    )
    complete = [run for run in runs if run.data.tags["state"] == "complete"]
    assert len(complete) == 16 - summary.failed
    for run in complete:
        units, rate = float(run.data.params["units"]), float(run.data.params["rate"])
        assert run.data.metrics["megabytes"] == units / 4
        assert run.data.metrics["value"] == run.data.metrics["error"] == 1 / units + rate
    for run in runs:
        if run.data.tags["state"] == "failed":
            assert run.data.tags["failure_message"] == "the objective returned megabytes = nan"
    study = client.get_run(summary.run_id)
    assert study.data.metrics["front"] == len(summary.front)
    note = study.data.tags["mlflow.note.content"]
    assert "| error | megabytes | trial |" in note
    assert "in bold, by `megabytes <= 1`:" in note
    files = {file.path for file in client.list_artifacts(summary.run_id, "figures")}
    assert "figures/front.png" in files
    exported = stored_study(mlflow_store, summary.run_id)
    assert [len(t.values) for t in exported.trials if t.value is not None] == [2] * len(complete)
    assert json.dumps(summary.record())


def test_another_choice_trains_nothing_and_is_shown_everywhere(
    prefect_server, mlflow_store, sized: dict[str, str], tmp_path: Path
) -> None:
    asked = sized | {"advisor": "none", "goals": "error,megabytes", "evaluations": 8}
    at_knee = tune(**asked)
    other = next(row for row in at_knee.front if row["number"] != at_knee.best_number)
    limit = f"megabytes <= {other['values']['megabytes']!r}"
    chosen = tune(**asked, choose=limit)
    sys.modules.pop("two_goals", None)
    assert chosen.run_id == at_knee.run_id
    assert len((tmp_path / "counted").read_text()) == 8
    assert chosen.best_number == other["number"]
    shown = stored_study(mlflow_store, chosen.run_id)
    assert shown.goals.choose == limit
    assert shown.best is not None
    assert shown.best.number == chosen.best_number


def test_goals_are_refused_where_there_is_one_value(sized: dict[str, str], mlflow_store) -> None:
    for options, message in (
        ({"objective": "rastrigin", "goals": ["a", "b"]}, "names of several values; 'rastrigin'"),
        (
            {"objective": "lstm", "goals": ["size"]},
            "must be one of: error, latency_ms, parameters",
        ),
        (sized | {"goals": ["a", "b"], "racing": True}, "racing compares"),
        (sized | {"choose": "a < 1"}, "several goals; name these"),
    ):
        with pytest.raises(SpecError, match=message):
            prepare(TuneOptions(**options, advisor="none"))


def test_the_leaderboard_of_several_goals_is_their_front() -> None:
    asked = Trial(0, {"x": 0.1}, Source.SWARM, 0, 0, 0, goals=("error", "size"))
    trials = [
        replace(asked, number=number).completed(Evaluation(values=values), 0.0)
        for number, values in enumerate(
            [{"error": 1, "size": 3}, {"error": 2, "size": 4}, {"error": 2, "size": 2}]
        )
    ]
    rows = leaderboard(trials, "metric")
    assert [(row["trial"], row["size"]) for row in rows] == [(0, "3"), (2, "2")]


def refits(error: float, size: float) -> tuple[Refit, ...]:
    losses = HeldOut(np.random.default_rng(0).normal(error, 0.01, 200))
    asked = Trial(0, {"x": 0.1}, Source.REFIT, 0, 0, 0, goals=("error", "size"))
    measured = asked.completed(Evaluation(values={"error": error, "size": size}), 0.0)
    return tuple(Refit(replace(measured, number=n), losses) for n in range(3))


@pytest.mark.parametrize(
    ("rule", "champion", "challenger", "kept"),
    [
        ("knee", (1.0, 4.0), (1.1, 2.0), ""),
        ("knee", (1.0, 4.0), (0.9, 8.0), "worse (product of all goals"),
        ("size <= 5", (1.0, 2.0), (0.9, 4.0), ""),
        ("size <= 5", (1.0, 4.0), (1.1, 2.0), "worse (error"),
        ("size <= 5", (1.0, 4.0), (0.5, 6.0), "the challenger is not within 'size <= 5' (error"),
        ("size <= 5", (1.0, 6.0), (1.1, 4.0), ""),
    ],
)
def test_retuning_compares_by_the_rule(
    rule: str, champion: tuple[float, float], challenger: tuple[float, float], kept: str
) -> None:
    arms = Arms(refits(*champion), refits(*challenger), Goals(("error", "size"), rule))
    verdict = compare_arms(arms, Rule())
    reason = reason_to_keep(arms, verdict, None)
    assert kept in reason
    assert bool(kept) == bool(reason)
    if champion[1] > 5 and rule != "knee":
        assert reason_to_promote(arms, verdict).startswith("the champion is not within")


@pytest.mark.parametrize(
    ("error", "size", "reason"),
    [
        (0.5, 4.0, ""),
        (0.5, 6.0, "trained again on the newest data, is not within 'size <= 5' (error 0.5, size"),
        (1.1, 2.0, "worse than the version that serves (error 1.1 against 1;"),
    ],
)
def test_a_champion_is_refreshed_by_its_error_within_the_limit(
    error: float, size: float, reason: str
) -> None:
    (serving, *_) = refits(1.0, 4.0)
    plan = SimpleNamespace(serving_losses=serving.held_out, options=RetuneOptions())
    refresh = Arms(refits(error, size), (), Goals(("error", "size"), "size <= 5")).refresh
    verdict = compare_with_serving(plan, refresh)
    assert (verdict.is_product, verdict.others) == (False, ())
    found = reason_not_to_refresh(refresh, verdict)
    assert reason in found
    assert bool(reason) == bool(found)


def test_a_champion_is_not_refreshed_by_a_refit_that_is_no_better_than_what_serves() -> None:
    serving = HeldOut(np.random.default_rng(0).normal(1.0, 0.01, 200))
    good, awful = refits(0.1, 1.0), refits(1.2, 1.0)[0]
    chosen = replace(awful, trial=replace(awful.trial, value=0.01))
    refresh = Arms((chosen, *good), ()).refresh
    verdict = compare_refits(serving, [r.held_out for r in good], Rule())
    assert verdict.is_win
    found = reason_not_to_refresh(refresh, verdict)
    assert "yet the refit that would serve is not (error 1.2 against 1)" in found


def test_a_champion_that_is_over_its_limit_by_chance_is_not_replaced_by_a_worse_model() -> None:
    champion, challenger = (
        tuple(refits(error, size)[n] for n, size in enumerate(sizes))
        for error, sizes in ((1.0, (4.2, 5.0, 5.9)), (1.5, (4.1, 5.0, 5.8)))
    )
    arms = Arms(champion, challenger, Goals(("error", "size"), "size <= 5"))
    assert "worse (error" in reason_to_keep(arms, compare_arms(arms, Rule()), None)
