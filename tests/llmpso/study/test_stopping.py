"""Whichever limit is reached first ends a study, and the result says which."""

import json
import time

import pytest

from llmpso import Advisor, Float, SearchSpace, StopReason, Task, minimize
from llmpso.backends.base import Reply, Request
from llmpso.errors import SpecError
from llmpso.options import StopOptions
from scripted_backend import ScriptedBackend

SPACE = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})


def bowl(params) -> float:
    return params["x"] ** 2 + params["y"] ** 2


def answer(request: Request) -> Reply:
    """Two valid particles, others each time."""
    n = len(request.messages[1].content)
    items = [
        {"position": {"x": n / 1e5 + k, "y": 1.0}, "velocity": {"x": 0.1, "y": 0.0}}
        for k in range(2)
    ]
    return Reply(json.dumps({"suggestions": items}), 100, 20, seconds=0.0)


def advised(**limit: int):
    advisor = Advisor(ScriptedBackend(answer), Task("a bowl", "height"))
    return minimize(bowl, SPACE, evaluations=600, method="paper", advisor=advisor, **limit)


def test_a_value_that_is_good_enough_ends_a_study() -> None:
    result = minimize(bowl, SPACE, evaluations=600, method="pso", stop_at=0.5)
    assert result.stop_reason is StopReason.TARGET
    assert result.best.value <= 0.5
    assert all(trial.value > 0.5 for trial in result.trials[:-6])


def test_patience_counts_evaluations_since_the_best() -> None:
    result = minimize(lambda p: 1.0, SPACE, evaluations=600, method="pso", patience=12)
    assert result.stop_reason is StopReason.PATIENCE
    assert result.best.number == 0
    assert len(result.trials) == 18


def test_the_time_ends_a_study_between_batches() -> None:
    result = minimize(
        lambda p: time.sleep(0.01) or bowl(p),
        SPACE,
        evaluations=600,
        method="pso",
        max_seconds=0.1,
    )
    assert result.stop_reason is StopReason.SECONDS
    assert 6 <= len(result.trials) < 600
    assert len(result.trials) % 6 == 0


def test_calls_and_tokens_end_a_study() -> None:
    calls = advised(max_llm_calls=3)
    assert calls.stop_reason is StopReason.LLM_CALLS
    assert len(calls.calls) == 3
    tokens = advised(max_llm_tokens=200)
    assert tokens.stop_reason is StopReason.LLM_TOKENS
    assert len(tokens.calls) == 2


def test_calls_answered_by_a_cache_cost_nothing() -> None:
    def cached(request: Request) -> Reply:
        reply = answer(request)
        return Reply(reply.text, 100, 20, seconds=0.0, cached=True)

    advisor = Advisor(ScriptedBackend(cached), Task("a bowl", "height"))
    result = minimize(
        bowl, SPACE, evaluations=30, method="paper", advisor=advisor, max_llm_calls=1
    )
    assert result.stop_reason is StopReason.BUDGET
    assert len(result.calls) > 1


def test_the_last_evaluation_may_also_reach_the_target() -> None:
    result = minimize(lambda p: 0.0, SPACE, evaluations=6, method="pso", stop_at=0.0)
    assert result.stop_reason is StopReason.TARGET


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"max_seconds": 0}, "max_seconds is 0; it must be greater than 0"),
        ({"patience": -1}, "patience is -1; it must be at least 1"),
        ({"max_llm_calls": 0}, "max_llm_calls is 0; it must be at least 1"),
        ({"max_llm_tokens": float("nan")}, "max_llm_tokens is nan; it must be a finite number"),
        ({"stop_at": float("inf")}, "stop_at is inf; it must be a finite number"),
    ],
)
def test_what_is_no_limit_is_refused(limit, message) -> None:
    with pytest.raises(SpecError) as caught:
        StopOptions(**limit)
    assert str(caught.value) == message


def test_history_is_for_the_guided_search_alone() -> None:
    history = [({"x": float(x), "y": 0.0}, float(x)) for x in range(4)]
    with pytest.raises(SpecError, match="history needs the method 'guided'; it is 'pso'"):
        minimize(bowl, SPACE, evaluations=6, method="pso", history=tuple(history))
    result = minimize(bowl, SPACE, evaluations=6, method="guided", history=tuple(history))
    assert any(trial.source == "history" for trial in result.trials)


def test_failures_end_a_study_with_what_it_has() -> None:
    def fails_on_the_left(params) -> float:
        if params["x"] < 0:
            raise RuntimeError("left")
        return bowl(params)

    result = minimize(fails_on_the_left, SPACE, evaluations=600, method="pso", max_failures=3)
    assert result.stop_reason is StopReason.FAILURES
    assert sum(trial.failure is not None for trial in result.trials) >= 3
    assert result.best.value == min(t.value for t in result.trials if t.value is not None)
