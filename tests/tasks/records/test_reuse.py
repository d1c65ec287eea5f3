"""Which stored trials stand in for those that are asked for."""

from dataclasses import replace

import pytest

from llmpso.running.fingerprint import evaluation_key, training_key
from llmpso.trial import Evaluation, Failure, FailureKind, Limit, Source, Trial
from tasks.records.reuse import found_for, reusable_trials

LIMITS = (Limit(2, 9.0, 0.125), Limit(4, 0.5, 0.25))
ASKED = replace(Trial(3, {"x": 0.1}, Source.SWARM, iteration=1, particle=0, seed=7), limits=LIMITS)
STOPPED = replace(ASKED, milestones=((2, 3.0), (4, 1.5)), n_steps=4).stopped(LIMITS[1], 1.0)


def test_a_stopped_trial_is_reused_for_the_same_limits_only() -> None:
    assert found_for(ASKED, STOPPED) is STOPPED
    assert found_for(replace(ASKED, limits=()), STOPPED) is None
    assert found_for(replace(ASKED, limits=(LIMITS[0], Limit(4, 2.0, 0.25))), STOPPED) is None
    assert found_for(ASKED, None) is None


def test_a_complete_trial_is_reused_whatever_its_limits() -> None:
    complete = ASKED.completed(Evaluation(0.2), 1.0)
    assert found_for(replace(ASKED, limits=()), complete) is complete


def test_a_training_is_the_same_with_any_limits() -> None:
    plain = replace(ASKED, limits=(), until=5)
    assert training_key("f", ASKED) == training_key("f", plain) == training_key("f", STOPPED)
    assert evaluation_key("f", ASKED, 1.0) == evaluation_key("f", plain, 1.0)


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.OUT_OF_MEMORY])
def test_a_training_that_was_killed_is_reused_unless_it_may_take_more_now(kind) -> None:
    killed = ASKED.failed(Failure(kind, "its process was killed", allowed=10), 10.0)
    later = replace(ASKED, iteration=9, params={"x": 0.2}).completed(Evaluation(0.2), 1.0)
    of_its_own = replace(killed, failure=Failure(kind, "the objective raised it"))

    def reused(trial: Trial, **allowed: float) -> bool:
        now = {kind: allowed["limit"]} if allowed else {}
        return trial in reusable_trials([trial, later], "f", now).values()

    assert reused(killed, limit=10)
    assert reused(killed, limit=5)
    assert not reused(killed, limit=1000)
    assert not reused(killed)
    assert reused(of_its_own)


@pytest.mark.parametrize(("began", "is_reused"), [(105.0, False), (112.0, True)])
def test_a_lost_worker_is_reused_where_a_trial_of_its_iteration_began_later(
    began: float, is_reused: bool
) -> None:
    """That trial was proposed because it was lost; without it, another one would be."""
    lost = replace(ASKED, started_at=100.0).failed(Failure(FailureKind.LOST_WORKER, "gone"), 10.0)
    also = replace(lost, params={"x": 0.3}, started_at=115.0)
    other = replace(ASKED, number=4, params={"x": 0.2}, started_at=began)
    trials = [lost, also, other.completed(Evaluation(0.2), 50.0)]
    reused = list(reusable_trials(trials, "f", {}).values())
    assert (lost in reused) == is_reused
    assert also not in reused
