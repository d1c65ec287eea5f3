"""A user's story: a plain loop with one added line, alone and in a study; and wrong reports."""

import gc
import logging
import math
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest

from llmpso import (
    Evaluation,
    Float,
    SearchSpace,
    TrainingStoppedError,
    checkpoint,
    minimize,
    report,
)
from llmpso.fidelity.curve import MOST_POINTS
from llmpso.fidelity.limits import StepLimits
from llmpso.objectives.user_function import PlainFunction
from llmpso.running.evaluate import evaluate_trial
from llmpso.study.workers import Batches, LimitedWorkers
from llmpso.trial import FailureKind, Limit, Source, Trial, TrialState

SPACE = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})
EPOCHS = 27
TRIAL = Trial(0, {"x": 1.0, "y": 0.0}, Source.SWARM, iteration=0, particle=0, seed=3)


def height(params) -> float:
    return params["x"] ** 2 + params["y"] ** 2


def train(params) -> float:
    """Comes down to a bowl's height, epoch by epoch."""
    loss = math.inf
    for epoch in range(1, EPOCHS + 1):
        loss = height(params) + 20 * (1 - epoch / EPOCHS)
        report(epoch, loss)
    return loss


def measured(function, trial=TRIAL):
    return evaluate_trial(PlainFunction(function, SPACE), trial)


def with_limits(*limits: tuple[int, float], until: int = 0) -> Trial:
    own = tuple(Limit(step, value, step / EPOCHS) for step, value in limits)
    return replace(TRIAL, limits=own, until=until)


def test_a_loop_with_one_added_line_is_raced_in_a_study() -> None:
    result = minimize(train, SPACE, evaluations=40, seed=1, racing=True)
    states = [trial.state for trial in result.trials]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    epochs = sum(trial.n_steps for trial in result.trials)
    assert 40 * EPOCHS - 1 <= epochs < 0.8 * len(states) * EPOCHS
    assert result.best.value == min(t.value for t in result.trials if t.value is not None) < 0.5
    for trial in result.trials:
        if trial.state is TrialState.PRUNED:
            assert trial.value is None
            assert trial.n_steps in (1, 3, 6, 12)
            assert trial.rungs[-1][0] == trial.fidelity == trial.n_steps / EPOCHS
        else:
            assert trial.n_steps == EPOCHS
            assert [fidelity for fidelity, _ in trial.rungs] == [n / 27 for n in (1, 3, 6, 12)]


def test_the_same_script_runs_outside_a_study_as_before() -> None:
    assert train({"x": 1.0, "y": 0.0}) == 1.0
    assert checkpoint() is None
    began = time.perf_counter()
    for step in range(100_000):
        report(step, math.nan)
    assert time.perf_counter() - began < 1.0


def test_without_racing_nothing_is_stopped_and_the_curve_is_on_record() -> None:
    result = minimize(train, SPACE, evaluations=6, racing=False)
    assert all(trial.state is TrialState.COMPLETE for trial in result.trials)
    outcome = measured(train)
    assert outcome.evaluation.reports[0] == (1, 1 + 20 * 26 / 27)
    assert len(outcome.evaluation.reports) == outcome.trial.n_steps == EPOCHS
    assert [step for step, _ in outcome.trial.milestones] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 27]


def test_the_same_seed_stops_the_same_trainings_on_any_number_of_workers() -> None:
    shape = {"particles": 6, "batch": 3, "seed": 2, "racing": True, "evaluations": 24}
    alone = minimize(train, SPACE, **shape)
    together = minimize(train, SPACE, n_workers=3, synchronous=True, **shape)
    assert [(t.params, t.state, t.rungs) for t in alone.trials] == [
        (t.params, t.state, t.rungs) for t in together.trials
    ]


@pytest.mark.parametrize(
    ("lowest_at", "ends_from", "ended_at"), [(6, 4, 12), (1, 4, 4), (30, 4, 40)]
)
def test_a_training_ends_by_itself_twice_as_far_as_its_lowest_value(
    lowest_at, ends_from, ended_at
) -> None:
    def loop(params):
        for epoch in range(1, 41):
            loss = math.nan if epoch == 2 else abs(epoch - lowest_at)
            if report(epoch, loss, total=40, ends_from=ends_from):
                break
        return loss

    ended = measured(loop)
    assert ended.trial.state is TrialState.COMPLETE
    assert ended.evaluation.reports[-1][0] == ended_at
    assert ended.trial.n_steps == 40
    assert loop({}) == abs(40 - lowest_at)


def test_a_resumed_training_knows_its_lowest_value_at_the_milestones_before() -> None:
    def loop(params):
        return next(e for e in range(7, 41) if report(e, 1.0, ends_from=2))

    resumed = replace(TRIAL, milestones=((1, 3.0), (4, 0.5), (6, 0.9)))
    assert measured(loop, resumed).trial.value == 8


