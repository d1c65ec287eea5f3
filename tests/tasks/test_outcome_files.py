"""What worker processes wrote outlasts the process that they wrote it for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from llmpso.running.outcome import Outcome, outcome_to_bytes
from llmpso.running.outcome_files import write_outcome
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial, TrialState
from tasks.records.ledger import Ledger
from tasks.store.experiment import Experiment
from tasks.store.state_folders import study_folder
from tasks.store.tracker import Tracker

ASKED = Trial(0, {"x": 1.0}, Source.SWARM, 0, 0, 7)
TOLD = replace(ASKED, state=TrialState.COMPLETE, value=0.5)


@pytest.fixture
def study(mlflow_store: str) -> Tracker:
    return Experiment(mlflow_store, "0").start("a study", {}, {})


@pytest.fixture
def worker_outcomes(study: Tracker) -> Path:
    folder = study_folder(study.run_id) / "worker_outcomes"
    folder.mkdir(parents=True)
    return folder


def measured(trial: Trial = TOLD) -> bytes:
    return outcome_to_bytes(Outcome(trial, Evaluation(0.5, model=torch.nn.Linear(2, 1))))


def test_what_a_killed_process_did_not_record_is_recorded_with_its_model(
    study, worker_outcomes
) -> None:
    write_outcome(measured(), worker_outcomes)
    ledger = Ledger(study, "f")
    assert ledger.n_reusable == 1
    assert ledger.answer(ASKED).value == 0.5
    assert list(worker_outcomes.iterdir()) == []
    ledger.deliver()
    assert "model" in ledger.linked(ASKED).links
    ledger.close()


def test_what_was_recorded_is_not_taken_in_again(study, worker_outcomes) -> None:
    first = Ledger(study, "f")
    first.record(Outcome(TOLD, Evaluation(0.5)))
    first.close()
    write_outcome(measured(), worker_outcomes)
    second = Ledger(study, "f")
    assert second.n_reusable == 1
    second.deliver()
    second.close()
    third = Ledger(study, "f")
    assert third.n_reusable == 1
    third.close()
    assert list(worker_outcomes.iterdir()) == []


def test_a_worker_that_was_lost_with_its_parent_is_no_result(study, worker_outcomes) -> None:
    lost = ASKED.failed(Failure(FailureKind.LOST_WORKER, "it is gone"), 1.0)
    write_outcome(measured(lost), worker_outcomes)
    ledger = Ledger(study, "f")
    assert ledger.n_reusable == 0
    ledger.close()


@pytest.mark.parametrize("content", [b"", b"\x00" * 50, measured()[:-20], b"cno_such\nthing\n."])
def test_a_damaged_file_is_set_aside(study, worker_outcomes, content, caplog) -> None:
    path = write_outcome(content, worker_outcomes)
    ledger = Ledger(study, "f")
    assert ledger.n_reusable == 0
    ledger.close()
    assert path.name in caplog.text
    assert [file.name for file in (worker_outcomes.parent / "damaged").iterdir()] == [path.name]


def test_a_file_is_gone_once_its_outcome_is_recorded(study, worker_outcomes) -> None:
    ledger = Ledger(study, "f")
    path = write_outcome(measured(), ledger.worker_outcomes)
    ledger.record(Outcome(TOLD, Evaluation(0.5), path))
    assert not path.exists()
    ledger.close()


def test_an_outcome_outlasts_a_kill_before_its_models_files_are_written(
    study, monkeypatch
) -> None:
    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    ledger = Ledger(study, "f")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ledger._files.pending, "put", killed)
        ledger.record(Outcome(TOLD, Evaluation(0.5, model=torch.nn.Linear(2, 1))))
    ledger.close()
    again = Ledger(study, "f")
    assert again.answer(ASKED).value == 0.5
    again.deliver()
    assert "model" in again.linked(ASKED).links
    again.close()


def test_a_training_that_was_killed_and_went_further_under_a_larger_limit_is_taken_in(
    study, worker_outcomes
) -> None:
    killed = ASKED.failed(Failure(FailureKind.TIMEOUT, "too slow", allowed=10), 10.0)
    first = Ledger(study, "f", {FailureKind.TIMEOUT: 10})
    first.record(Outcome(killed, None))
    first.deliver()
    first.close()
    write_outcome(measured(), worker_outcomes)
    second = Ledger(study, "f", {FailureKind.TIMEOUT: 1000})
    assert second.answer(ASKED).value == 0.5
    second.deliver()
    second.close()
    third = Ledger(study, "f", {FailureKind.TIMEOUT: 1000})
    assert third.answer(ASKED).value == 0.5
    third.close()


def test_a_paused_training_keeps_its_checkpoint_if_a_kill_left_the_workers_file(
    study,
) -> None:
    ledger, evaluation = Ledger(study, "f"), Evaluation(0.3)
    trial = ledger.raced(replace(ASKED, fidelity=0.25))
    Path(trial.checkpoint).write_text("state at 0.25")
    content = outcome_to_bytes(Outcome(trial.measured(evaluation, 1.0), evaluation))
    ledger.record(Outcome(trial.measured(evaluation, 1.0), evaluation))
    ledger.close()
    path = write_outcome(content, ledger.worker_outcomes)
    again = Ledger(study, "f")
    assert not path.exists()
    assert again.answer(trial).rungs == ((0.25, 0.3),)
    assert Path(again.raced(trial).checkpoint).read_text() == "state at 0.25"
    assert again.n_ended == 1
    again.close()
