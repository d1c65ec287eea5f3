"""Constraints known before training: what they say, and what is refused in one line."""

import pickle

import cloudpickle
import pytest

from llmpso import Categorical, Float, Integer, SearchSpace, minimize
from llmpso.errors import SpaceError

DIMENSIONS = {
    "units": Integer(8, 512, log=True),
    "layers": Integer(1, 6),
    "kind": Categorical(["lstm", "gru", None]),
    "svm.c": Float(0.0, 10.0, when={"kind": "gru"}),
}
PARAMS = {"units": 128, "layers": 4, "kind": "lstm"}


@pytest.mark.parametrize(
    ("constraint", "holds"),
    [
        ("units * layers <= 512", True),
        ("units * layers < 512", False),
        ("8 <= units <= 100", False),
        ("8 <= units <= 200", True),
        ("units ** 2 / layers + 1 > 4096", True),
        ("units // 3 == 42 and units % 3 == 2", True),
        ("-units < -127 and +layers == 4", True),
        ("not (layers > 3)", False),
        ("kind == 'lstm' or layers < 2", True),
        ("kind != None", True),
        ("min(units, layers) == 4 and max(units, 3, layers) == 128 and abs(-1) == 1", True),
        ("log(units) > 4.8 and sqrt(layers) == 2", True),
        ("layers == (1 + 3)", True),
        ("  units > 1  ", True),
        ("svm.c > 100", True),  # it does not count in this configuration
        ("units > 200 or svm.c > 100", True),
        (lambda p: p["units"] < 100, False),
        (lambda p: "svm.c" not in p, True),
    ],
)
def test_a_constraint_is_what_is_written(constraint, holds) -> None:
    space = SearchSpace(DIMENSIONS, [constraint])
    assert (space.violated(PARAMS) == "") is holds
    again = cloudpickle.loads(cloudpickle.dumps(space))
    assert (again.violated(PARAMS) == "") is holds
    if isinstance(constraint, str):
        assert repr(space) == repr(again)


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ("units * layers", "compares nothing; write for example '… <= 512'"),
        ("1 < 2", "names no hyperparameter"),
        ("unit < 3", "'unit' is no hyperparameter (did you mean 'units'?)"),
        ("units.real < 3", "'units.real' is no hyperparameter"),
        ("units <", "is no expression (invalid syntax"),
        ("units = 3", "is no expression (invalid syntax"),
        (
            "__import__('os').system('x') == units",
            "is not allowed; it takes + - * / // % **, <",
        ),
        ("(lambda: units)() == 3", "is not allowed"),
        ("[units][0] == 3", "is not allowed"),
        ("open('x') == units", "is not allowed"),
        ("f'{units}' == 3", "is not allowed"),
        ("units in (1, 2)", "is not allowed; it takes + - * / // % **, < <="),
        ("max(*units) > 2", "is not allowed"),
        ("(x := units) > 2", "is not allowed"),
        ("units > b'1'", "is not allowed"),
        ("units " + "+ 1" * 50_000 + " > 2", "is no expression ("),
        (3, "constraint 3 must be an expression such as 'units * layers <= 512', or a function"),
    ],
)
def test_a_wrong_constraint_is_refused_in_one_line(constraint, message) -> None:
    with pytest.raises(SpaceError) as caught:
        SearchSpace(DIMENSIONS, [constraint])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_is_no_list_of_constraints() -> None:
    with pytest.raises(SpaceError, match="constraints is 'units > 2'; it must be a list"):
        SearchSpace(DIMENSIONS, "units > 2")


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ("kind + units > 1", "TypeError: ['lstm', 128] are not all numbers"),
        ("kind > 1", "TypeError: '>' not supported between"),
        (lambda p: p["unit"] > 3, "KeyError: 'unit'"),
        (lambda p: p["units"], "is 128; it must be true or false"),
    ],
)
def test_a_constraint_that_cannot_be_computed_is_named(constraint, message) -> None:
    with pytest.raises(SpaceError, match="constraint .*") as caught:
        SearchSpace(DIMENSIONS, [constraint]).violated(PARAMS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "constraint",
    [
        "units / (layers - 4) > 1",
        "units ** 9999 > 1",
        "log(layers - 4) < 1",
        "sqrt(layers - 5) < 1",
        "(layers - 5) ** 0.5 < 1",
    ],
)
def test_an_expression_without_a_value_is_violated_and_said_once(constraint, caplog) -> None:
    space = SearchSpace(DIMENSIONS, [constraint])
    assert space.violated(PARAMS) == space.violated(PARAMS) == repr(constraint)
    (record,) = caplog.records
    assert f"{constraint!r} is taken as violated where it has no value" in record.getMessage()


def test_a_study_does_not_end_where_an_expression_has_no_value() -> None:
    space = SearchSpace({"a": Integer(0, 9), "b": Integer(0, 9)}, ["a / b <= 2"])
    result = minimize(lambda p: -p["a"], space, evaluations=20)
    assert len(result.trials) == 20
    assert all(trial.params["b"] > 0 for trial in result.trials)


@pytest.mark.parametrize("seed", range(4))
def test_a_study_goes_on_where_little_is_allowed_of_an_infinite_space(seed: int) -> None:
    space = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)}, ["x * y >= 0.9545"])
    result = minimize(lambda p: -p["x"] * p["y"], space, evaluations=20, seed=seed)
    assert len(result.trials) == 20


def test_a_large_finite_space_of_which_little_is_allowed_is_not_searched_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SearchSpace, "configurations", lambda self: pytest.fail("10^12 of them"))
    numbers = [f"n{index}" for index in range(6)]
    space = SearchSpace(dict.fromkeys(numbers, Integer(1, 100)), [f"{' + '.join(numbers)} <= 110"])
    assert len(minimize(lambda p: sum(p.values()), space, evaluations=10).trials) == 10


def test_minimize_trains_only_what_is_allowed_and_counts_no_other() -> None:
    tried = []

    def train(params) -> float:
        tried.append(params)
        return -params["units"] * params["layers"]

    space = SearchSpace({"units": Integer(8, 512, log=True), "layers": Integer(1, 6)})
    for constraint in ("units * layers <= 512", lambda p: p["units"] * p["layers"] <= 512):
        tried.clear()
        result = minimize(train, space, constraint=constraint, evaluations=30)
        assert len(result.trials) == len(tried) == 30
        assert all(params["units"] * params["layers"] <= 512 for params in tried)
        assert result.best.value < -480


def test_a_space_without_functions_is_pickled_as_it_is() -> None:
    space = SearchSpace(DIMENSIONS)
    assert repr(pickle.loads(pickle.dumps(space))) == repr(space)