def test_a_training_is_stopped_at_the_first_report_at_or_after_a_limit() -> None:
    def every_fifth(params):
        for epoch in range(5, 28, 5):
            report(epoch, 30.0 - epoch)

    stopped = measured(every_fifth, with_limits((1, 100.0), (8, 15.0), (20, 0.0))).trial
    assert stopped.state is TrialState.PRUNED
    assert (stopped.n_steps, stopped.fidelity) == (10, 8 / EPOCHS)
    assert stopped.rungs == ((1 / EPOCHS, 25.0), (8 / EPOCHS, 20.0))


def test_a_value_as_good_as_the_limit_goes_on() -> None:
    kept = measured(train, with_limits((27, 1.0)))
    assert kept.trial.state is TrialState.COMPLETE


def test_a_training_pauses_where_it_is_to_and_is_pending() -> None:
    paused = measured(train, replace(with_limits(until=9), fidelity=1 / 3)).trial
    assert paused.state is TrialState.PENDING
    assert paused.rungs == ((1 / 3, pytest.approx(1 + 20 * 18 / 27)),)
    ended = measured(lambda p: report(1, 2.0) or 2.0, replace(paused, until=9)).trial
    assert ended.state is TrialState.COMPLETE


def test_a_paused_training_goes_on_from_its_checkpoint(tmp_path) -> None:
    done: list[int] = []

    def resumes(params, trial):
        path = checkpoint()
        assert path == trial.checkpoint
        first = int(path.read_text()) + 1 if path.exists() else 1
        for epoch in range(first, EPOCHS + 1):
            done.append(epoch)
            path.write_text(str(epoch))
            report(epoch, 100.0 - epoch)
        return 73.0

    asked = replace(with_limits(until=9), fidelity=1 / 3, checkpoint=str(tmp_path / "state"))
    paused = measured(resumes, asked).trial
    assert paused.rungs == ((1 / 3, 91.0),)
    # A limit that was passed before the pause is not checked again.
    limits = (Limit(9, 0.0, 1 / 3),)
    outcome = measured(resumes, replace(paused, until=0, fidelity=1.0, limits=limits))
    assert (outcome.trial.state, outcome.trial.value) == (TrialState.COMPLETE, 73.0)
    assert done == list(range(1, EPOCHS + 1))
    assert [step for step, _ in outcome.trial.milestones] == [
        *(1, 2, 3, 4, 6, 8, 9),
        *(10, 12, 16, 24, 27),
    ]
    assert outcome.evaluation.reports[-1] == (27, 73.0)


def test_a_training_that_catches_the_stop_is_recorded_as_stopped() -> None:
    def swallows(params):
        for epoch in range(1, 10):
            try:
                report(epoch, 10.0 - epoch)
            except Exception:  # noqa: BLE001 - users do so
                continue
        return -100.0

    ended = measured(swallows, with_limits((3, 1.0)))
    assert (ended.trial.state, ended.trial.value, ended.trial.n_steps) == (
        TrialState.PRUNED,
        None,
        3,
    )
    assert ended.trial.rungs == ((3 / EPOCHS, 7.0),)
    assert ended.trial.warnings == (
        "report stopped the training at step 3, but it went on and returned",
    )
    assert len(ended.evaluation.reports) == 3


def test_an_error_after_the_stop_does_not_make_it_a_failed_trial() -> None:
    def cleans_up_badly(params):
        try:
            report(3, 5.0)
        finally:
            raise RuntimeError("no room")

    ended = measured(cleans_up_badly, with_limits((3, 1.0))).trial
    assert (ended.state, ended.failure) == (TrialState.PRUNED, None)
    assert ended.warnings == (
        "report stopped the training at step 3, but it went on and raised RuntimeError: no room",
    )


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("limits", [(), ((3, 1.0),)])
def test_a_training_that_raised_leaves_nothing_in_memory(limits) -> None:
    class Network:
        pass

    seen: list[weakref.ref[Network]] = []

    def train_and_raise(params):
        network = Network()
        seen.append(weakref.ref(network))
        report(3, 5.0)
        raise RuntimeError("out of memory")

    gc.collect()
    gc.disable()
    try:
        measured(train_and_raise, with_limits(*limits))
        assert seen[0]() is None
    finally:
        gc.enable()


def test_what_was_reported_before_a_failure_is_on_record() -> None:
    def breaks(params):
        report(1, 5.0)
        raise RuntimeError("broken")

    outcome = measured(breaks)
    assert outcome.trial.state is TrialState.FAILED
    assert outcome.evaluation.reports == ((1, 5.0),)


def test_trial_is_passed_to_a_function_that_names_it() -> None:
    def reports(params, trial, seed, fidelity=1.0):
        done = threading.Thread(target=trial.report, args=(1, 4.0), kwargs={"total": 9})
        done.start()
        done.join()
        assert trial.checkpoint is None
        return seed

    outcome = measured(reports)
    assert outcome.evaluation.reports == ((1, 4.0),)
    assert (outcome.trial.n_steps, outcome.trial.value) == (9, 3.0)
    alone = PlainFunction(reports, SPACE).evaluate({"x": 0.0, "y": 0.0}, fidelity=1.0, seed=5)
    assert alone.value == 5
    assert minimize(reports, SPACE, evaluations=2).trials[0].n_steps == 9


