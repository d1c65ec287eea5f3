"""One suite over every optimizer: what every optimizer with ask and tell must satisfy."""

import importlib.util
from typing import Any

import pytest

from llmpso.errors import SpaceError, SpecError, TellError
from llmpso.search.optimizer import Optimizer
from llmpso.search.pso import PSO
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.search.swarm import Swarm
from llmpso.trial import Evaluation, Source, Trial
from optimizer_cases import CASES, FINITE, GUESS, SPACE, Case, completed, failed, pruned, study


def test_same_seed_same_study(case: Case) -> None:
    first, second = (study(case.build(SPACE, seed=3), 20) for _ in range(2))
    assert first == second


def test_other_seed_other_study(case: Case) -> None:
    first, second = (study(case.build(SPACE, seed=seed), 20) for seed in (1, 2))
    assert [trial.params for trial in first] != [trial.params for trial in second]


def test_never_outside_the_space(case: Case) -> None:
    for trial in study(case.build(SPACE, seed=0), 30):
        assert SPACE.validate(trial.params) == trial.params


def test_trials_are_numbered_in_order(case: Case) -> None:
    trials = study(case.build(SPACE, seed=0), 20)
    assert [trial.number for trial in trials] == list(range(20))


def test_every_configuration_once_then_the_end(case: Case) -> None:
    if case.repeats:
        pytest.skip("this method may repeat itself")
    trials = study(case.build(FINITE, seed=0), 100)
    assert len(trials) == FINITE.size
    assert len({FINITE.key(trial.params) for trial in trials}) == FINITE.size


def test_start_comes_first(case: Case) -> None:
    first = study(case.build(SPACE, seed=0, start=[GUESS]), 8)[0]
    assert first.params == GUESS
    assert first.source is Source.START


def test_limit_is_respected(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    assert len(optimizer.ask(1)) == 1


def test_order_of_telling_does_not_matter(case: Case) -> None:
    forward = study(case.build(SPACE, seed=5), 20)
    backward = study(case.build(SPACE, seed=5), 20, order=lambda trials: trials[::-1])
    assert forward == backward


def test_a_study_of_failures_goes_on(case: Case) -> None:
    trials = study(case.build(SPACE, seed=0), 15, tell=failed)
    assert len(trials) == 15


def test_some_failures_do_not_stop_it(case: Case) -> None:
    def tell(trial: Trial) -> Trial:
        return failed(trial) if trial.params["kind"] == "rnn" else completed(trial)

    trials = study(case.build(SPACE, seed=0), 30, tell=tell)
    assert any(trial.value is not None for trial in trials)


def test_pruned_trials_do_not_stop_it(case: Case) -> None:
    def tell(trial: Trial) -> Trial:
        return pruned(trial) if trial.number % 2 else completed(trial)

    optimizer = case.build(SPACE, seed=0)
    trials = study(optimizer, 30, tell=tell)
    assert len(trials) == 30
    if isinstance(swarm := _swarm(optimizer), Swarm):
        assert swarm.gbest_value == min(t.value for t in trials if t.value is not None)


def test_equal_values_do_not_stop_it(case: Case) -> None:
    def tell(trial: Trial) -> Trial:
        return trial.completed(Evaluation(1.0), 0.0)

    assert len(study(case.build(SPACE, seed=0), 15, tell=tell)) == 15


def test_failed_trials_never_update_the_incumbent(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    if _swarm(optimizer) is None:
        pytest.skip("no swarm")
    optimizer.tell([failed(trial) for trial in optimizer.ask()])
    assert _swarm(optimizer).gbest_index is None


def _swarm(optimizer: Optimizer) -> Any:
    """The state of its swarm; None where there is none."""
    members = getattr(optimizer, "particles", getattr(optimizer, "population", None))
    return getattr(members, "swarm", None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_particles": 1}, SpecError, "n_particles is 1; a swarm needs at least 2"),
        ({"seed": -1}, SpecError, "seed is -1; it must be 0 or more"),
        (
            {"start": [{"layers": 2}]},
            SpaceError,
            r"start\[0\]: rate is missing; units is missing; kind is missing",
        ),
        (
            {"start": [GUESS] * 2},
            SpaceError,
            r"start\[1\] is the same configuration as an earlier one",
        ),
        (
            {"start": [GUESS] * 7, "n_particles": 6},
            SpecError,
            "start holds 7 configurations, more than the 6 particles",
        ),
    ],
)
def test_wrong_options_are_refused(
    case: Case, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    if case.repeats:
        pytest.skip("no swarm")
    with pytest.raises(error, match=message):
        case.build(SPACE, **options)


def test_an_unknown_topology_is_refused() -> None:
    with pytest.raises(SpecError, match="topology is 'web'; it must be one of: star, ring"):
        PSO(SPACE, topology="web")


def test_asking_again_is_refused_or_waits(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    optimizer.ask()
    if isinstance(optimizer, SurrogateAssistedSearch):
        assert optimizer.ask() == []
    else:
        with pytest.raises(TellError, match="before trial"):
            optimizer.ask()


def test_telling_what_was_not_asked_is_refused(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    asked = optimizer.ask()
    with pytest.raises(TellError, match="last ask|under way"):
        optimizer.tell([completed(trial) for trial in asked] * 2)
    optimizer.tell([completed(trial) for trial in asked])


@pytest.mark.parametrize("name", [name for name in CASES if "guided" in name], ids=str)
def test_some_may_be_told_while_others_are_under_way(name: str) -> None:
    case = CASES[name]
    if case.needs and importlib.util.find_spec(case.needs) is None:
        pytest.skip(f"needs {case.needs}")
    optimizer, seen = case.build(SPACE, batch_size=3, seed=0), list[Trial]()
    under_way = optimizer.ask()
    while len(seen) < 25:
        # The last that began ends first.
        seen.append(completed(under_way.pop()))
        optimizer.tell(seen[-1:])
        under_way += (asked := optimizer.ask())
        assert len(under_way) == 3 or not asked
        members = [trial.particle for trial in under_way]
        assert len(set(members)) == len(members)
    configurations = {SPACE.key(trial.params) for trial in (*seen, *under_way)}
    assert len(configurations) == len(seen) + len(under_way)


def test_pending_trials_are_refused(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    with pytest.raises(TellError, match="pending"):
        optimizer.tell(optimizer.ask())
