"""What a step of the search costs does not grow with the study."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from llmpso import Categorical, Evaluation, Float, Integer, SearchSpace, minimize
from llmpso.options import StopOptions
from llmpso.search.surrogate import (
    feasibility,
    fitter,
    gaussian_process,
    observations,
    posterior,
)
from llmpso.search.surrogate.fitter import Fitter
from llmpso.search.surrogate.gaussian_process import AT_ONCE, MAX_FITTED, one_thread
from llmpso.search.surrogate.observations import (
    MAX_OBSERVED,
    Observations,
    around,
    around_the_best,
)
from llmpso.search.surrogate.scores import clipped_scores
from llmpso.space import Floats, Params
from llmpso.study.stopping import StopConditions
from llmpso.trial import Failure, FailureKind, Source, Trial

PLANE = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
ORDERED = np.array([False, False])


@pytest.fixture(autouse=True)
def on_one_thread() -> Iterator[None]:
    """As in a search: matrices so small are far slower when threads fight over busy cores."""
    with one_thread():
        yield


def trials_of(space: SearchSpace, positions: Floats, values: Floats) -> list[Trial]:
    """Finished trials at some places; NaN is a failed one."""
    finished = []
    for number, (position, value) in enumerate(zip(positions, values.tolist(), strict=True)):
        trial = Trial(number, space.decode(position), Source.SWARM, number, 0, number)
        if math.isnan(value):
            finished.append(trial.failed(Failure(FailureKind.EXCEPTION, "no"), 0.0))
        else:
            finished.append(trial.completed(Evaluation(value), 0.0))
    return finished


def observed(space: SearchSpace, n: int, n_failed: int = 0) -> Observations:
    rng = np.random.default_rng(n)
    positions = rng.random((n, len(space)))
    values = np.sum((positions - 0.3) ** 2, axis=1)
    values[rng.choice(n, n_failed, replace=False)] = np.nan
    known = Observations(space)
    known.add(trials_of(space, positions, values))
    return known


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """The sides of all matrices that are fitted, and of all that are factorised."""
    seen: dict[str, list[int]] = {"fitted": [], "factorised": []}
    fit, condition = gaussian_process.most_probable, gaussian_process.conditioned

    def most_probable(apart, *rest):
        seen["fitted"].append(apart.shape[1])
        return fit(apart, *rest)

    def conditioned(theta, positions, *rest):
        seen["factorised"].append(len(positions))
        return condition(theta, positions, *rest)

    for module in (posterior, feasibility):
        monkeypatch.setattr(module, "most_probable", most_probable)
        monkeypatch.setattr(module, "conditioned", conditioned)
    return seen


@pytest.mark.parametrize(("n", "n_failed"), [(1_000, 0), (1_000, 500), (1_000, 990)])
def test_a_surrogate_is_made_of_so_many_observations_at_most(sizes, n, n_failed) -> None:
    model = Fitter(PLANE).fitted(observed(PLANE, n, n_failed))
    assert max(sizes["fitted"]) <= MAX_FITTED
    assert max(sizes["factorised"]) <= MAX_OBSERVED
    assert len(model.scores) == min(MAX_OBSERVED, n - n_failed)
    assert (model.feasibility is None) == (n_failed == 0)


def test_in_a_long_search_no_matrix_is_larger(sizes, monkeypatch) -> None:
    monkeypatch.setattr(observations, "MAX_OBSERVED", 30)
    for module in (fitter, posterior, feasibility):
        monkeypatch.setattr(module, "MAX_FITTED", 15)
    values = iter(range(1_000))

    def fails_often(params: Params) -> float:
        if next(values) % 3 == 0:
            raise RuntimeError("again")
        return params["x"] + params["y"]

    grid = SearchSpace({"x": Integer(0, 1_000), "y": Integer(0, 1_000)})
    minimize(fails_often, grid, evaluations=100, n_workers=8)
    assert max(sizes["factorised"]) == 30 + 7  # and what is believed of a batch
    assert max(sizes["fitted"]) == 15


def test_a_long_search_of_real_numbers_is_left_to_the_swarm(sizes) -> None:
    shape = {"evaluations": MAX_OBSERVED + 60, "n_workers": 8, "synchronous": True}
    trials = minimize(lambda p: (p["x"] - 0.3) ** 2 + p["y"], PLANE, **shape).trials
    at_first = {trial.source for trial in trials[:MAX_OBSERVED]}
    assert at_first == {Source.INITIAL, Source.SURROGATE, Source.SWARM}
    first = -(-MAX_OBSERVED // 8) * 8
    assert {trial.source for trial in trials[first:]} == {Source.SWARM}
    assert max(sizes["factorised"]) < MAX_OBSERVED + 8


def test_hyperparameters_are_fitted_at_every_step_at_first_and_then_seldom(sizes) -> None:
    model = Fitter(PLANE)
    counts = []
    for n in (20, 21, MAX_FITTED, MAX_FITTED + 1, MAX_FITTED + 7, MAX_FITTED + 8, 500, 524, 525):
        model.fitted(observed(PLANE, n))
        counts.append(len(sizes["fitted"]))
    assert counts == [1, 2, 3, 3, 3, 4, 5, 5, 6]


def test_in_many_dimensions_they_are_fitted_less_often_from_the_start(sizes) -> None:
    wide = SearchSpace({f"x{i}": Float(0, 1) for i in range(400)})
    model = Fitter(wide)
    for n in (22, 23, 24, 25, 26, 30):
        model.fitted(observed(wide, n))
    assert sizes["fitted"] == [22, 23, 25, 30]


def test_with_many_workers_they_are_not_fitted_at_each_result(sizes) -> None:
    for n_at_once, fitted in ((31, [20, 21, 22, 23, 24]), (64, [20, 24]), (256, [20])):
        sizes["fitted"].clear()
        model = Fitter(PLANE, n_at_once=n_at_once)
        for n in range(20, 25):
            model.fitted(observed(PLANE, n))
        assert sizes["fitted"] == fitted


def test_the_incumbent_and_its_neighbours_are_used() -> None:
    rng = np.random.default_rng(0)
    positions = rng.random((2_000, 2))
    scores = np.sum((positions - 0.3) ** 2, axis=1)
    rows = around_the_best(positions, scores, ORDERED)
    assert len(rows) == len(set(rows.tolist())) == MAX_OBSERVED
    assert np.all(np.diff(rows) > 0)
    nearest = np.argsort(np.sum((positions - positions[scores.argmin()]) ** 2, axis=1))
    assert set(nearest[: MAX_OBSERVED // 2]) <= set(rows)
    assert set(np.argsort(scores)[: MAX_OBSERVED // 4]) <= set(rows)
    assert rows.min() < 100
    assert rows.max() > 1_900


def test_few_observations_are_all_used_as_they_are() -> None:
    positions = np.random.default_rng(0).random((MAX_OBSERVED, 2))
    every = np.arange(MAX_OBSERVED)
    assert np.array_equal(around_the_best(positions, positions[:, 0], ORDERED), every)
    assert np.array_equal(around(positions, positions[0], ORDERED), every)


def test_choices_without_order_are_near_only_if_they_are_the_same() -> None:
    positions = np.random.default_rng(0).choice([1 / 6, 0.5, 5 / 6], (900, 1))
    rows = around(positions, np.array([1 / 6]), np.array([True]))
    assert np.sum(positions[rows] == 1 / 6) >= MAX_OBSERVED // 2


def test_a_long_study_is_still_ranked() -> None:
    model = Fitter(PLANE).fitted(observed(PLANE, 1_000))
    new = np.random.default_rng(1).random((200, 2))
    truth = np.sum((new - 0.3) ** 2, axis=1)
    good = truth < np.median(truth)  # the worse ones count as equally bad
    assert np.corrcoef(model.predict(new).means[good], truth[good])[0, 1] > 0.9


def test_distances_in_many_dimensions_are_held_a_few_dimensions_at_a_time(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    a, b, theta = rng.random((400, 70)), rng.random((90, 70)), rng.random(72)
    unordered = np.arange(70) % 3 == 0
    held: list[int] = []
    whole = gaussian_process.apart

    def apart(*arguments) -> Floats:
        held.append(whole(*arguments).size)
        return whole(*arguments)

    monkeypatch.setattr(gaussian_process, "apart", apart)
    in_parts = gaussian_process.covariance(theta, a, b, unordered)
    assert max(held) <= AT_ONCE
    assert len(held) > 1
    monkeypatch.setattr(gaussian_process, "AT_ONCE", 10 * AT_ONCE)
    assert gaussian_process.covariance(theta, a, b, unordered) == pytest.approx(in_parts)


@pytest.mark.parametrize(
    "values",
    [
        [1.0] * 400,
        [1e300, -1e300] * 200,
        [1.7e308, -1.7e308, 1.0, 2.0] * 100,
        [1e-300, 2e-300] * 200,
        [-1e300, *[1.0] * 399],
        [1.0, math.nan] * 200,
        [1.0, 2.0, *[math.nan] * 398],
    ],
)
def test_it_accepts_repeated_places_and_any_finite_value(values: list[float]) -> None:
    rng = np.random.default_rng(0)
    positions = np.repeat(rng.random((4, 2)), 100, axis=0)
    known = Observations(PLANE)
    known.add(trials_of(PLANE, positions, np.array(values)))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        model = Fitter(PLANE).fitted(known)
        prediction = model.predict(np.vstack([positions[:3], rng.random((3, 2))]))
    for figures in (prediction.means, prediction.deviations, prediction.failing):
        assert np.all(np.isfinite(figures))


def test_large_values_are_scored_as_small_ones_are() -> None:
    values = np.array([3.0, 1.0, 2.0, 5.0])
    assert clipped_scores(1e305 * values) == pytest.approx(clipped_scores(values))


def test_observations_grow_with_the_results() -> None:
    whole, parts = observed(PLANE, 100, 7), Observations(PLANE)
    rng = np.random.default_rng(100)
    positions = rng.random((100, 2))
    values = np.sum((positions - 0.3) ** 2, axis=1)
    values[rng.choice(100, 7, replace=False)] = np.nan
    trials = trials_of(PLANE, positions, values)
    for first in range(0, 100, 3):
        parts.add(trials[first : first + 3][::-1])
    assert len(parts) == 100
    assert parts.n_ranked == 93
    assert np.array_equal(parts.positions, whole.positions)
    assert np.array_equal(parts.values, whole.values)


def test_a_meter_looks_at_each_trial_once() -> None:
    class Counted(list):
        looked_at = 0

        def __getitem__(self, at):
            Counted.looked_at += len(super().__getitem__(at))
            return super().__getitem__(at)

    meter, trials = StopConditions(StopOptions(patience=10_000)), Counted()
    for trial in trials_of(PLANE, np.full((500, 2), 0.5), np.arange(500.0)):
        trials.append(trial)
        assert meter.reached(trials) is None
    assert Counted.looked_at == 500


@pytest.mark.parametrize("n_workers", [1, 8])
def test_a_space_of_choices_is_searched_to_its_end(n_workers: int) -> None:
    space = SearchSpace({name: Categorical(("a", "b", "c", "d")) for name in "uvw"})
    result = minimize(
        lambda params: sum(map(ord, params.values())),
        space,
        evaluations=5_000,
        n_workers=n_workers,
    )
    assert len(result.trials) == space.size == 64
    assert result.stop_reason == "exhausted"
