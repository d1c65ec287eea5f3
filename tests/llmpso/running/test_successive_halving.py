"""The race by itself: who goes on, who stops, and what never happens."""

import json
import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmpso.errors import SpecError
from llmpso.running.pending_records import trial_of, trial_record
from llmpso.running.successive_halving import Race, Racing
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial, TrialState

RACING = Racing(rungs=(0.25, 0.5), promoted=0.5, among=0.5)
VALUES = st.lists(
    # The value at each rung and in the end; NaN fails.
    st.tuples(*[st.one_of(st.integers(0, 9).map(float), st.just(math.nan))] * 3),
    min_size=1,
    max_size=8,
)
BATCHES = st.lists(VALUES, min_size=1, max_size=5)
SHARES = (0.25, 0.5, 1.0)


def trials_of(values, iteration=0, first=0):
    return [
        Trial(first + i, {"values": v}, Source.SWARM, iteration=iteration, particle=i, seed=i)
        for i, v in enumerate(values)
    ]


class Track:
    """Trains by looking values up, and keeps a record of what was asked."""

    def __init__(self, ends_itself=()):
        self.asked = []
        self.ends_itself = ends_itself

    def train(self, trials):
        return [self._trained(trial) for trial in trials][::-1]

    def _trained(self, trial):
        self.asked.append((trial.number, trial.fidelity))
        value = trial.params["values"][SHARES.index(trial.fidelity)]
        is_final = trial.number in self.ends_itself
        return trial.measured(
            Evaluation(value, {"epochs": 4 * trial.fidelity}, is_final=is_final), 1.0
        )

    def prune(self, trial):
        assert trial.state is TrialState.PRUNED
        return replace(trial, note="seen")


def raced(batches, racing=RACING):
    race, track, results = Race(racing), Track(), []
    for iteration, values in enumerate(batches):
        results += race.run(trials_of(values, iteration, len(results)), track.train, track.prune)
    return results, track


@settings(deadline=None)
@given(BATCHES)
def test_every_trial_is_told_once_with_a_state_that_fits_how_far_it_got(batches):
    results, track = raced(batches)
    assert sorted(trial.number for trial in results) == list(range(sum(map(len, batches))))
    for trial in results:
        reached = [fidelity for number, fidelity in track.asked if number == trial.number]
        assert reached == sorted(set(reached)) == list(SHARES[: len(reached)])
        assert trial.fidelity == reached[-1]
        if trial.state is TrialState.COMPLETE:
            assert trial.fidelity == 1.0
            assert trial.value == trial.params["values"][2]
        elif trial.state is TrialState.PRUNED:
            assert trial.value is None
            assert trial.fidelity < 1.0
            assert trial.rungs[-1] == (trial.fidelity, trial.params["values"][len(reached) - 1])
            assert trial.note == "seen"
        else:
            assert trial.failure.kind is FailureKind.NAN


@settings(deadline=None)
@given(BATCHES)
def test_the_same_values_make_the_same_race(batches):
    first, second = (
        [(t.number, t.state, t.fidelity) for t in raced(batches)[0]] for _ in range(2)
    )
    assert first == second


@settings(deadline=None)
@given(VALUES)
def test_who_goes_on_was_no_worse_than_who_stops_at_the_same_rung(values):
    results, _ = raced([values])
    for rung in (0.25, 0.5):
        at = {trial.number: dict(trial.rungs).get(rung) for trial in results}
        stopped = [
            at[t.number] for t in results if t.state is TrialState.PRUNED and t.fidelity == rung
        ]
        went_on = [at[t.number] for t in results if t.fidelity > rung and at[t.number] is not None]
        assert max(went_on, default=-1) <= min(stopped, default=10)


@settings(deadline=None)
@given(VALUES)
def test_a_first_batch_that_does_not_fail_gives_a_value(values):
    whole = [tuple(0.0 if math.isnan(v) else v for v in row) for row in values]
    results, _ = raced([whole])
    assert any(trial.state is TrialState.COMPLETE for trial in results)


