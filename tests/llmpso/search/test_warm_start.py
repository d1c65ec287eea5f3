"""First positions with a memory: how much of it is tried, and what a useless one costs."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from llmpso import Evaluation, Float, SearchSpace
from llmpso.memory.memory import StudyMemory
from llmpso.memory.past_study import PastStudy, PastTrial
from llmpso.memory.trends import belief
from llmpso.search.multi_fidelity import MultiFidelitySearch
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import Params
from llmpso.trial import Source, Trial

SPACE = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})


def bowl(params: Params) -> float:
    return float((params["x"] - 0.3) ** 2 + (params["y"] - 0.6) ** 2)


def remembered(value: Callable[[Params], float]) -> StudyMemory:
    drawn = [SPACE.decode(place) for place in np.random.default_rng(3).random((20, 2))]
    trials = tuple(PastTrial(params=params, value=value(params)) for params in drawn)
    return StudyMemory(SPACE, [PastStudy(name="past", reference="run", trials=trials)])


def sources(
    memory: StudyMemory, n_trials: int, batch_size: int = 1, start: Sequence[Params] = ()
) -> list[Source]:
    search = SurrogateAssistedSearch(
        SPACE, memory=memory, batch_size=batch_size, seed=1, start=start
    )
    found: list[Source] = []
    while len(found) < n_trials:
        asked = search.ask(n_trials - len(found))
        found += [trial.source for trial in asked]
        search.tell([t.completed(Evaluation(bowl(t.params)), 0.0) for t in asked])
    return found


def test_a_true_memory_takes_all_first_positions_but_one() -> None:
    assert sources(remembered(bowl), 4) == [
        Source.MEMORY, Source.INITIAL, Source.MEMORY, Source.MEMORY
    ]  # fmt: skip


def test_a_misleading_memory_costs_one_first_position() -> None:
    memory = remembered(lambda params: -bowl(params))
    assert sources(memory, 4) == [Source.MEMORY, *[Source.INITIAL] * 3]
    assert memory.belief <= 0.0
    assert not memory.configurations


@pytest.mark.parametrize(("sign", "then"), [(1.0, Source.MEMORY), (-1.0, Source.INITIAL)])
def test_a_champion_that_memory_holds_is_its_first_configuration(
    sign: float, then: Source
) -> None:
    memory = remembered(lambda params: sign * bowl(params))
    champion = memory.start(lambda params: False)
    assert champion is not None
    assert sources(memory, 4, start=[champion]) == [Source.START, Source.INITIAL, then, then]
    own = {"x": 0.9, "y": 0.9}
    assert not memory.holds(own)
    assert sources(memory, 2, start=[own]) == [Source.START, Source.MEMORY]


def test_the_opposite_of_what_ranks_the_wrong_way_round_is_followed() -> None:
    places = np.random.default_rng(5).random((12, 2))
    values = np.array([bowl(SPACE.decode(place)) for place in places])
    true, flipped = remembered(bowl), remembered(lambda params: -bowl(params))
    for memory in (true, flipped):
        memory.learn(places, values)
    assert true.belief > 0.5 and flipped.belief < -0.5
    new = np.random.default_rng(6).random((200, 2))
    expected = np.array([bowl(SPACE.decode(place)) for place in new])
    for memory in (true, flipped):
        assert np.corrcoef(memory.prior_mean()(new), expected)[0, 1] > 0.8


def test_a_weak_disagreement_is_followed_neither_way() -> None:
    followed = belief(np.arange(5.0), np.array([1.0, 3.0, 2.0, 4.0, 0.0]))
    assert f"{followed:.0%}" == "0%"


@pytest.mark.parametrize("batch_size", [2, 4])
def test_half_of_a_batch_whose_results_are_unknown_is_blind(batch_size: int) -> None:
    first = sources(remembered(bowl), batch_size, batch_size)
    assert first.count(Source.MEMORY) == batch_size // 2


@pytest.mark.parametrize(("sign", "n_promoted"), [(1.0, 1), (-1.0, 0)])
def test_what_memory_advised_is_promoted_only_if_it_is_no_worse_than_blind_ones(
    sign: float, n_promoted: int
) -> None:
    search = MultiFidelitySearch(
        SPACE, memory=remembered(lambda params: sign * bowl(params)), seed=1
    )
    asked = search.ask()
    assert [trial.source for trial in asked].count(Source.MEMORY) == 3
    first = [trial.measured(Evaluation(bowl(trial.params)), 0.0) for trial in asked]
    search.tell(first)
    advised: list[Trial] = [t for t in search.paused if t.source is Source.MEMORY]
    assert (len(advised) > 0) == bool(n_promoted)


def sized(params: Params) -> dict[str, float]:
    """An error that falls as the size grows; `y` makes both worse."""
    return {"error": 10 * (1 - params["x"]) ** 2 + params["y"], "size": params["x"] + params["y"]}


def starts_along(goals: tuple[str, ...], n_trials: int = 30) -> list[Trial]:
    """The first trials of a study of two goals, after one of the same."""
    drawn = [SPACE.decode(place) for place in np.random.default_rng(3).random((n_trials, 2))]
    trials = tuple(
        PastTrial(params=params, value=sized(params)["error"], values=sized(params))
        for params in drawn
    )
    memory = StudyMemory(SPACE, [PastStudy(name="past", reference="run", trials=trials)], goals)
    search = SurrogateAssistedSearch(SPACE, memory=memory, seed=2, goals=("error", "size"))
    found: list[Trial] = []
    while len(found) < 4:
        (asked,) = search.ask()
        found.append(asked.completed(Evaluation(values=sized(asked.params)), 0.0))
        search.tell(found[-1:])
    return found


@pytest.mark.parametrize("n_trials", [30, 600])
def test_several_goals_begin_along_the_front_of_the_earlier_study(n_trials: int) -> None:
    trials = starts_along(("size", "error"), n_trials)
    assert [trial.source for trial in trials].count(Source.MEMORY) == 3
    starts = [dict(trial.values) for trial in trials if trial.source is Source.MEMORY]
    small, balanced, exact = sorted(starts, key=lambda values: values["size"])
    assert starts[0] == balanced
    assert small["size"] < 0.35 < balanced["size"] < 0.65 < exact["size"]
    assert exact["error"] < 0.9 < balanced["error"] < 4.0 < small["error"]


@pytest.mark.parametrize("goals", [(), ("error", "seconds")])
def test_without_two_goals_in_common_only_the_value_counts(goals: tuple[str, ...]) -> None:
    starts = [trial for trial in starts_along(goals) if trial.source is Source.MEMORY]
    assert max(trial.values["error"] for trial in starts) < 0.7


def test_memory_names_only_what_the_constraints_of_the_new_space_allow() -> None:
    allowed = SearchSpace(dict(SPACE), constraints=["x >= 0.6"])
    drawn = [SPACE.decode(place) for place in np.random.default_rng(3).random((20, 2))]
    trials = tuple(PastTrial(params=params, value=params["x"]) for params in drawn)
    memory = StudyMemory(allowed, [PastStudy(name="past", reference="run", trials=trials)])
    assert memory.start(lambda params: False) == min(
        (params for params in drawn if params["x"] >= 0.6), key=lambda params: params["x"]
    )
    none = SearchSpace(dict(SPACE), constraints=["x >= 0.9999"])
    past = PastStudy(name="past", reference="run", trials=trials)
    assert StudyMemory(none, [past]).start(lambda params: False) is None
