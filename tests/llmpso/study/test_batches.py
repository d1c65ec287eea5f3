"""How many trials are proposed at once, and by how many particles."""

import logging
import threading
from collections import Counter

import pytest

from llmpso import Categorical, Float, SearchSpace, minimize
from llmpso.errors import SpecError
from llmpso.study.spec import study_spec

SPACE = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})


def bowl(params) -> float:
    return params["x"] ** 2 + params["y"] ** 2


def sizes(**options) -> list[int]:
    """Trials of each iteration."""
    trials = minimize(bowl, SPACE, **options).trials
    counted = Counter(trial.iteration for trial in trials)
    return [counted[iteration] for iteration in sorted(counted)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_workers": 1}, [4, *[1] * 20]),
        ({"n_workers": 3}, [4, *[3] * 6, 2]),
        ({"n_workers": 8}, [8, 8, 8]),
        ({"n_workers": 16}, [16, 8]),
        ({"n_workers": 8, "batch": 2}, [4, *[2] * 10]),
        ({"n_workers": 2, "batch": 12}, [12, 12]),
        ({"n_workers": 8, "particles": 5}, [5, 5, 5, 5, 4]),
        ({"n_workers": 8, "particles": 12}, [12, 8, 4]),
        ({"n_workers": 8, "method": "pso"}, [8, 8, 8]),
        ({"n_workers": 4, "method": "pso"}, [6, 6, 6, 6]),
        ({"n_workers": 8, "method": "paper"}, [8, 8, 8]),
        ({"n_workers": 8, "method": "pso", "particles": 6}, [6, 6, 6, 6]),
        ({"n_workers": 8, "start": [{"x": 1.0, "y": 1.0}]}, [8, 8, 8]),
    ],
)
def test_the_batch_follows_the_workers_unless_it_is_named(options, expected) -> None:
    assert sizes(evaluations=24, **options) == [n for n in expected if n]


@pytest.mark.parametrize("method", ["guided", "pso", "paper"])
def test_all_workers_are_busy_at_once(method) -> None:
    together = threading.Barrier(8, timeout=60)

    def waits_for_the_others(params) -> float:
        together.wait()
        return bowl(params)

    result = minimize(waits_for_the_others, SPACE, evaluations=32, n_workers=8, method=method)
    assert [trial.failure for trial in result.trials] == [None] * 32


@pytest.mark.parametrize("n_workers", [1, 2, 8, 16])
@pytest.mark.parametrize("budget", [1, 3, 5])
def test_more_workers_than_budget_spend_the_budget_alone(n_workers, budget) -> None:
    result = minimize(bowl, SPACE, evaluations=budget, n_workers=n_workers)
    assert [trial.number for trial in result.trials] == list(range(budget))


@pytest.mark.parametrize("method", ["guided", "pso", "paper"])
def test_more_workers_than_configurations_try_each_once(method) -> None:
    space = SearchSpace({"kind": Categorical(("a", "b", "c"))})
    result = minimize(lambda p: ord(p["kind"]), space, evaluations=20, n_workers=8, method=method)
    assert sorted(trial.params["kind"] for trial in result.trials) == ["a", "b", "c"]
    assert result.stop_reason == "exhausted"


def test_named_batch_and_swarm_make_the_same_trials_with_any_number_of_workers() -> None:
    def reported(n_workers: int) -> list[tuple[object, float | None]]:
        shape = {"batch": 2, "particles": 4, "synchronous": True, "n_workers": n_workers}
        result = minimize(bowl, SPACE, evaluations=20, seed=3, **shape)
        return [(trial.params, trial.value) for trial in result.trials]

    assert reported(1) == reported(2) == reported(8)


def test_a_study_of_two_workers_is_the_one_with_a_batch_of_two() -> None:
    by_workers = minimize(bowl, SPACE, evaluations=16, n_workers=2, synchronous=True)
    by_name = minimize(bowl, SPACE, evaluations=16, batch=2)
    assert [t.params for t in by_workers.trials] == [t.params for t in by_name.trials]


@pytest.mark.parametrize("can_pause", [False, True])
def test_as_many_trainings_are_under_way_as_there_are_workers(can_pause) -> None:
    """More would be proposed with less knowledge."""
    for n_workers in (1, 2, 8):
        assert study_spec(can_pause=can_pause, n_workers=n_workers).n_at_once == n_workers
    assert study_spec(can_pause=can_pause, n_workers=8, batch=3).n_at_once == 3


def test_workers_that_a_named_swarm_leaves_idle_are_reported(caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="llmpso"):
        minimize(bowl, SPACE, evaluations=4, n_workers=8)
        assert not caplog.messages
        minimize(bowl, SPACE, evaluations=4, n_workers=8, particles=4)
    assert caplog.messages == ["4 of 8 workers stay idle: only 4 particles move together"]


@pytest.mark.parametrize("name", ["batch", "n_workers"])
@pytest.mark.parametrize("number", [0, -1])
def test_no_batch_and_no_worker_are_refused(name, number) -> None:
    with pytest.raises(SpecError, match=f"{name} is {number}; it must be at least 1"):
        minimize(bowl, SPACE, evaluations=4, **{name: number})
