"""Short trainings first: what is begun, paused, promoted, and how much it saves."""

import math
from dataclasses import replace

import numpy as np
import pytest

from llmpso import Categorical, Evaluation, Float, SearchSpace
from llmpso.errors import SpecError, TellError
from llmpso.fidelity.rungs import RUNGS
from llmpso.search.multi_fidelity import MultiFidelitySearch
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.trial import Failure, FailureKind, Trial, TrialState

SPACE = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0), "z": Float(-5.0, 5.0)})


def height(params, fidelity: float) -> float:
    """A bowl whose lowest place moves as the training goes on."""
    middle = 1.0 - 2.0 * (1 - fidelity)
    return sum((value - middle) ** 2 for value in params.values()) + 3.0 * (1 - fidelity)


def trained(trial: Trial) -> Trial:
    return trial.measured(Evaluation(height(trial.params, trial.fidelity)), 0.0)


def studied(search, budget: float, train=trained) -> list[Trial]:
    """All parts of the trainings, in their order, until the budget is spent."""
    parts: list[Trial] = []
    spent, at = 0.0, {}
    while spent < budget and (asked := search.ask(math.ceil(budget - spent))):
        done = [train(trial) for trial in asked]
        search.tell(done)
        for trial in asked:
            spent += trial.fidelity - at.get(trial.number, 0.0)
            at[trial.number] = trial.fidelity
        parts += done
    return parts


def test_a_training_goes_from_rung_to_rung_and_its_values_are_all_on_record() -> None:
    levels = (*RUNGS, 1.0)
    seen: dict[int, list[float]] = {}
    for part in studied(MultiFidelitySearch(SPACE, batch_size=2, seed=1), 12):
        seen.setdefault(part.number, []).append(part.fidelity)
        assert [at for at, _ in part.rungs] == [at for at in levels[:-1] if at <= part.fidelity]
    assert all(tuple(at) == levels[: len(at)] for at in seen.values())
    assert {len(at) for at in seen.values()} > {1, len(levels)}


def test_a_training_is_promoted_after_others_were_begun() -> None:
    parts = studied(MultiFidelitySearch(SPACE, batch_size=2, seed=1), 12)
    gaps = [
        part.number
        for before, part in zip(parts, parts[1:], strict=False)
        if len(part.rungs) > 1 and before.number > part.number
    ]
    assert gaps


def test_it_needs_far_fewer_epochs_than_full_trainings() -> None:
    def spent(search, seed: int) -> float:
        total, at = 0.0, {}
        for part in studied(search(SPACE, batch_size=2, seed=seed), 25):
            total += part.fidelity - at.get(part.number, 0.0)
            at[part.number] = part.fidelity
            if part.value is not None and part.value < 0.3:
                return total
        return 25.0

    seeds = range(3)
    short = np.mean([spent(MultiFidelitySearch, seed) for seed in seeds])
    full = np.mean([spent(SurrogateAssistedSearch, seed) for seed in seeds])
    assert short < 0.7 * full


def test_the_same_values_make_the_same_study() -> None:
    def study() -> list[tuple]:
        parts = studied(MultiFidelitySearch(SPACE, batch_size=2, seed=3), 8)
        return [(part.number, tuple(part.params.items()), part.fidelity) for part in parts]

    assert study() == study()


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_a_small_budget_ends_with_a_full_training(budget) -> None:
    parts = studied(MultiFidelitySearch(SPACE, seed=0), budget)
    assert any(part.state is TrialState.COMPLETE for part in parts)


def test_trials_may_be_proposed_while_others_are_under_way() -> None:
    search = MultiFidelitySearch(SPACE, batch_size=3, seed=2)
    search.tell([trained(trial) for trial in search.ask()])
    waiting = search.ask()
    assert len({trial.number for trial in waiting}) == 3
    assert search.ask() == []
    search.tell([trained(waiting[1])])
    (further,) = search.ask()
    assert further.number not in {waiting[0].number, waiting[2].number}


def test_failed_trainings_are_not_promoted_and_their_region_is_left() -> None:
    def train(trial: Trial) -> Trial:
        if trial.params["x"] > 0:
            return trial.failed(Failure(FailureKind.EXCEPTION, "too large"), 0.0)
        return trained(trial)

    parts = studied(MultiFidelitySearch(SPACE, batch_size=2, seed=4), 10, train)
    failed = {part.number for part in parts if part.state is TrialState.FAILED}
    assert sum(part.number in failed for part in parts) == len(failed)
    assert len(failed) < len({part.number for part in parts}) / 3


