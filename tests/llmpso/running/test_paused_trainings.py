from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from llmpso.running import paused_trainings
from llmpso.running.evaluate import evaluate_trial
from llmpso.running.fingerprint import evaluation_key, training_key
from llmpso.running.outcome import Outcome
from llmpso.running.paused_trainings import PausedTrainings
from llmpso.running.pending_records import trial_of, trial_record
from llmpso.trial import Evaluation, FailureKind, Source, Trial, TrialState

TRIAL = Trial(4, {"x": 0.5}, Source.SWARM, iteration=2, particle=1, seed=9, fidelity=0.25)
CURVES = {"loss": (3.0, 2.0)}
REPORTS = ((1, 3.0), (2, 2.0))


@pytest.fixture
def outcome() -> Outcome:
    evaluation = Evaluation(2.0, {"epochs": 2.0}, CURVES, reports=REPORTS)
    return Outcome(TRIAL.measured(evaluation, 1.5), evaluation)


def test_another_process_finds_what_was_measured_half_way(tmp_path, outcome):
    PausedTrainings(tmp_path / "paused").save("a", outcome)
    found = PausedTrainings(tmp_path / "paused").find("a")
    assert found.trial == outcome.trial
    assert found.curves == CURVES
    pruned = found.pruned()
    assert pruned.trial.state is TrialState.PRUNED
    assert pruned.trial.value is None
    assert pruned.evaluation.curves == CURVES
    assert pruned.evaluation.reports == REPORTS
    assert trial_of(trial_record(pruned.trial)) == pruned.trial


def test_a_training_that_is_recorded_leaves_nothing(tmp_path, outcome):
    store = PausedTrainings(tmp_path)
    store.save("a", outcome)
    store.checkpoint("a").write_text("state")
    store.forget("a")
    assert list(tmp_path.iterdir()) == []
    assert store.find("a") is None
    store.forget("a")


def test_a_training_has_one_address_at_every_fidelity(outcome):
    further = replace(outcome.trial, fidelity=1.0)
    assert training_key("f", TRIAL) == training_key("f", further)
    assert evaluation_key("f", TRIAL, 0.25) != evaluation_key("f", further, 1.0)
    assert training_key("f", TRIAL) != training_key("f", replace(TRIAL, seed=8))


def test_an_objective_that_cannot_go_on_fails_where_it_is_raced_all_the_same():
    class Plain:
        def evaluate(self, params, *, fidelity, seed):
            raise AssertionError("this would train from zero")

    reached = evaluate_trial(Plain(), replace(TRIAL, checkpoint="/nowhere")).trial
    assert reached.failure.kind is FailureKind.EXCEPTION
    assert "no train_to" in reached.failure.message


def kept_twice(folder: Path, outcome: Outcome) -> PausedTrainings:
    """A store with a training that was measured at two rungs, and another one."""
    store, further = PausedTrainings(folder), replace(outcome.trial, fidelity=0.5)
    for reached in (
        outcome,
        Outcome(further.measured(outcome.evaluation, 1.0), outcome.evaluation),
    ):
        for key in ("aa", "bb"):
            store.checkpoint(key).write_text(f"state at {reached.trial.rungs[-1][0]}")
            store.save(key, reached)
    return store


def test_a_kill_before_the_record_is_written_costs_no_checkpoint(tmp_path, outcome, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    store = PausedTrainings(tmp_path)
    store.checkpoint("a").write_text("state at 0.25")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(paused_trainings, "replace_file", killed)
        store.save("a", outcome)
    PausedTrainings(tmp_path).save("a", outcome)
    assert store.checkpoint("a").read_text() == "state at 0.25"


def test_a_training_goes_on_from_a_copy_of_its_last_rung(tmp_path, outcome):
    store = kept_twice(tmp_path / "paused", outcome)
    assert store.checkpoint("aa").read_text() == "state at 0.5"
    store.checkpoint("aa").write_text("what a kill left of the next state")
    assert store.checkpoint("aa").read_text() == "state at 0.5"
    assert len(list((tmp_path / "paused").glob("aa*.pt"))) == 2


@pytest.mark.parametrize("name", ["aa.json", "aa.2.pt"])
def test_a_damaged_training_starts_from_the_beginning(tmp_path, outcome, damage, name, caplog):
    store = kept_twice(tmp_path / "paused", outcome)
    damage(tmp_path / "paused" / name)
    is_noticed = damage.__name__ != "removed" or name != "aa.json"
    assert store.find("aa") is None
    assert not store.checkpoint("aa").exists()
    assert len(caplog.messages) == is_noticed
    assert store.find("bb").trial.rungs == ((0.25, 2.0), (0.5, 2.0))
    store.checkpoint("aa").write_text("state")
    store.save("aa", outcome)
    assert store.find("aa").trial == outcome.trial
    assert store.checkpoint("aa").read_text() == "state"


def test_a_kill_between_checkpoint_and_record_goes_on_from_the_rung_before(tmp_path, outcome):
    store = kept_twice(tmp_path / "paused", outcome)
    (tmp_path / "paused" / "aa.3.pt").write_text("state at 1.0")
    assert store.find("aa").trial.fidelity == 0.5
    assert store.checkpoint("aa").read_text() == "state at 0.5"


def test_a_file_in_the_place_of_the_folder_is_set_aside(tmp_path, outcome):
    (tmp_path / "paused").write_text("a note")
    kept_twice(tmp_path / "paused", outcome)
    assert (tmp_path / "damaged" / "paused").read_text() == "a note"


class Killed(BaseException):
    """Simulates the end of a process: no code catches it."""


@pytest.mark.parametrize("n_moved", [0, 1, 2])
def test_a_kill_while_a_training_is_set_aside_loses_it_alone(
    tmp_path, outcome, monkeypatch, n_moved
):
    store, whole, moved = kept_twice(tmp_path / "paused", outcome), Path.rename, []
    (tmp_path / "paused" / "aa.json").write_text("")

    def rename(path: Path, place: Path) -> Path:
        if len(moved) == n_moved:
            raise Killed
        moved.append(path)
        return whole(path, place)

    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(Path, "rename", rename)
        store.find("aa")
    assert len(moved) == n_moved
    again = PausedTrainings(tmp_path / "paused")
    assert again.find("aa") is None
    assert not again.checkpoint("aa").exists()
    assert again.find("bb") is not None
    again.save("aa", outcome)
    assert again.find("aa").trial == outcome.trial
    again.forget("aa")
    assert not list((tmp_path / "paused").glob("aa*"))
