"""Whichever limit is reached first ends a study, and the result says which."""

import json
import random
import time

import pytest

from llmpso import Advisor, Float, SearchSpace, StopReason, Task, minimize
from llmpso.backends.base import Reply, Request
from llmpso.errors import SpecError
from llmpso.memory.past_study import PastStudy, PastTrial
from llmpso.options import StopOptions
from llmpso.search.optimizer import Outlook
from llmpso.study.stopping import SHARE_OF_NOISE, Foresight, StopConditions
from llmpso.token_prices import TokenPrice
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


def advised(price: TokenPrice | None = None, **limit: float):
    advisor = Advisor(ScriptedBackend(answer), Task("a bowl", "height"), price=price)
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


def noisy(params) -> float:
    """A bowl whose height is known to a tenth."""
    return bowl(params) + 0.1 * random.Random(str(params)).gauss(0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_study_ends_by_itself_when_nothing_more_is_expected(seed) -> None:
    result = minimize(noisy, SPACE, evaluations=150, patience="auto", seed=seed)
    assert result.stop_reason is StopReason.NO_GAIN
    assert Foresight().least <= len(result.trials) < 150
    assert bowl(result.best.params) < 0.5
    assert result.outlook is not None
    assert result.outlook.gain < SHARE_OF_NOISE * result.outlook.noise


def test_it_takes_some_trials_in_a_row_of_which_nothing_is_expected() -> None:
    trials = minimize(bowl, SPACE, evaluations=40).trials
    little, much = Outlook(0.01, 1.0), Outlook(0.2, 1.0)
    meter = StopConditions(StopOptions(patience="auto"))
    reasons = [meter.reached(trials[:n], much if n <= 14 else little) for n in range(1, 25)]
    first = 1 + reasons.index(StopReason.NO_GAIN)
    assert first == 14 + Foresight().n_hopeless
    without = StopConditions(StopOptions())
    assert all(without.reached(trials[:n], little) is None for n in range(10, 20))


def test_a_model_that_was_tuned_before_is_searched_for_what_would_be_promoted() -> None:
    trials = minimize(lambda p: 10 + bowl(p), SPACE, evaluations=20).trials
    best = min(trial.value for trial in trials)

    def n_until_the_end(foresight: Foresight, gain: float) -> int | None:
        meter = StopConditions(StopOptions(patience="auto"), foresight=foresight)
        reached = (meter.reached(trials[:n], Outlook(gain, noise=1e-6)) for n in range(1, 21))
        return next((n for n, reason in enumerate(reached, 1) if reason), None)

    gain = 0.9 * SHARE_OF_NOISE * 0.02 * best
    assert n_until_the_end(Foresight.again(0.02), gain) == 5
    assert n_until_the_end(Foresight.again(0.01), gain) is None
    assert n_until_the_end(Foresight.again(0.0), gain) is None
    assert n_until_the_end(Foresight(), gain) is None
    assert n_until_the_end(Foresight(), 0.0) == 10


def test_only_a_surrogate_can_say_that_nothing_more_is_expected() -> None:
    with pytest.raises(SpecError, match="patience is 'auto', which needs the method 'guided'"):
        minimize(bowl, SPACE, evaluations=10, method="pso", patience="auto")


@pytest.mark.parametrize("patience", [0, -1, "soon"])
def test_another_patience_is_refused(patience) -> None:
    with pytest.raises(SpecError, match=f"patience is {patience!r}"):
        StopOptions(patience=patience)


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


def test_money_ends_a_study() -> None:
    priced = advised(price=TokenPrice(1e4, 1e4), max_llm_cost=2.0)
    assert priced.stop_reason is StopReason.LLM_COST
    assert len(priced.calls) == 2
    with pytest.raises(SpecError, match="max_llm_cost is 2.0, but the price of 'scripted' is not"):
        advised(max_llm_cost=2.0)


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
        ({"patience": -1}, "patience is -1; it must be at least 1, or 'auto'"),
        ({"max_llm_calls": 0}, "max_llm_calls is 0; it must be at least 1"),
        ({"max_llm_tokens": float("nan")}, "max_llm_tokens is nan; it must be a finite number"),
        ({"stop_at": float("inf")}, "stop_at is inf; it must be a finite number"),
    ],
)
def test_what_is_no_limit_is_refused(limit, message) -> None:
    with pytest.raises(SpecError) as caught:
        StopOptions(**limit)
    assert str(caught.value) == message


def test_memory_is_refused_by_plain_pso() -> None:
    trials = tuple(PastTrial(params={"x": float(x), "y": 0.0}, value=float(x)) for x in range(4))
    past = PastStudy(name="earlier", reference="run", trials=trials)
    with pytest.raises(SpecError, match="method is 'pso', which does not use a memory"):
        minimize(bowl, SPACE, evaluations=6, method="pso", memory=[past])
    result = minimize(bowl, SPACE, evaluations=6, memory=[past])
    assert any(trial.source == "memory" for trial in result.trials)


def test_failures_end_a_study_with_what_it_has() -> None:
    def fails_on_the_left(params) -> float:
        if params["x"] < 0:
            raise RuntimeError("left")
        return bowl(params)

    result = minimize(fails_on_the_left, SPACE, evaluations=600, method="pso", max_failures=3)
    assert result.stop_reason is StopReason.FAILURES
    assert sum(trial.failure is not None for trial in result.trials) >= 3
    assert result.best.value == min(t.value for t in result.trials if t.value is not None)
