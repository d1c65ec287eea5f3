"""A plain function is an objective: it is given what it asks for, and judged if it can be."""

import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llmpso import Evaluation, Float, SearchSpace, minimize
from llmpso.errors import SpaceError, SpecError
from llmpso.objectives.base import DescribedObjective, Resumable, SupportsHoldOut
from llmpso.objectives.user_function import HoldOutFunction, PlainFunction, function_objective
from llmpso.trial import TrialState

if TYPE_CHECKING:
    from only_for_a_type_checker import Configuration

SPACE = SearchSpace({"x": Float(0.0, 1.0)})


def plain(params):
    """Half of x."""
    return params["x"] / 2


def seeded(params, seed, fidelity=1.0):
    return Evaluation(params["x"] + seed + fidelity, model="a model")


def test_a_function_is_called_with_what_it_asks_for() -> None:
    objective = PlainFunction(plain, SPACE)
    assert isinstance(objective, DescribedObjective)
    assert not isinstance(objective, SupportsHoldOut)
    assert objective.evaluate({"x": 0.5}, fidelity=0.1, seed=3).value == 0.25
    assert objective.name == "test-user-function-plain"
    assert objective.description == "Half of x."
    evaluation = PlainFunction(seeded, SPACE).evaluate({"x": 0.5}, fidelity=0.25, seed=3)
    assert (evaluation.value, evaluation.model) == (3.75, "a model")
    with pytest.raises(SpaceError, match="x is 2; it must be a number from 0 to 1"):
        objective.evaluate({"x": 2}, fidelity=1.0, seed=0)


def test_a_hold_out_set_makes_it_comparable() -> None:
    objective = HoldOutFunction(seeded, SPACE, lambda model: [0, 1, 1, 0])
    assert isinstance(objective, SupportsHoldOut)
    judged = objective.held_out("a model")
    assert judged.error == 0.5
    assert judged.losses.dtype == np.float64


def test_a_function_that_cannot_be_called_is_refused() -> None:
    def needs_more(params, data):
        return 0.0

    with pytest.raises(
        SpecError, match=r"needs_more\(params, data\) cannot be called with params"
    ):
        PlainFunction(needs_more, SPACE)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="the definition itself fails")
def test_annotations_need_not_exist_at_run_time() -> None:
    def annotated(params: Configuration, seed: int) -> Configuration:
        return params["x"] + seed

    objective = PlainFunction(annotated, SPACE)
    assert objective.evaluate({"x": 0.5}, fidelity=1.0, seed=3).value == 3.5


class Scaled:
    """Scales x."""

    def __init__(self, factor=2):
        self.factor = factor

    def __call__(self, params, seed):
        return self.factor * params["x"] + seed


def scaled(params, factor):
    """x times a factor."""
    return factor * params["x"]


@pytest.mark.parametrize(
    ("function", "path", "name", "description", "value"),
    [
        (
            partial(scaled, factor=3),
            "own.models:triple",
            "models-triple",
            "x times a factor.",
            1.5,
        ),
        (partial(partial(scaled), factor=3), "own:t", "own-t", "x times a factor.", 1.5),
        (Scaled(4), "own:four", "own-four", "Scales x.", 3.0),
        (lambda params: params["x"], "own:same", "own-same", "The function same.", 0.5),
    ],
)
def test_whatever_can_be_called_has_a_name(function, path, name, description, value) -> None:
    objective = function_objective(function, SPACE, path)
    assert isinstance(objective, DescribedObjective)
    assert objective.evaluate({"x": 0.5}, fidelity=1.0, seed=1).value == value
    assert (objective.name, objective.description) == (name, description)
    assert objective.metric.startswith("value of ")


async def later(params):
    return 1.0


def many(params):
    yield 1.0


@pytest.mark.parametrize("function", [later, many])
def test_what_returns_no_number_at_once_is_refused(function) -> None:
    with pytest.raises(SpecError, match=f"{function.__name__} is a coroutine or a generator; it"):
        function_objective(function, SPACE, "own:function")


def counted_to(params, fidelity, checkpoint) -> float:
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    until = round(16 * fidelity)
    EPOCHS.extend(range(done + 1, until + 1))
    checkpoint.write_text(str(until))
    return params["x"] ** 2 + 1 / until


EPOCHS: list[int] = []


def test_a_function_that_asks_for_a_checkpoint_pauses_and_goes_on() -> None:
    EPOCHS.clear()
    result = minimize(counted_to, SPACE, evaluations=6, racing=True, seed=1)
    assert {trial.state for trial in result.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    # Each epoch of each training once.
    assert len(EPOCHS) == sum(round(16 * trial.fidelity) for trial in result.trials)
    assert EPOCHS.count(1) == len(result.trials)


def test_without_racing_it_gets_a_file_all_the_same() -> None:
    EPOCHS.clear()
    result = minimize(counted_to, SPACE, evaluations=3, racing=False)
    assert [trial.state for trial in result.trials] == [TrialState.COMPLETE] * 3
    assert list(range(1, 17)) * 3 == EPOCHS


def test_a_checkpoint_without_fidelity_is_refused() -> None:
    def train(params, checkpoint) -> float:
        return 0.0

    with pytest.raises(SpecError, match="train.* asks for checkpoint, but not for fidelity"):
        minimize(train, SPACE)


def test_a_resumable_function_may_have_a_hold_out_set_too(monkeypatch) -> None:
    monkeypatch.setitem(counted_to.__globals__, "held_out", lambda model: [1.0, 2.0])
    objective = function_objective(counted_to, SPACE, "module:counted_to")
    assert isinstance(objective, Resumable)
    assert isinstance(objective, SupportsHoldOut)
