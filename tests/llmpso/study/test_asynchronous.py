"""Workers that wait for nobody: each takes the next configuration as soon as it is free."""

import itertools
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from llmpso import Evaluation, Float, Integer, SearchSpace, minimize, report
from llmpso.study.stopping import StopReason
from llmpso.trial import TrialState

SPACE = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})


def bowl(params) -> float:
    return params["x"] ** 2 + params["y"] ** 2


class Resumed:
    """A bowl in four rungs, with its trainings counted."""

    space = SPACE

    def __init__(self) -> None:
        self.parts: list[float] = []

    def evaluate(self, params, *, fidelity: float, seed: int) -> Evaluation:
        return Evaluation(bowl(params) + 1 - fidelity)

    def train_to(self, params, *, fidelity: float, seed: int, checkpoint: Path) -> Evaluation:
        before = float(checkpoint.read_text()) if checkpoint.exists() else 0.0
        self.parts.append(fidelity - before)
        checkpoint.write_text(str(fidelity))
        return self.evaluate(params, fidelity=fidelity, seed=seed)


def test_no_worker_waits_for_a_long_training() -> None:
    others_are_done = threading.Event()
    others: list[float] = []

    begun = itertools.count()

    def one_is_long(params) -> float:
        if next(begun) == 5:
            assert others_are_done.wait(60)
        else:
            others.append(bowl(params))
            if len(others) == 15:
                others_are_done.set()
        return bowl(params)

    result = minimize(one_is_long, SPACE, evaluations=16, n_workers=3)
    assert [trial.failure for trial in result.trials] == [None] * 16


def test_synchronous_studies_repeat_whatever_ends_first() -> None:
    def study(slow: int) -> list[tuple]:
        begun = itertools.count()

        def paced(params) -> float:
            time.sleep(0.005 * (next(begun) % 3 == slow))
            return bowl(params)

        found = minimize(paced, SPACE, evaluations=16, n_workers=3, synchronous=True)
        return [(trial.params, trial.value) for trial in found.trials]

    assert study(0) == study(1) == study(2)


def test_configurations_are_never_repeated_and_all_are_counted() -> None:
    result = minimize(bowl, SPACE, evaluations=40, n_workers=4)
    assert [trial.number for trial in result.trials] == list(range(40))
    assert len({SPACE.key(trial.params) for trial in result.trials}) == 40
    assert result.best.value is not None
    assert result.best.value < 0.1


def test_iterations_are_as_large_as_the_workers_are_many() -> None:
    trials = minimize(bowl, SPACE, evaluations=24, n_workers=4).trials
    assert Counter(trial.iteration for trial in trials) == dict.fromkeys(range(6), 4)


def test_a_limit_lets_those_under_way_end() -> None:
    gate = threading.Barrier(3, timeout=60)

    begun = itertools.count()

    def together(params) -> float:
        if next(begun) < 3:
            gate.wait()
        time.sleep(0.01)
        return bowl(params)

    result = minimize(together, SPACE, evaluations=500, n_workers=3, stop_at=1e9)
    assert result.stop_reason is StopReason.TARGET
    assert all(trial.state is TrialState.COMPLETE for trial in result.trials)
    assert len(result.trials) <= 4


def test_a_finite_space_ends_the_study() -> None:
    space = SearchSpace({"a": Integer(1, 3), "b": Integer(1, 3)})
    result = minimize(lambda p: float(p["a"] + p["b"]), space, evaluations=50, n_workers=4)
    assert result.stop_reason is StopReason.EXHAUSTED
    assert len(result.trials) == 9


def test_trainings_that_pause_spend_the_budget_and_not_more_than_one_training_each() -> None:
    objective = Resumed()
    result = minimize(objective, SPACE, evaluations=10, n_workers=4, racing=True)
    assert 10 <= sum(objective.parts) < 10 + 4
    assert {trial.state for trial in result.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert sum(trial.fidelity for trial in result.trials) == pytest.approx(sum(objective.parts))


def test_the_last_training_of_a_small_budget_is_a_full_one() -> None:
    result = minimize(Resumed(), SPACE, evaluations=1, n_workers=4, racing=True)
    assert [trial.state for trial in result.trials] == [TrialState.COMPLETE]
    result = minimize(Resumed(), SPACE, evaluations=2, n_workers=8, racing=True)
    assert any(trial.state is TrialState.COMPLETE for trial in result.trials)


def test_a_training_that_reports_is_limited_by_what_ended_before() -> None:
    def trained(params) -> float:
        for epoch in range(1, 33):
            report(epoch, bowl(params) + 1 / epoch)
        return bowl(params)

    result = minimize(trained, SPACE, evaluations=24, n_workers=3, racing=True)
    states = Counter(trial.state for trial in result.trials)
    # Which ones depends on what ended first.
    assert states[TrialState.PRUNED] > 2
    assert states[TrialState.COMPLETE] > 2
