"""Racing in a whole study: what the swarm hears of it, and what it costs."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmpso import Evaluation, Float, SearchSpace, minimize, report
from llmpso.search.pso import PSO
from llmpso.search.surrogate.observations import LEAST_RANKED, Observations
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.trial import Source, Trial, TrialState

SPACE = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})
EPOCHS = 16


class Learner:
    """Comes down to a bowl's height from above, epoch by epoch; at first it seems far better.

    So a value of a low fidelity that got into a best would be seen there.
    """

    def __init__(self) -> None:
        self.spent = 0

    def evaluate(self, params, *, fidelity, seed) -> Evaluation:
        return self._trained(params, fidelity, 0)

    def train_to(self, params, *, fidelity, seed, checkpoint: Path) -> Evaluation:
        done = int(checkpoint.read_text()) if checkpoint.exists() else 0
        evaluation = self._trained(params, fidelity, done)
        checkpoint.write_text(str(math.ceil(fidelity * EPOCHS)))
        return evaluation

    def _trained(self, params, fidelity, done) -> Evaluation:
        epochs = math.ceil(fidelity * EPOCHS)
        self.spent += epochs - done
        height = params["x"] ** 2 + params["y"] ** 2
        return Evaluation(height - 1000 * (1 - fidelity), {"epochs": float(epochs)})


@pytest.fixture(params=["pso", "guided"])
def method(request) -> str:
    return request.param


def run(method, racing, seed=0, **options):
    objective = Learner()
    trials = []
    result = minimize(
        objective,
        SPACE,
        evaluations=40,
        method=method,
        seed=seed,
        racing=racing,
        on_trial=trials.append,
        **options,
    )
    return result, objective.spent, trials


def test_racing_tries_more_for_the_same_epochs_and_counts_them_all(method):
    whole, full_cost, _ = run(method, False)
    raced, cost, reported = run(method, True)
    assert len(whole.trials) == 40
    assert len(raced.trials) > 1.4 * 40
    assert full_cost == 40 * EPOCHS
    assert cost == sum(trial.metrics["epochs"] for trial in raced.trials)
    assert 0.99 * full_cost <= cost <= full_cost + 2 * EPOCHS
    assert {trial.state for trial in raced.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert sorted(trial.number for trial in reported) == list(range(len(raced.trials)))
    assert raced.best.state is TrialState.COMPLETE
    assert 0 <= raced.best.value < 5


@pytest.mark.parametrize(("method", "races"), [("guided", True), ("pso", False)])
def test_what_can_pause_races_by_default_where_the_search_gains_by_it(method, races):
    by_default, asked = (run(method, racing)[0].trials for racing in (None, races))
    assert [(t.params, t.state) for t in by_default] == [(t.params, t.state) for t in asked]
    assert any(trial.state is TrialState.PRUNED for trial in by_default) == races


@pytest.mark.parametrize(("racing", "stops"), [(None, True), (False, False)])
def test_what_reports_is_stopped_by_default(racing, stops):
    def train(params):
        for epoch in range(1, EPOCHS + 1):
            report(epoch, params["x"] ** 2 + params["y"] ** 2 + EPOCHS - epoch)
        return params["x"] ** 2 + params["y"] ** 2

    result = minimize(train, SPACE, evaluations=20, racing=racing)
    assert any(trial.state is TrialState.PRUNED for trial in result.trials) == stops


def test_what_does_not_report_is_trained_in_full_by_default_and_nothing_is_said(caplog):
    by_default, whole = (
        minimize(lambda params: params["x"], SPACE, evaluations=6, racing=racing)
        for racing in (None, False)
    )
    assert [trial.params for trial in by_default.trials] == [t.params for t in whole.trials]
    assert not caplog.messages


def test_the_same_seed_makes_the_same_race_on_any_number_of_workers(method):
    shape = {"particles": 6, "batch": 2, "synchronous": True}

    def results(**options):
        return [
            (trial.params, trial.state, trial.value, trial.rungs)
            for trial in run(method, True, seed=3, **options)[0].trials
        ]

    assert results(**shape) == results(n_workers=4, **shape)


@pytest.mark.parametrize("kind", [PSO, SurrogateAssistedSearch])
def test_a_pruned_trial_never_updates_a_best(kind):
    optimizer = kind(SPACE, n_particles=4, seed=1)
    swarm_of = "particles" if kind is PSO else "population"
    for _ in range(8):
        before = getattr(optimizer, swarm_of).swarm.pbest_values.copy()
        results = []
        for trial in optimizer.ask():
            if trial.number % 2:
                low = Evaluation(-1000.0, {"epochs": 1.0})
                results.append(_at(trial, 0.25).measured(low, 0.0).pruned())
            else:
                results.append(trial.completed(Evaluation(trial.params["x"] ** 2), 0.0))
        optimizer.tell(results)
        after = getattr(optimizer, swarm_of).swarm.pbest_values
        assert after[np.isfinite(after)].min() >= 0
        for trial in results:
            if trial.state is TrialState.PRUNED:
                assert after[trial.particle] == before[trial.particle]


def test_the_surrogate_takes_a_pruned_trial_to_be_as_far_behind_as_it_was():
    observed = Observations(SPACE)
    best = _at(_trial(0), 0.25).measured(Evaluation(10.0), 0.0)
    best = _at(best, 1.0).measured(Evaluation(4.0), 0.0)
    behind = _at(_trial(1), 0.25).measured(Evaluation(13.0), 0.0).pruned()
    ahead = _at(_trial(2), 0.25).measured(Evaluation(9.0), 0.0).pruned()
    observed.add([best, behind, ahead])
    assert observed.values.tolist() == [4.0, 7.0, 4.0]
    assert observed.n_ranked >= LEAST_RANKED


def test_without_a_value_nothing_can_be_said_of_pruned_trials():
    observed = Observations(SPACE)
    observed.add([_at(_trial(i), 0.25).measured(Evaluation(1.0), 0.0).pruned() for i in (0, 1)])
    assert observed.n_ranked < LEAST_RANKED


def test_a_function_that_does_not_report_is_trained_in_full_and_that_is_said(caplog):
    result = minimize(lambda params: params["x"], SPACE, evaluations=4, racing=True)
    assert {trial.state for trial in result.trials} == {TrialState.COMPLETE}
    assert caplog.text.count("racing has no effect: the training did not report") == 1


def _trial(number: int) -> Trial:
    params = {"x": float(number), "y": 0.0}
    return Trial(number, params, Source.INITIAL, iteration=0, particle=number, seed=number)


def _at(trial: Trial, fidelity: float) -> Trial:
    return replace(trial, fidelity=fidelity)


def at_the_end(size: float) -> Evaluation:
    """The larger the better; the limit is measured when the training has ended."""
    return Evaluation(1 / size, constraints={"latency_ms": (size, 3.0)})


def reporting(params) -> Evaluation:
    for epoch in range(1, 33):
        report(epoch, (2 - epoch / 32) / params["size"])
    return at_the_end(params["size"])


def pausing(params, fidelity, checkpoint):
    size = params["size"]
    return at_the_end(size) if fidelity == 1 else (2 - fidelity) / size


class Rated:
    """Measures the limit at every rung."""

    def evaluate(self, params, *, fidelity, seed) -> Evaluation:
        return replace(at_the_end(params["size"]), value=(2 - fidelity) / params["size"])

    def train_to(self, params, *, fidelity, seed, checkpoint: Path) -> Evaluation:
        return self.evaluate(params, fidelity=fidelity, seed=seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("objective", "options"),
    [(reporting, {}), (pausing, {}), (Rated(), {}), (Rated(), {"method": "pso", "racing": True})],
)
def test_what_is_above_a_limit_does_not_keep_others_from_being_trained(
    objective, options, seed
) -> None:
    space = SearchSpace({"size": Float(1, 10), "other": Float(0, 1)})
    result = minimize(objective, space, evaluations=30, seed=seed, **options)
    complete = [trial for trial in result.trials if trial.state is TrialState.COMPLETE]
    assert len(complete) >= 5
    assert result.best.params["size"] > 2.9
