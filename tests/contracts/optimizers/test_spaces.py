"""Every optimizer in spaces with conditions and constraints."""

import pytest

from llmpso.errors import SpaceError
from llmpso.space import SearchSpace
from optimizer_cases import (
    FINITE,
    FINITE_FOREST,
    FOREST,
    GUESS,
    SPACE,
    Case,
    completed,
    failed,
    study,
)


def test_a_conditional_space_is_searched(case: Case) -> None:
    trials = study(case.build(FOREST, seed=0), 30)
    assert trials == study(case.build(FOREST, seed=0), 30)
    assert all(FOREST.validate(trial.params) == trial.params for trial in trials)
    if not case.repeats:
        assert len({FOREST.key(trial.params) for trial in trials}) == 30
    members = getattr(case.build(FOREST, seed=0), "particles", None)
    assert members is None or members.swarm.positions.shape[1] == len(FOREST)


def test_members_stay_in_the_cube_of_a_conditional_space(case: Case) -> None:
    optimizer = case.build(FOREST, seed=1)
    study(optimizer, 30, tell=lambda t: failed(t) if t.number % 3 else completed(t))
    members = getattr(optimizer, "particles", getattr(optimizer, "population", None))
    if members is None:
        pytest.skip("no members")
    places = [members.position(member) for member in range(members.n_members)]
    assert all(((place >= 0) & (place <= 1)).all() for place in places)


def test_every_conditional_configuration_once_then_the_end(case: Case) -> None:
    if case.repeats:
        pytest.skip("this method may repeat itself")
    trials = study(case.build(FINITE_FOREST, seed=0), 100)
    assert len({FINITE_FOREST.key(trial.params) for trial in trials}) == FINITE_FOREST.size
    assert len(trials) == FINITE_FOREST.size == 24


def test_what_does_not_count_in_a_start_is_left_out(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    if case.repeats:
        pytest.skip("a start of our own methods")
    start = {"a": 1, "b": "x", "c": 3}
    optimizer = case.build(FINITE_FOREST, seed=0, start=[start])
    assert optimizer.ask()[0].params == {"a": 1, "b": "x"}
    assert "start[0]: c counts only if a >= 3 and b is 'x' or 'y', so it is left" in caplog.text


CONSTRAINED = SearchSpace(dict(SPACE), ["layers * units <= 128", lambda p: p["rate"] < 0.1])


def test_what_violates_a_constraint_is_never_proposed(case: Case) -> None:
    if case.repeats:
        pytest.skip("other libraries do not know our constraints")
    trials = study(case.build(CONSTRAINED, seed=0), 30)
    assert len({CONSTRAINED.key(trial.params) for trial in trials}) == 30
    assert not any(CONSTRAINED.violated(trial.params) for trial in trials)


def test_every_allowed_configuration_once_then_the_end(case: Case) -> None:
    if case.repeats:
        pytest.skip("this method may repeat itself")
    space = SearchSpace(dict(FINITE), ["a >= 3 or b == 'x'"])
    trials = study(case.build(space, seed=0), 100)
    assert len({space.key(trial.params) for trial in trials}) == len(trials) == 8


def test_constraints_that_forbid_everything_are_found_before_the_first_trial(case: Case) -> None:
    if case.repeats:
        pytest.skip("other libraries do not know our constraints")
    with pytest.raises(SpaceError, match=r"none of the 12 configurations satisfies the const"):
        case.build(SearchSpace(dict(FINITE), ["a > 2", "a < 2"]))
    with pytest.raises(SpaceError, match=r"none of 2000 configurations that were drawn satisfie"):
        case.build(SPACE.with_constraints("rate > 1"))
    with pytest.raises(SpaceError, match=r"start\[0\] violates 'layers \* units <= 128'"):
        case.build(CONSTRAINED, start=[GUESS | {"layers": 4}])
