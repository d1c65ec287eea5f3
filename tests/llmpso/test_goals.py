"""Several goals of a study, from what an objective returns to which one of the front is chosen."""

import math
import re
from typing import Any

import numpy as np
import pytest

from llmpso import Evaluation, Float, LLMPSOError, SearchSpace, Trial, minimize
from llmpso.advisor.prompt import Task
from llmpso.advisor.start_question import start_question
from llmpso.goals import Goals, enters_front
from llmpso.improvements import improvements
from llmpso.pages.study_charts import study_charts
from llmpso.running.pending_records import trial_of, trial_record
from llmpso.study.result import StudyResult
from llmpso.trial import FailureKind, Source, TrialState

SPACE = SearchSpace({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
NAMES = ("error", "size")


def errs(params: dict[str, float]) -> Evaluation:
    """A front along x from 0.2 to 0.8, where y is 0."""
    return Evaluation(
        values={
            "error": (params["x"] - 0.2) ** 2 + params["y"],
            "size": (params["x"] - 0.8) ** 2 + params["y"],
        }
    )


def asked(number: int = 0) -> Trial:
    return Trial(number, {"x": 0.1, "y": 0.2}, Source.SWARM, 0, 0, 0, goals=NAMES)


def measured(*rows: tuple[float, float]) -> list[Trial]:
    return [
        asked(number).completed(Evaluation(values=dict(zip(NAMES, row, strict=True))), 0.0)
        for number, row in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def result() -> StudyResult:
    return minimize(errs, SPACE, goals=NAMES, evaluations=30)


def test_a_study_finds_a_front_and_its_knee(result: StudyResult) -> None:
    front = [list(trial.values.values()) for trial in result.front]
    assert len(front) >= 6
    assert [row[0] for row in front] == sorted(row[0] for row in front)
    assert [row[1] for row in front] == sorted((row[1] for row in front), reverse=True)
    assert min(row[0] for row in front) < 0.02
    assert min(row[1] for row in front) < 0.05
    assert result.best in result.front
    assert abs(result.best.params["x"] - 0.5) < 0.2
    assert result.best.value == result.best.values["error"] == result.best.metrics["error"]
    assert result.outlook is None
    improved = {trial.number for trial in improvements(result.trials)}
    assert improved >= {trial.number for trial in result.front} - {0}


def test_the_same_seed_gives_the_same_study(result: StudyResult) -> None:
    again = minimize(errs, SPACE, goals=NAMES, evaluations=30)
    assert [trial.params for trial in again.trials] == [trial.params for trial in result.trials]


def test_a_limit_chooses_the_lowest_first_goal_within_it(result: StudyResult) -> None:
    chosen = Goals(NAMES, "size <= 0.1").chosen(result.trials)
    within = [trial for trial in result.trials if trial.values["size"] <= 0.1]
    assert chosen == min(within, key=lambda trial: trial.value or 0.0)
    with pytest.raises(LLMPSOError, match=r"'size < 0', which no trial satisfies.*choose"):
        Goals(NAMES, "size < 0").chosen(result.trials)


def test_three_goals_workers_and_failures_are_searched_together() -> None:
    def measures(params: dict[str, float]) -> Evaluation:
        if params["x"] > 0.9:
            raise ValueError("too large")
        return Evaluation(values=dict(errs(params).values) | {"y": 1 - params["y"]})

    found = minimize(
        measures, SPACE, goals=(*NAMES, "y"), evaluations=20, n_workers=2, patience=15
    )
    assert len(found.best.values) == 3
    assert len(found.front) > 5


def test_a_front_keeps_the_earliest_of_equals() -> None:
    trials = measured((1.0, 3.0), (2.0, 2.0), (1.0, 3.0), (2.0, 3.0), (3.0, 1.0))
    assert [trial.number for trial in Goals(NAMES).front(reversed(trials))] == [0, 1, 4]
    assert [enters_front(trial, trials[:at]) for at, trial in enumerate(trials)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert Goals().front(trials) == []


def test_values_keep_the_order_of_the_goals_and_survive_their_record() -> None:
    trial = asked().completed(Evaluation(values={"size": 2, "error": np.float32(0.5)}), 1.0)
    assert (trial.value, dict(trial.values)) == (0.5, {"error": 0.5, "size": 2.0})
    assert trial_of(trial_record(trial)) == trial


@pytest.mark.parametrize(
    ("evaluation", "kind", "message"),
    [
        (Evaluation(values={"error": 0.1, "size": math.nan}), FailureKind.NAN, "size = nan"),
        (Evaluation(math.nan), FailureKind.NAN, "returned nan"),
        (
            Evaluation(0.1),
            FailureKind.EXCEPTION,
            "one value without a name; the study has the goals",
        ),
        (
            Evaluation(values={"error": 0.1, "time": 2.0}),
            FailureKind.EXCEPTION,
            "goals error, time;",
        ),
        (
            Evaluation(values={"error": 1, "size": 2, "c": 3}),
            FailureKind.EXCEPTION,
            "error, size, c",
        ),
    ],
)
def test_what_is_no_result_fails_with_the_name(
    evaluation: Evaluation, kind: FailureKind, message: str
) -> None:
    trial = asked().completed(evaluation, 0.0)
    assert (trial.state, trial.value, dict(trial.values)) == (TrialState.FAILED, None, {})
    assert trial.failure is not None
    assert trial.failure.kind is kind
    assert message in trial.failure.message


def test_a_study_of_one_goal_refuses_values() -> None:
    with pytest.raises(LLMPSOError, match="goals error, size; the study has one value"):
        _ = minimize(errs, SPACE, evaluations=8).best
    with pytest.raises(ValueError, match=r"value is 0.3 beside values"):
        Evaluation(0.3, values={"error": 0.2, "size": 1.0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"goals": ["error"]}, "two or three"),
        ({"goals": ["a", "b", "c", "d"]}, "two or three"),
        ({"goals": ["a", "a"]}, "named once"),
        ({"goals": ["a", " "]}, "must be text"),
        (
            {"goals": NAMES, "choose": "time < 3"},
            "choose is 'time < 3'; it must be 'knee', or",
        ),
        ({"choose": "size < 3"}, "several goals; name these"),
        ({"goals": NAMES, "racing": True}, "racing compares trainings by one value"),
        ({"goals": NAMES, "method": "pso"}, "need the method 'guided'"),
        ({"goals": NAMES, "stop_at": 0.1}, "stop_at is 0.1"),
        ({"goals": NAMES, "patience": "auto"}, "patience is 'auto'"),
    ],
)
def test_bad_input_is_refused_before_training(options: dict[str, Any], message: str) -> None:
    def never(params: dict[str, float]) -> float:
        raise AssertionError("it was trained")

    with pytest.raises(LLMPSOError, match=message):
        minimize(never, SPACE, evaluations=5, **options)


def test_only_a_prompt_of_several_goals_tells_the_trade_off() -> None:
    def text(goals: tuple[str, ...]) -> str:
        return start_question(Task("A network.", "RMSE", goals), SPACE).messages[1].content

    assert "We minimise: RMSE. Lower is better.\n" in text(())
    several = text(("error", "latency_ms"))
    assert "several goals together: error (RMSE) and latency_ms." in several
    assert "good in error and not costly in latency_ms." in several


def test_a_notebook_shows_the_chosen_one_and_the_front_first(result: StudyResult) -> None:
    table = result._repr_html_().rpartition("<table")[2]
    shown = [int(number) for number in re.findall(r"<tr><td[^>]*>(\d+)<", table)]
    front = [trial.number for trial in result.front if trial.number != result.best.number]
    assert shown == [result.best.number, *front, *shown[1 + len(front) :]][:10]


def test_the_front_is_drawn(result: StudyResult) -> None:
    charts = {chart.name: chart for chart in study_charts(result.trials, SPACE, "e", result.best)}
    marks = charts["front"].panels[0].marks
    names = {getattr(mark, "name", ""): mark for mark in marks}
    assert len(names["front"].x) == len(result.front)
    assert names["chosen"].x == [result.best.values["error"]]
