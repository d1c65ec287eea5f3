"""Conditional hyperparameters: what does not count in a configuration never makes a difference."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpso.errors import SpaceError
from llmpso.space import Categorical, Dimension, Fixed, Float, Integer, Ordinal, SearchSpace

SPACE = SearchSpace(
    {
        "momentum": Float(0.0, 0.99, when={"optimizer": "sgd"}),
        "nesterov": Categorical([True, False], when={"momentum": "> 0.5"}),
        "optimizer": Categorical(["adam", "sgd", "rmsprop", (0, 1), None]),
        "decay": Float(0.1, 1.0, log=True, when={"optimizer": ["adam", "rmsprop"]}),
        "layers": Integer(1, 3),
        "units_2": Integer(8, 64, when={"layers": ">= 2"}),
        "units_3": Ordinal([8, 16, 32], when={"layers": [3], "units_2": "<=32"}),
    }
)
"""A child may come before its parent, and have several."""


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """A chain, a tree or several, of up to eight hyperparameters, in any order."""
    makers = [
        lambda when: Integer(1, 4, when=when),
        lambda when: Categorical(["a", "b", None], when=when),
        lambda when: Ordinal([1, 2, 8], when=when),
        lambda when: Float(0.0, 1.0, step=0.25, when=when),
        lambda when: Fixed(2, when=when),
        lambda when: Float(0.0, 1.0, when=when),
    ]
    made: dict[str, Dimension] = {}
    for index in range(draw(st.integers(1, 8))):
        parents = draw(st.lists(st.sampled_from(sorted(made)), max_size=2)) if made else []
        when = {parent: draw(_asked(made[parent])) for parent in parents}
        made[f"h{index}"] = draw(st.sampled_from(makers))(when)
    return SearchSpace({name: made[name] for name in draw(st.permutations(sorted(made)))})


def _asked(dimension: Dimension) -> st.SearchStrategy[Any]:
    match dimension:
        case Float(step=None):
            return st.sampled_from(["> 0.5", "<= 0.25", ">=1", "<1e-3"])
        case Float():
            return st.sampled_from([0.5, [0.0, 0.25], "> 0.3", "< 0.25"])
        case Integer():
            return st.sampled_from([1, [2, 4], ">= 2", "< 3.5", "> 0"])
        case Fixed():
            return st.sampled_from([2, ">= 2"])
        case Ordinal():
            return st.sampled_from([8, [1, 2], "> 1", "<=2"])
    return st.sampled_from(["a", ["b", None], None])


def positions(space: SearchSpace) -> st.SearchStrategy[np.ndarray]:
    sides = st.lists(st.floats(0, 1), min_size=len(space), max_size=len(space))
    return sides.map(np.array)


@given(spaces(), st.data())
def test_what_is_decoded_is_valid_and_survives_the_round_trip(
    space: SearchSpace, data: st.DataObject
) -> None:
    params = space.decode(data.draw(positions(space)))
    assert space.validate(params) == params
    assert space.key(space.decode(space.encode(params))) == space.key(params)
    assert space.without_unused(params) == (params, "")
    assert set(params) == space.conditions.active(params) == space.conditions.needed(params)


@given(spaces(), st.data())
def test_a_coordinate_that_does_not_count_makes_no_difference(
    space: SearchSpace, data: st.DataObject
) -> None:
    position, other = data.draw(positions(space)), data.draw(positions(space))
    params = space.decode(position)
    moved = np.where(space.is_used(params), position, other)
    assert space.decode(moved) == params
    assert (space.encode(space.decode(moved)) == space.encode(params)).all()
    assert space.key(space.decode(moved)) == space.key(params)
    own = space.encode(params, unused=other)
    assert (own[~space.is_used(params)] == other[~space.is_used(params)]).all()


@given(spaces(), st.data())
def test_a_value_that_does_not_count_is_refused_or_left_out(
    space: SearchSpace, data: st.DataObject
) -> None:
    params = space.decode(data.draw(positions(space)))
    everything = {name: dimension.decode(0.3) for name, dimension in space.items()} | params
    rest, note = space.without_unused(everything)
    assert rest == params
    assert bool(note) == (len(everything) > len(params))
    if note:
        with pytest.raises(SpaceError, match="counts only if .*; leave it out"):
            space.validate(everything)


@settings(deadline=None)
@given(spaces())
def test_the_size_is_the_number_of_configurations(space: SearchSpace) -> None:
    if math.isinf(space.size):
        with pytest.raises(SpaceError, match="no end"):
            list(space.configurations())
        return
    listed = list(space.configurations())
    assert len({space.key(params) for params in listed}) == len(listed) == space.size
    assert all(list(space.validate(params)) == list(params) for params in listed)


def test_many_parents_are_counted_at_once() -> None:
    pairs: dict[str, Dimension] = {f"on_{n}": Categorical([True, False]) for n in range(40)}
    pairs |= {f"x_{n}": Integer(1, 10**9, when={f"on_{n}": True}) for n in range(40)}
    assert SearchSpace(pairs).size == (10**9 + 1) ** 40
    wide = {"n": Integer(1, 10**9), "m": Integer(1, 5, when={"n": "> 1000"})}
    assert SearchSpace(wide).size == 1000 + (10**9 - 1000) * 5


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"optimizer": None, "layers": 1}, ""),
        ({"optimizer": (0, 1), "layers": 2, "units_2": 9}, ""),
        ({"optimizer": "sgd", "layers": 1}, "momentum is missing"),
        ({"optimizer": "sgd", "layers": 1, "momentum": 0.6}, "nesterov is missing"),
        (
            {"optimizer": "adam", "layers": 1, "decay": 0.5, "momentum": 0.6},
            "momentum counts only if optimizer is 'sgd'; leave it out",
        ),
        (
            {"optimizer": None, "layers": 2, "units_2": 8, "units_3": 8},
            "units_3 counts only if layers is 3 and units_2 <= 32; leave it out",
        ),
        ({"optimizer": "sdg", "layers": 1, "decay": 1.0}, "optimizer is 'sdg'; it must be one of"),
        ({"layers": 1}, "optimizer is missing"),
    ],
)
def test_a_configuration_has_what_counts_and_no_more(params, expected) -> None:
    if not expected:
        assert SPACE.validate(params) == params
        return
    with pytest.raises(SpaceError) as caught:
        SPACE.validate(params)
    assert str(caught.value).startswith(expected)
    assert ";" not in str(caught.value).removeprefix(expected)


FLOAT = Float(0, 1)


@pytest.mark.parametrize(
    ("dimensions", "message"),
    [
        (
            {"a": Float(0, 1, when={"optimiser": 1}), "optimizer": Integer(1, 2)},
            "a depends on 'optimiser', which is no hyperparameter (did you mean 'optimizer'?)",
        ),
        (
            {"a": Integer(1, 2, when={"a": 1})},
            "the conditions form a cycle: a depends on a",
        ),
        (
            {
                "a": Integer(1, 2, when={"c": 1}),
                "b": Integer(1, 2, when={"a": 1}),
                "c": Integer(1, 2, when={"b": 1}),
            },
            "the conditions form a cycle: a depends on c depends on b depends on a",
        ),
        (
            {"a": Float(0, 1, when={"b": "sdg"}), "b": Categorical(["adam", "sgd"])},
            "a depends on b = 'sdg', which can never be: b must be one of ['adam', 'sgd']",
        ),
        (
            {"a": Float(0, 1, when={"b": [2, 9]}), "b": Integer(1, 3)},
            "a depends on b = 9, which can never be: b must be a whole number from 1 to 3",
        ),
        (
            {"a": Float(0, 1, when={"b": ">= 4"}), "b": Integer(1, 3)},
            "a depends on b >= 4, which can never be: b is from 1 to 3",
        ),
        (
            {"a": Float(0, 1, when={"b": "> 224"}), "b": Integer(32, 250, step=32)},
            "a depends on b > 224, which can never be: b is from 32 to 224",
        ),
        (
            {"a": Float(0, 1, when={"b": "> x"}), "b": Integer(1, 3)},
            "a depends on b > x; a comparison needs a number, and a parent of numbers only",
        ),
        (
            {"a": Float(0, 1, when={"b": "> 1"}), "b": Categorical(["x", 2])},
            "a depends on b > 1; a comparison needs a number, and a parent of numbers only",
        ),
        (
            {"a": Float(0, 1, when={"b": 0.5}), "b": FLOAT},
            "a depends on b = 0.5, but a real number is hardly ever exactly that; compare it, as "
            "in '>= 0.5'",
        ),
        (
            {"a": Float(0, 1, when={"b": []}), "b": FLOAT},
            "a depends on b, but no value of it is named",
        ),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused_in_one_line(dimensions, message) -> None:
    with pytest.raises(SpaceError) as caught:
        SearchSpace(dimensions)
    assert str(caught.value) == message


@pytest.mark.parametrize("when", ["sgd", [("optimizer", "sgd")], {1: "sgd"}, None])
def test_a_condition_is_a_mapping_of_names(when: Any) -> None:
    with pytest.raises(SpaceError, match=r"^Float\(when=.*must be a mapping from names of other"):
        Float(0, 1, when=when)


def test_a_choice_that_looks_like_a_comparison_is_a_choice() -> None:
    space = SearchSpace({"a": Categorical([">= 2", "no"]), "b": Fixed(1, when={"a": ">= 2"})})
    assert [set(params) for params in space.configurations()] == [{"a", "b"}, {"a"}]


def test_a_tuple_is_one_value_where_it_is_a_choice_and_else_several() -> None:
    whole = SearchSpace({"a": Categorical([(1, 2), 1]), "b": Fixed(1, when={"a": (1, 2)})})
    several = SearchSpace({"a": Categorical([3, 2, 1]), "b": Fixed(1, when={"a": (1, 2)})})
    assert (whole.size, several.size) == (2, 3)
    assert whole.conditions.text("b") == "a is (1, 2)"
    assert several.conditions.text("b") == "a is 1 or 2"


def test_a_flat_space_has_no_conditions() -> None:
    assert not SearchSpace({"a": FLOAT, "b": Fixed(1)}).conditions


def test_the_size_of_a_space_with_many_large_parents_is_known_at_once() -> None:
    """A count of each of their combinations would take hours."""
    names = [f"p{n}" for n in range(8)]
    parents = {name: Categorical([f"c{k}" for k in range(20)]) for name in names}
    child = Integer(1, 9, when=dict.fromkeys(names, "c0"))
    space = SearchSpace({**parents, "x": child})
    assert space.size == 20**8 + 8


@pytest.mark.parametrize("bound", ["<= inf", "> -inf", "<1e999", ">= nan"])
def test_a_bound_that_is_no_finite_number_is_refused(bound) -> None:
    with pytest.raises(SpaceError, match="b depends on a .*; a comparison needs a number"):
        SearchSpace({"a": Integer(1, 5), "b": Integer(1, 3, when={"a": bound})})