def test_a_training_that_ended_by_itself_is_complete_at_once() -> None:
    def train(trial: Trial) -> Trial:
        value = height(trial.params, trial.fidelity)
        return trial.measured(Evaluation(value, is_final=trial.fidelity >= 1 / 4), 0.0)

    parts = studied(MultiFidelitySearch(SPACE, batch_size=2, seed=4), 4, train)
    complete = [part for part in parts if part.state is TrialState.COMPLETE]
    assert complete
    assert {part.fidelity for part in complete} == {1 / 4}


def test_a_space_of_choices_is_searched_to_its_end() -> None:
    space = SearchSpace({name: Categorical(["a", "b", "c"]) for name in "pq"})
    search = MultiFidelitySearch(space, n_particles=4, seed=0)

    def train(trial: Trial) -> Trial:
        value = len(set(trial.params.values())) - trial.fidelity
        return trial.measured(Evaluation(value), 0.0)

    parts = studied(search, 100, train)
    complete = [part for part in parts if part.state is TrialState.COMPLETE]
    assert len(complete) == 9
    assert search.ask() == []


def test_the_user_s_start_comes_first() -> None:
    start = {"x": 0.5, "y": 0.5, "z": 0.5}
    first = MultiFidelitySearch(SPACE, start=[start], seed=0).ask()
    assert first[0].params == start


@pytest.mark.parametrize("rungs", [(), (0.5, 0.25), (0.0, 0.5), (0.5, 1.0)])
def test_rungs_that_do_not_rise_are_refused(rungs) -> None:
    with pytest.raises(SpecError, match="rungs is"):
        MultiFidelitySearch(SPACE, rungs=rungs)


def test_only_trainings_under_way_are_accepted() -> None:
    search = MultiFidelitySearch(SPACE, seed=0)
    trials = search.ask()
    with pytest.raises(TellError, match="still pending"):
        search.tell(trials)
    with pytest.raises(TellError, match="under way are"):
        search.tell([replace(trained(trials[0]), number=99)])


def test_what_is_above_a_limit_stops_at_its_first_rung_and_is_avoided() -> None:
    space = SearchSpace({"x": Float(0, 10), "y": Float(0, 10)})
    search, trials = MultiFidelitySearch(space, seed=0), dict[int, Trial]()
    for _ in range(60):
        for trial in search.ask():
            x, y = trial.params["x"], trial.params["y"]
            measured = Evaluation(-x - y / 2, constraints={"size": (x * y, 4.0)})
            trials[trial.number] = trial.measured(measured, 0.0)
            search.tell([trials[trial.number]])
    infeasible = [t for t in trials.values() if t.state is TrialState.INFEASIBLE]
    assert all(t.params["x"] * t.params["y"] > 4 and len(t.rungs) == 1 for t in infeasible)
    # A training that ends at its first rung costs little, so that edges are tried often.
    assert sum(t.fidelity for t in infeasible) < sum(t.fidelity for t in trials.values()) / 4
    complete = [t for t in trials.values() if t.state is TrialState.COMPLETE]
    assert min(t.value for t in complete) < -8


def test_a_search_that_always_expects_more_of_what_is_new_goes_on_with_trainings_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def more_of_the_new(search, model, positions) -> np.ndarray:
        """The paused trainings come last."""
        n_paused = len(search.paused)
        return np.repeat([1.0, 1e-9], [len(positions) - n_paused, n_paused])

    gains: list[float] = []

    def train(trial: Trial) -> Trial:
        if search.outlook:
            gains.append(search.outlook.gain)
        return trained(trial)

    monkeypatch.setattr(MultiFidelitySearch, "_gain", more_of_the_new)
    search = MultiFidelitySearch(SPACE, batch_size=2, seed=1)
    parts = studied(search, 8, train)
    begun = RUNGS[0] * sum(part.fidelity == RUNGS[0] for part in parts)
    assert 0.4 * 8 < begun < 0.55 * 8
    assert min(gains) > 1e-6, "what is expected of new ones counts for `patience='auto'`"
    assert sum(part.state is TrialState.COMPLETE for part in parts) >= 2