@pytest.mark.parametrize(
    ("calls", "reports", "warning"),
    [
        (
            [(1, 3.0), (3, 2.0), (2, 1.0), (3, 0.5), (4, 1.0)],
            ((1, 3.0), (3, 2.0), (4, 1.0)),
            "report: step 2 came after step 3; it is not used",
        ),
        (
            [(1, 3.0), (2, math.nan), (3, 1.0)],
            ((1, 3.0), (2, math.nan), (3, 1.0)),
            "report: the value at step 2 is nan; it stays in the curve",
        ),
        (
            [(0.53, 1), (2, 1.0)],
            ((2, 1.0),),
            "report: step is 0.53; it must be a whole number of at least 0: report(step, value, "
            "total=...); it is not used",
        ),
        (
            [(-1, 1.0), (True, 1.0), ("a", 2.0)],
            (),
            "report: step is -1; it must be a whole number of at least 0: report(step, value, "
            "total=...); it is not used",
        ),
        (
            [(1, None), (2, [1.0])],
            (),
            "report: the value at step 1 is not usable (TypeError: a NoneType is no number); it "
            "is not used",
        ),
        (
            [(np.int64(0), np.float32(0.5)), (np.int32(1), np.ones(1))],
            ((0, 0.5), (1, 1.0)),
            None,
        ),
    ],
)
def test_wrong_reports_are_said_and_never_a_wrong_value(calls, reports, warning) -> None:
    def wrong(params):
        for step, value in calls:
            report(step, value)
        return 7.0

    outcome = measured(wrong)
    assert (outcome.trial.state, outcome.trial.value) == (TrialState.COMPLETE, 7.0)
    found = outcome.evaluation.reports
    assert [step for step, _ in found] == [step for step, _ in reports]
    assert np.array_equal([v for _, v in found], [v for _, v in reports], equal_nan=True)
    assert outcome.trial.warnings == (() if warning is None else (warning,))


def test_a_wrong_total_is_not_used() -> None:
    outcome = measured(lambda p: report(3, 1.0, total=0) or 1.0)
    assert outcome.trial.n_steps == 3
    assert "total is 0" in outcome.trial.warnings[0]


def test_a_training_that_diverged_before_a_rung_has_failed() -> None:
    ended = measured(lambda p: report(4, math.nan), with_limits((4, math.inf))).trial
    assert ended.failure.kind is FailureKind.NAN
    assert ended.failure.message == "the training reported nan at step 4, where it is compared"


def test_a_long_curve_is_thinned_and_has_its_end() -> None:
    def long(params):
        for step in range(10_001):
            report(step, float(step))
        return 1.0

    reports = measured(long).evaluation.reports
    assert MOST_POINTS / 2 <= len(reports) <= MOST_POINTS + 1
    assert (reports[0], reports[-1]) == ((0, 0.0), (10_000, 10_000.0))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (height, "the training did not report"),
        (lambda p: report(1, height(p)) or height(p), "reports up to step 1 only"),
    ],
)
def test_racing_without_reports_is_said_once_and_stops_nothing(function, said, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        result = minimize(function, SPACE, evaluations=12, racing=True)
    assert {trial.state for trial in result.trials} == {TrialState.COMPLETE}
    assert caplog.text.count("racing has no effect") == caplog.text.count(said) == 1


def test_no_limit_before_a_training_was_complete() -> None:
    limits = StepLimits()

    def fails(trials):
        return [measured(lambda p: report(1, 1.0) or math.nan, trial).trial for trial in trials]

    workers = LimitedWorkers(Batches(fails), limits)
    workers.begin([TRIAL])
    assert [t.state for t in workers.wait()] == [TrialState.FAILED]
    assert limits.set_on(TRIAL).limits == ()


def test_limits_are_the_better_half_of_all_so_far() -> None:
    limits = StepLimits()
    heights = [9.0, 1.0, 5.0, 3.0, 7.0, math.nan]
    for number, value in enumerate(heights):
        trial = replace(TRIAL, number=number)
        outcome = evaluate_trial(_Constant(value), trial)
        limits.read([outcome.trial])
        n_known = number + 1
        found = limits.set_on(TRIAL).limits
        assert len(found) == (4 if n_known >= 3 else 0)
    assert {limit.value for limit in limits.set_on(TRIAL).limits} == {7.0}


class _Constant:
    def __init__(self, value: float) -> None:
        self._value = value

    def evaluate(self, params, *, fidelity, seed) -> Evaluation:
        for epoch in range(1, EPOCHS + 1):
            report(epoch, self._value)
        return Evaluation(self._value)


def test_the_stop_is_an_ordinary_exception() -> None:
    assert issubclass(TrainingStoppedError, Exception)
