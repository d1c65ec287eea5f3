import json
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpso import Categorical, Float, Integer, Ordinal, SearchSpace, StopReason, minimize
from llmpso.errors import SpaceError
from llmpso.options import MethodName

bounded = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))


@st.composite
def floats(draw: st.DrawFn) -> Float:
    if draw(st.booleans()):
        low = draw(st.floats(1e-6, 1e3))
        return Float(low, low * draw(st.floats(1.5, 1e6)), log=True)
    low = draw(bounded)
    return Float(low, low + draw(st.floats(1e-3, 1e6)))


@st.composite
def integers(draw: st.DrawFn) -> Integer:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -1000, 1000))
    return Integer(low, low + draw(st.integers(1, 5000)), log=log)


# NUL and halves of characters are refused.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
choices = st.lists(
    st.one_of(texts, st.integers(-9, 9), st.booleans()),
    min_size=1,
    max_size=6,
    unique_by=lambda value: (type(value), value),
)
categoricals = st.builds(
    lambda kind, listed: kind(listed), st.sampled_from([Categorical, Ordinal]), choices
)
dimensions = st.one_of(floats(), integers(), categoricals)
spaces = st.dictionaries(texts.filter(bool), dimensions, min_size=1, max_size=5).map(SearchSpace)


@given(spaces, st.data())
def test_a_position_survives_the_round_trip_once_snapped(
    space: SearchSpace, data: st.DataObject
) -> None:
    unit = st.floats(0, 1)
    position = np.array(data.draw(st.lists(unit, min_size=len(space), max_size=len(space))))
    params = space.decode(position)
    assert space.validate(params) == params
    again = space.decode(space.encode(params))
    for name, dimension in space.items():
        if isinstance(dimension, Float):
            assert math.isclose(again[name], params[name], rel_tol=1e-9, abs_tol=1e-9)
        else:
            assert again[name] == params[name]
            assert type(again[name]) is type(params[name])


@given(spaces, st.data())
def test_velocities_survive_the_round_trip(space: SearchSpace, data: st.DataObject) -> None:
    unit = st.floats(-1, 1)
    velocity = np.array(data.draw(st.lists(unit, min_size=len(space), max_size=len(space))))
    again = space.encode_velocity(space.decode_velocity(velocity))
    np.testing.assert_allclose(again, velocity, atol=1e-9)


@given(integers())
def test_the_cube_reaches_both_ends_of_an_integer(dimension: Integer) -> None:
    assert dimension.decode(0.0) == dimension.low
    assert dimension.decode(1.0) == dimension.high


def test_every_integer_owns_an_equal_share_on_the_linear_scale() -> None:
    dimension = Integer(1, 4)
    decoded = [dimension.decode(u) for u in np.linspace(0.001, 0.999, 4000)]
    shares = np.bincount(decoded)[1:] / 4000
    np.testing.assert_allclose(shares, 0.25, atol=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(2, 1), "Float(low=2, high=1): low must be less than high"),
        (lambda: Float(0, 1, log=True), "Float(low=0, log=True): low must be greater than 0"),
        (lambda: Float(0, math.inf), "Float(low=0, high=inf): both bounds must be finite"),
        (lambda: Float("a", 1), "Float(low='a'): the bound must be a number"),
        (lambda: Integer(1.5, 3), "Integer(low=1.5): the bound must be a whole number"),
        (lambda: Integer(True, 3), "Integer(low=True): the bound must be a whole number"),
        (lambda: Integer(1, math.inf), "Integer(high=inf): the bound must be a whole number"),
        (
            lambda: Integer(0, 2**60),
            "Integer(low=0, high=1152921504606846976): bounds must be within ±2**50, or whole "
            "numbers run together; search the exponent instead",
        ),
        (
            lambda: Float(-1e308, 1e308),
            "Float(low=-1e+308, high=1e+308): the distance of the bounds is beyond a computer's "
            "numbers",
        ),
        (
            lambda: Float(1e-300, 1e300, log=True),
            "Float(low=1e-300, high=1e+300): the ratio of the bounds is beyond a computer's "
            "numbers",
        ),
        (lambda: Float(0, 1, log="yes"), "Float(log='yes'): it must be true or false"),
        (lambda: Float(0, 1, step=0), "Float(step=0): the step must be greater than 0"),
        (lambda: Float(0, 1, step="1"), "Float(step='1'): the step must be a number"),
        (lambda: Integer(1, 9, step=1.5), "Integer(step=1.5): the step must be a whole number"),
        (
            lambda: Integer(1, 9, step=10),
            "Integer(step=10): the step must not be greater than high - low",
        ),
        (
            lambda: Integer(1, 9, step=2, log=True),
            "Integer(step=2, log=True): steps are equal on the linear scale only; leave one of "
            "them out, or list the values in an Ordinal",
        ),
        (lambda: Categorical([]), "Categorical(choices=[]): at least one choice is needed"),
        (lambda: Categorical(["a", "a"]), "Categorical(choices=['a', 'a']): choices must differ"),
        (
            lambda: Categorical([{}]),
            "Categorical: choice {} must be a string, a finite number, a bool, None, or a list "
            "of these",
        ),
        (
            lambda: Categorical([math.nan]),
            "Categorical: choice nan must be a string, a finite number, a bool, None, or a list "
            "of these",
        ),
        (
            lambda: Categorical("sgd"),
            'Categorical(choices=\'sgd\'): choices must be a list, such as ["adam", "sgd"]',
        ),
        (
            lambda: Categorical(
                {
                    "b",
                }
            ),
            'Categorical(choices={\'b\'}): choices must be a list, such as ["adam", "sgd"]',
        ),
        (
            lambda: SearchSpace([("a", Integer(1, 2))]),
            "SearchSpace is given a list; it must be a dict of hyperparameters by name",
        ),
        (lambda: SearchSpace({}), "SearchSpace({}): at least one hyperparameter is needed"),
        (
            lambda: SearchSpace({"a": 3}),
            "a is 3; it must be a Float, an Integer, a Categorical, an Ordinal or a Fixed",
        ),
    ],
)
def test_a_wrong_definition_is_refused_with_its_reason(make, message) -> None:
    with pytest.raises(SpaceError) as caught:
        make()
    assert str(caught.value) == message