@settings(deadline=None)
@given(st.integers(1, 64))
def test_no_more_than_the_promoted_share_continues(n):
    results, track = raced([[(float(i),) * 3 for i in range(n)]])
    reached = Counter(fidelity for _, fidelity in track.asked)
    assert reached[0.25] == n
    assert reached[0.5] == math.ceil(n / 2)
    assert 0 in [trial.number for trial in results if trial.state is TrialState.COMPLETE]


def test_a_batch_of_one_is_compared_with_the_earlier_ones():
    results, _ = raced(
        [[(3.0, 3.0, 3.0)], [(1.0, 1.0, 1.0)], [(3.5, 0.0, 0.0)], [(0.5, 0.5, 0.5)]]
    )
    states = [trial.state for trial in results]
    assert states == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.COMPLETE,
    ]


def test_a_training_that_ended_by_itself_is_complete_and_costs_no_more():
    track = Track(ends_itself={0})
    results = Race(RACING).run(
        trials_of([(5.0,) * 3, (1.0,) * 3, (2.0,) * 3]), track.train, track.prune
    )
    by_number = {trial.number: trial for trial in results}
    assert by_number[0].state is TrialState.COMPLETE
    assert (by_number[0].value, by_number[0].fidelity) == (5.0, 0.25)
    assert by_number[0].metrics["epochs"] == 1
    assert [number for number, _ in track.asked].count(0) == 1
    # Since there is a value, nothing else need go on; the better one does.
    assert by_number[1].state is TrialState.COMPLETE


def test_seconds_add_up_and_a_failure_records_what_was_known():
    trial = trials_of([(1.0, 1.0, 1.0)])[0]
    first = replace(trial, fidelity=0.25).measured(Evaluation(1.0, {"epochs": 1.0}), 2.0)
    assert (first.state, first.seconds) == (TrialState.PENDING, 2.0)
    lost = replace(first, fidelity=0.5).failed(Failure(FailureKind.LOST_WORKER, "gone"), 3.0)
    assert (lost.seconds, lost.metrics) == (5.0, {"epochs": 1.0})
    done = replace(first, fidelity=1.0).measured(Evaluation(0.5, {"epochs": 4.0}), 3.0)
    assert (done.state, done.seconds, done.value) == (TrialState.COMPLETE, 5.0, 0.5)
    assert done.at(0.25) == replace(
        done, state=TrialState.PENDING, value=None, fidelity=0.25, rungs=((0.25, 1.0),)
    )
    assert done.at(1.0) is done
    assert done.at(0.5) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rungs": ()}, "rungs is (); it must rise between 0 and 1"),
        ({"rungs": (0.5, 0.25)}, "it must rise between 0 and 1"),
        ({"rungs": (0.0, 0.5)}, "it must rise between 0 and 1"),
        ({"rungs": (0.5, 1.0)}, "it must rise between 0 and 1"),
        ({"promoted": 0.0}, "promoted is 0.0; it must be in (0, 1]"),
        ({"among": 1.5}, "among is 1.5; it must be in (0, 1]"),
    ],
)
def test_a_race_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(SpecError) as error:
        Racing(**options)
    assert message in str(error.value)


def test_what_was_measured_at_a_pause_is_what_it_was_then():
    trial = trials_of([(1.0, 1.0, 1.0)])[0]
    within, above = {"memory_mb": (1.0, 5.0)}, {"memory_mb": (6.0, 5.0)}
    paused = replace(trial, fidelity=0.25).measured(Evaluation(1.0, constraints=within), 2.0)
    done = replace(paused, fidelity=1.0).measured(Evaluation(0.5, constraints=above), 3.0)
    assert done.constraints == above
    assert trial_of(json.loads(json.dumps(trial_record(done)))).at(0.25).constraints == within
