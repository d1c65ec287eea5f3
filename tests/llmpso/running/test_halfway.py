from dataclasses import replace

import pytest

from llmpso.running.evaluate import Outcome, evaluate_trial
from llmpso.running.fingerprint import evaluation_address, training_address
from llmpso.running.halfway import HalfwayStore
from llmpso.running.spool import trial_of, trial_record
from llmpso.trial import Evaluation, FailureKind, Source, Trial, TrialState

TRIAL = Trial(4, {"x": 0.5}, Source.SWARM, iteration=2, particle=1, seed=9, fidelity=0.25)
CURVES = {"loss": (3.0, 2.0)}


@pytest.fixture
def outcome() -> Outcome:
    evaluation = Evaluation(2.0, {"epochs": 2.0}, CURVES)
    return Outcome(TRIAL.measured(evaluation, 1.5), evaluation)


def test_another_process_finds_what_was_measured_half_way(tmp_path, outcome):
    HalfwayStore(tmp_path / "halfway").keep("a", outcome)
    found = HalfwayStore(tmp_path / "halfway").find("a")
    assert found.trial == outcome.trial
    assert found.curves == CURVES
    pruned = found.pruned()
    assert pruned.trial.state is TrialState.PRUNED
    assert pruned.trial.value is None
    assert pruned.evaluation.curves == CURVES
    assert trial_of(trial_record(pruned.trial)) == pruned.trial


def test_a_training_that_is_told_leaves_nothing(tmp_path, outcome):
    store = HalfwayStore(tmp_path)
    store.keep("a", outcome)
    store.checkpoint("a").write_text("state")
    store.forget("a")
    assert list(tmp_path.iterdir()) == []
    assert store.find("a") is None
    store.forget("a")


def test_a_training_has_one_address_at_every_fidelity(outcome):
    further = replace(outcome.trial, fidelity=1.0)
    assert training_address("f", TRIAL) == training_address("f", further)
    assert evaluation_address("f", TRIAL, 0.25) != evaluation_address("f", further, 1.0)
    assert training_address("f", TRIAL) != training_address("f", replace(TRIAL, seed=8))


def test_an_objective_that_cannot_go_on_fails_where_it_is_raced_all_the_same():
    class Plain:
        def evaluate(self, params, *, fidelity, seed):
            raise AssertionError("this would train from zero")

    told = evaluate_trial(Plain(), replace(TRIAL, checkpoint="/nowhere")).trial
    assert told.failure.kind is FailureKind.EXCEPTION
    assert "no train_to" in told.failure.message
