"""The best trials are trained again at the end of a study, and the better on average is chosen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from llmpso import Float, SearchSpace, minimize
from llmpso.errors import SpecError
from llmpso.search.multi_fidelity import MultiFidelitySearch
from llmpso.space import Params
from llmpso.study.expected import expected, expected_by_repeats
from llmpso.study.loop import run_study
from llmpso.study.repeats import Repeats, chosen, label, repeated_trial, repeats_of
from llmpso.study.spec import study_spec
from llmpso.study.stopping import StopReason
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial, TrialState

SPACE = SearchSpace({"x": Float(-5, 5)})


def noisy(params: Params, seed: int) -> float:
    return float(params["x"] ** 2 + np.random.default_rng(seed).normal())


def a_trial(number: int, value: float | None) -> Trial:
    state = TrialState.FAILED if value is None else TrialState.COMPLETE
    return replace(
        Trial(number, {"x": float(number)}, Source.SWARM, 3, 0, number), value=value, state=state
    )


def repeated(trials: list[Trial], *values: float | None) -> list[Trial]:
    asked = repeats_of(trials, len(values), 0)
    return [
        trial.failed(Failure(FailureKind.NAN, "no number"), 0.0)
        if value is None
        else trial.completed(Evaluation(value), 0.0)
        for trial, value in zip(asked, values, strict=True)
    ]


TRIALS = [a_trial(0, 3.0), a_trial(1, 1.0), a_trial(2, 2.0), a_trial(3, None)]


def test_the_two_lowest_are_repeated_in_turn_with_seeds_of_their_own() -> None:
    asked = repeats_of(TRIALS, 3, 0)
    assert [repeated_trial(trial) for trial in asked] == [1, 2, 1]
    assert {trial.source for trial in asked} == {Source.REPEAT}
    assert [label(trial) for trial in asked] == ["001 repeat 1", "002 repeat 1", "001 repeat 2"]
    seeds = {trial.seed for trial in asked}
    assert len(seeds) == 3
    assert not seeds & {trial.seed for trial in TRIALS}
    assert {trial.iteration for trial in asked} == {4}


def test_the_same_trials_are_repeated_the_same_way_when_more_is_asked() -> None:
    assert repeats_of(TRIALS, 6, 0)[:3] == repeats_of(TRIALS, 3, 0)


def test_the_lower_average_is_chosen_and_the_lucky_value_does_not_count_for_what_it_is_worth() -> (
    None
):
    repeats = repeated(TRIALS, 4.0, 2.5, 5.0, 2.1)
    best = chosen(TRIALS, repeats)
    assert best is not None
    assert best.number == 2
    found = expected_by_repeats(TRIALS, repeats)
    assert found is not None
    assert found.value == pytest.approx(2.3)
    pooled = np.sqrt((2 * np.var([1, 4, 5], ddof=1) + 2 * np.var([2, 2.5, 2.1], ddof=1)) / 4)
    assert found.deviation == pytest.approx(pooled / np.sqrt(2))
    assert str(found) == f"2.3 ± {pooled / np.sqrt(2):.2g}, the mean of 2 repeats"


def test_a_configuration_whose_repeat_fails_is_the_last_choice() -> None:
    failed_once = chosen(TRIALS, repeated(TRIALS, None, 9.0))
    assert failed_once is not None
    assert failed_once.number == 2
    both_failed = chosen(TRIALS, repeated(TRIALS, None, None))
    assert both_failed is not None
    assert both_failed.number == 1
    assert expected_by_repeats(TRIALS, repeated(TRIALS, None, None)) is None


def test_nothing_is_chosen_among_no_trials() -> None:
    assert repeats_of([a_trial(0, None)], 4, 0) == []
    assert chosen([a_trial(0, None)], []) is None


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("method", ["guided", "pso"])
def test_repeats_are_part_of_the_evaluations(method: str, n_workers: int) -> None:
    seen: list[Trial] = []
    options = {"evaluations": 20, "method": method, "n_workers": n_workers}
    result = minimize(noisy, SPACE, repeats=4, on_trial=seen.append, **options)
    assert (len(result.trials), len(result.repeats), len(seen)) == (16, 4, 20)
    assert Counter(map(repeated_trial, result.repeats)) == {
        trial.number: 2 for trial in sorted(result.trials, key=lambda trial: trial.value)[:2]
    }
    assert result.best == chosen(result.trials, result.repeats)
    assert result.expected is not None
    assert result.expected.n_repeats == 2
    assert result.stop_reason is StopReason.BUDGET


def test_repeats_are_in_the_order_in_which_they_were_asked_for() -> None:
    """Not in that in which parallel trainings end, which differs from run to run."""

    def the_last_first(asked: Sequence[Trial]) -> list[Trial]:
        return [trial.completed(Evaluation(9.0), 0.0) for trial in reversed(asked)]

    batches = Repeats(4, 0, the_last_first).batches(TRIALS)
    found = [trial.number for batch in batches for trial in batch]
    assert found == [trial.number for trial in repeats_of(TRIALS, 4, 0)]


@pytest.mark.parametrize("pauses", [False, True])
def test_a_search_that_is_resumed_pauses_before_a_useless_repeat(pauses: bool) -> None:
    """Of trainings that pause only some have ended: they do not say how far it had got."""
    (repeat,) = repeated(TRIALS[:3], 1.0)
    known = [replace(trial, order=(place,)) for place, trial in enumerate([*TRIALS[:3], repeat])]
    later = replace(TRIALS[3], order=(4,))
    repeats = study_spec(evaluations=6, repeats=2, can_pause=pauses).repeats(
        noisy, lambda asked: asked, [*known, later]
    )
    assert repeats is not None
    assert list(repeats.before) == ([] if pauses else known[:3])


def test_a_search_without_repeats_is_the_beginning_of_one_with_them() -> None:
    plain = minimize(noisy, SPACE, evaluations=16)
    assert plain.trials == tuple(
        replace(trial, started_at=own.started_at, seconds=own.seconds)
        for trial, own in zip(
            minimize(noisy, SPACE, evaluations=20, repeats=4).trials, plain.trials, strict=True
        )
    )


def test_one_repeat_finds_out_that_trainings_are_deterministic_and_the_search_goes_on() -> None:
    result = minimize(lambda params: params["x"] ** 2, SPACE, evaluations=20, repeats=4)
    assert (len(result.trials), len(result.repeats)) == (19, 1)
    assert result.best.value == min(trial.value for trial in result.trials)
    assert result.expected is None


@pytest.mark.parametrize("seed", range(6))
def test_a_race_that_goes_on_after_a_useless_repeat_knows_what_was_under_way(seed: int) -> None:
    """Short ones still train when the one that spends the budget of the first part ends."""
    begun: list[Trial] = []
    told: list[Trial] = []

    class Told(MultiFidelitySearch):
        def tell(self, trials: Sequence[Trial]) -> None:
            told.extend(trials)
            super().tell(trials)

    class FourWorkers:
        n_at_once = 4

        def __init__(self) -> None:
            self._under_way: list[Trial] = []

        def begin(self, trials: Sequence[Trial]) -> None:
            begun.extend(trials)
            self._under_way += trials

        def wait(self) -> list[Trial]:
            longest = max(self._under_way, key=lambda trial: trial.fidelity)
            self._under_way.remove(longest)
            return [trained(longest)]

    def trained(trial: Trial) -> Trial:
        return trial.measured(Evaluation(trial.params["x"] ** 2 + 1 - trial.fidelity), 0.0)

    repeats = Repeats(4, 0, lambda asked: [trained(trial) for trial in asked])
    result = run_study(Told(SPACE, batch_size=4, seed=seed), FourWorkers(), 12, repeats=repeats)
    assert len(result.repeats) == 1
    assert len(told) == len(begun)


def test_what_was_kept_for_repeats_is_searched_if_there_is_nothing_to_repeat() -> None:
    tried: list[float] = []

    def diverging(params: Params) -> float:
        tried.append(params["x"])
        if len(tried) < 4:
            raise ValueError("diverged")
        return params["x"]

    result = minimize(diverging, SPACE, evaluations=10, repeats=7, method="pso")
    assert len(result.trials) + len(result.repeats) == 10


def test_an_objective_that_says_that_it_is_deterministic_is_not_repeated() -> None:
    class Certain:
        deterministic = True

        def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
            return Evaluation(params["x"] ** 2)

    result = minimize(Certain(), SPACE, evaluations=12, repeats=4)
    assert (len(result.trials), len(result.repeats)) == (12, 0)


def test_a_study_that_reached_its_target_is_not_repeated() -> None:
    result = minimize(noisy, SPACE, evaluations=20, repeats=4, stop_at=100.0)
    assert (result.stop_reason, result.repeats) == (StopReason.TARGET, ())


def test_ctrl_c_in_the_repeats_keeps_those_that_ended() -> None:
    n_calls = 0

    def interrupted(params: Params, seed: int) -> float:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 18:
            raise KeyboardInterrupt
        return noisy(params, seed)

    result = minimize(interrupted, SPACE, evaluations=20, repeats=6)
    assert (len(result.trials), len(result.repeats)) == (14, 3)
    assert result.stop_reason is StopReason.INTERRUPTED
    assert result.best == chosen(result.trials, result.repeats)


def test_without_repeats_the_surrogate_expects_more_than_the_lowest_of_noisy_values() -> None:
    gaps = []
    for seed in range(3):
        result = minimize(noisy, SPACE, evaluations=20, seed=seed)
        assert result.expected is not None
        assert str(result.expected).endswith("by the surrogate")
        gaps.append(result.expected.value - result.best.value)
    assert np.mean(gaps) > 0.3


def test_nothing_is_expected_after_few_trials_or_outside_the_space() -> None:
    trials = [a_trial(number, float(number)) for number in range(12)]
    assert expected(trials[:6], [], trials[0], SPACE) is None
    assert expected(trials, [], trials[7], SPACE) is None  # only six of them are inside


def test_a_result_shows_what_is_expected() -> None:
    text = minimize(noisy, SPACE, evaluations=20, repeats=4)._repr_html_()
    assert "expected of another training" in text
    assert "the mean of 2 repeats" in text


def test_repeats_are_fewer_than_evaluations_and_need_one_goal() -> None:
    with pytest.raises(SpecError, match="repeats is 20 of 20 evaluations; it must be less"):
        minimize(noisy, SPACE, evaluations=20, repeats=20)
    with pytest.raises(SpecError, match="repeats is 4, which needs one goal"):
        minimize(noisy, SPACE, evaluations=20, repeats=4, goals=("a", "b"))