SPACE = SearchSpace(
    {
        "layers": Integer(1, 3),
        "learning_rate": Float(1e-4, 1e-1, log=True),
        "cell": Categorical(["lstm", "gru"]),
        "bias": Categorical([True, 1, 1.0]),
    }
)
VALID = {"layers": 2, "learning_rate": 0.01, "cell": "gru", "bias": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 4}, "layers is 4; it must be a whole number from 1 to 3"),
        ({"layers": True}, "layers is True; it must be a whole number from 1 to 3"),
        ({"layers": 2.0}, "layers is 2.0; it must be a whole number from 1 to 3"),
        (
            {"learning_rate": math.nan},
            "learning_rate is nan; it must be a number from 0.0001 to 0.1",
        ),
        (
            {"learning_rate": "0.01"},
            "learning_rate is '0.01'; it must be a number from 0.0001 to 0.1",
        ),
        ({"cell": "LSTM"}, "cell is 'LSTM'; it must be one of ['lstm', 'gru']"),
        ({"layer": 2}, "unknown hyperparameter 'layer' (did you mean 'layers'?)"),
    ],
)
def test_wrong_params_are_refused_with_their_reason(change, message) -> None:
    with pytest.raises(SpaceError) as caught:
        SPACE.validate(VALID | change)
    assert str(caught.value) == message


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(SpaceError, match="layers is missing; learning_rate is 5"):
        SPACE.validate({"learning_rate": 5, "cell": "gru", "bias": 1})


def test_numpy_numbers_become_plain_ones() -> None:
    valid = SPACE.validate(VALID | {"layers": np.int64(2), "learning_rate": np.float32(0.01)})
    assert type(valid["layers"]) is int
    assert type(valid["learning_rate"]) is float


def test_choices_differ_by_type() -> None:
    keys = {SPACE.key(VALID | {"bias": value}) for value in (True, 1, 1.0)}
    assert len(keys) == 3


def test_a_finite_space_can_be_listed() -> None:
    space = SearchSpace({"a": Integer(1, 2), "b": Categorical(["x", "y", "z"])})
    listed = list(space.configurations())
    assert len(listed) == space.size == 6
    assert len({space.key(params) for params in listed}) == 6
    with pytest.raises(SpaceError, match="cannot be listed"):
        list(SPACE.configurations())


