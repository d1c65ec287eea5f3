"""What every optimizer must do, whatever it proposes."""

import json
import math
from collections.abc import Callable

import pytest

from llmpso import (
    PSO,
    Advisor,
    Categorical,
    Evaluation,
    Float,
    Integer,
    PaperPSO,
    SearchSpace,
    Task,
)
from llmpso.backends.base import Request
from llmpso.backends.scripted import ScriptedBackend
from llmpso.errors import SpaceError, SpecError, TellError
from llmpso.pso import Optimizer
from llmpso.trial import Failure, FailureKind, Source, Trial

MIXED = SearchSpace(
    {
        "rate": Float(1e-4, 1e-1, log=True),
        "layers": Integer(1, 3),
        "cell": Categorical(["lstm", "gru"]),
    }
)
FINITE = SearchSpace({"a": Integer(1, 4), "b": Categorical(["x", "y", "z"])})


def centre(request: Request) -> str:
    """A model that always names the middle of every range."""
    items = request.schema["properties"]["suggestions"]["items"]["properties"]
    position = {name: _middle(rule) for name, rule in items["position"]["properties"].items()}
    one = {"position": position, "velocity": dict.fromkeys(position, 1.0)}
    return json.dumps({"suggestions": [one] * 2})


def _middle(rule: dict) -> object:
    if "enum" in rule:
        return rule["enum"][0]
    middle = (rule["minimum"] + rule["maximum"]) / 2
    return int(middle) if rule["type"] == "integer" else middle


def make_paper(space: SearchSpace, **options) -> PaperPSO:
    return PaperPSO(space, Advisor(ScriptedBackend(centre), Task("A test.", "value")), **options)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "pso": PSO,
    "pso-ring": lambda space, **options: PSO(space, topology="ring", **options),
    "paper": make_paper,
}


@pytest.fixture(params=OPTIMIZERS)
def make(request: pytest.FixtureRequest) -> Callable[..., Optimizer]:
    return OPTIMIZERS[request.param]


def value_of(trial: Trial) -> float:
    return sum(len(str(v)) if isinstance(v, str) else abs(v - 1.5) for v in trial.params.values())


def measured(trial: Trial) -> Trial:
    return trial.completed(Evaluation(value_of(trial)), 0.01)


def run(optimizer: Optimizer, iterations: int = 6) -> list[Trial]:
    trials: list[Trial] = []
    for _ in range(iterations):
        batch = [measured(trial) for trial in optimizer.ask()]
        optimizer.tell(batch)
        trials += batch
    return trials


def test_a_study_is_a_function_of_its_seed(make) -> None:
    assert run(make(MIXED, seed=4)) == run(make(MIXED, seed=4))
    assert run(make(MIXED, seed=4)) != run(make(MIXED, seed=5))


def test_every_trial_lies_in_the_space_and_is_numbered(make) -> None:
    trials = run(make(MIXED, seed=1), iterations=15)
    assert [trial.number for trial in trials] == list(range(len(trials)))
    for trial in trials:
        assert MIXED.validate(trial.params) == trial.params


def test_no_configuration_is_evaluated_twice_and_the_space_ends_cleanly(make) -> None:
    optimizer = make(FINITE, seed=2)
    trials: list[Trial] = []
    while batch := optimizer.ask():
        optimizer.tell([measured(trial) for trial in batch])
        trials += batch
    assert len({FINITE.key(trial.params) for trial in trials}) == len(trials) == FINITE.size
    assert optimizer.ask() == []


def test_trials_may_be_told_in_any_order(make) -> None:
    forward, backward = make(MIXED, seed=3), make(MIXED, seed=3)
    for _ in range(5):
        asked, again = forward.ask(), backward.ask()
        assert asked == again
        forward.tell([measured(trial) for trial in asked])
        backward.tell([measured(trial) for trial in reversed(again)])


def test_a_limit_is_kept(make) -> None:
    optimizer = make(MIXED, seed=3)
    assert len(optimizer.ask(limit=2)) == 2


def test_failures_cost_nothing_but_their_evaluation(make) -> None:
    optimizer = make(MIXED, seed=6)
    for index in range(8):
        batch = optimizer.ask()
        failure = Failure(FailureKind.NAN, "the objective returned nan")
        optimizer.tell(
            [trial.failed(failure, 0.1) for trial in batch]
            if index % 2 == 0
            else [measured(trial) for trial in batch]
        )
    assert math.isfinite(optimizer.swarm.gbest_value)


def test_a_study_of_failures_goes_on(make) -> None:
    optimizer = make(MIXED, seed=6)
    for _ in range(5):
        batch = optimizer.ask()
        assert batch
        optimizer.tell([t.failed(Failure(FailureKind.EXCEPTION, "no"), 0.1) for t in batch])


def test_start_configurations_come_first_and_exactly(make) -> None:
    start = [{"rate": 0.001, "layers": 2, "cell": "gru"}]
    first = make(MIXED, seed=1, start=start).ask()
    assert first[0].params == start[0]
    assert first[0].source is Source.START
    assert {trial.source for trial in first[1:]} == {Source.INITIAL}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_particles": 1}, SpecError, "n_particles is 1; a swarm needs at least 2"),
        ({"seed": -1}, SpecError, "seed is -1; it must be 0 or more"),
        ({"start": [{"layers": 2}]}, SpaceError, r"start\[0\]: rate is missing; cell is missing"),
        (
            {"start": [{"rate": 0.001, "layers": 2, "cell": "gru"}] * 2},
            SpaceError,
            r"start\[1\] is the same configuration as an earlier one",
        ),
        (
            {"start": [{"rate": 0.001, "layers": 2, "cell": "gru"}] * 7},
            SpecError,
            "start holds 7 configurations, more than n_particles=6",
        ),
    ],
)
def test_wrong_options_are_refused(make, options, error, message) -> None:
    with pytest.raises(error, match=message):
        make(MIXED, **options)


def test_an_unknown_topology_is_refused() -> None:
    with pytest.raises(SpecError, match="topology is 'web'; it must be one of: star, ring"):
        PSO(MIXED, topology="web")


def test_telling_what_was_not_asked_is_refused(make) -> None:
    optimizer = make(MIXED)
    batch = optimizer.ask()
    with pytest.raises(TellError, match="is still pending"):
        optimizer.tell(batch)
    with pytest.raises(TellError, match="the last ask proposed"):
        optimizer.tell([measured(trial) for trial in batch[1:]])
    with pytest.raises(TellError, match="ask was called before"):
        optimizer.ask()