def test_many_large_dimensions_and_a_real_one_have_no_end() -> None:
    """The product of the others is too large for a floating-point number."""
    whole = {f"n{n}": Integer(1, 10**6) for n in range(60)}
    assert SearchSpace({**whole, "x": Float(0, 1)}).size == math.inf
    assert SearchSpace(whole).size == 10**360


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_without_end_is_refused_in_a_short_line(digits) -> None:
    for kind in (Float, Integer):
        with pytest.raises(SpaceError, match="both bounds must be finite") as caught:
            kind(0, 10**digits)
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        (Integer(32, 256, step=32), [32, 64, 96, 128, 160, 192, 224, 256]),
        (Integer(1, 10, step=4), [1, 5, 9]),
        (Float(0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (Float(-1, 1, step=0.75), [-1, -0.25, 0.5]),
    ],
)
def test_a_step_leaves_its_multiples_equal_shares(dimension, expected) -> None:
    assert dimension.size == len(expected)
    decoded = [dimension.decode(u) for u in np.linspace(0, 0.999999, 600)]
    assert [decoded.count(value) for value in expected] == [600 // len(expected)] * len(expected)
    for value in expected:
        assert dimension.validate(value) == value
        assert dimension.decode(dimension.encode(value)) == value
    assert [c["x"] for c in SearchSpace({"x": dimension}).configurations()] == expected


def test_a_value_between_steps_is_refused_and_a_rounded_one_is_not() -> None:
    with pytest.raises(SpaceError, match="must be 32 plus a multiple of 32"):
        Integer(32, 256, step=32).validate(48)
    with pytest.raises(SpaceError, match=r"must be 0.1 plus a multiple of 0.1"):
        Float(0.1, 0.5, step=0.1).validate(0.25)
    assert Float(0.1, 0.5, step=0.1).validate(0.1 + 0.2) == 0.3


@pytest.mark.parametrize(
    "dimension",
    [Integer(5, 5), Integer(5, 5, log=True), Float(5, 5), Float(5, 5, log=True), Categorical([5])],
)
def test_a_fixed_value_is_the_only_one(dimension) -> None:
    assert dimension.size == 1
    assert [dimension.decode(u) for u in (0.0, 0.3, 1.0)] == [5, 5, 5]
    assert 0 < dimension.encode(dimension.validate(5)) < 1


def test_none_and_lists_are_choices_that_come_back_from_json() -> None:
    space = SearchSpace({"sizes": Categorical([[64, 64], [128], None, [1, [2, None]]])})
    assert space["sizes"].choices == ((64, 64), (128,), None, (1, (2, None)))
    for params in space.configurations():
        read = json.loads(json.dumps(params))
        assert space.validate(read) == params
        assert space.key(read) == space.key(params)
        assert space.decode(space.encode(params)) == params
    with pytest.raises(SpaceError, match="must be one of"):
        space.validate({"sizes": [64.0, 64]})


def test_choices_of_numpy_become_plain_ones() -> None:
    choices = Categorical(np.array([0.5, 2.0])).choices
    assert choices == (0.5, 2.0)
    assert {type(choice) for choice in choices} == {float}
    mixed = Categorical([np.int64(2), np.bool_(True), np.str_("a")]).choices
    assert [type(choice) for choice in mixed] == [int, bool, str]
    assert type(Float(np.float32(0.5), 1).low) is float


def test_a_study_of_steps_fixed_values_and_none_stays_inside_its_space() -> None:
    space = SearchSpace(
        {
            "units": Integer(32, 256, step=32),
            "rate": Float(0.1, 0.5, step=0.1),
            "fixed": Float(0.1, 0.1, log=True),
            "schedule": Categorical([None, "cosine"]),
            "sizes": Categorical([[64, 64], [128]]),
        }
    )

    def cost(params):
        return params["rate"] + params["units"] / 100 + len(params["sizes"])

    for method in get_args(MethodName):
        result = minimize(cost, space, evaluations=24, method=method)
        assert [space.validate(trial.params) for trial in result.trials] == [
            trial.params for trial in result.trials
        ]
    whole = minimize(cost, space, evaluations=1000, method="guided")
    assert len(whole.trials) == space.size == 160
    assert whole.stop_reason is StopReason.EXHAUSTED


@pytest.mark.parametrize("text", ["a\0b", "\ud83d", "emoji cut in half: \ud83d"])
def test_text_that_no_database_takes_is_refused(text) -> None:
    for made in (
        lambda: Categorical([text, "plain"]),
        lambda: Categorical([["plain", text], None]),
        lambda: SearchSpace({text: Float(0.0, 1.0)}),
    ):
        with pytest.raises(SpaceError, match="NUL or half a character, which no database takes"):
            made()
    assert Categorical(["\u202e", "🙂", "", "x" * 10_000]).size == 4
