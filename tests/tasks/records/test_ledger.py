"""Each evaluation has one record in MLflow, whatever becomes of the answers."""

import threading
from concurrent.futures import wait
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from llmpso.errors import StorageError
from llmpso.running.outcome import Outcome
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial, TrialState
from tasks.records.ledger import Ledger
from tasks.records.recorded_trials import ended_trials
from tasks.store.client import Client
from tasks.store.experiment import Experiment

ASKED = Trial(0, {"x": 1.0}, Source.SWARM, 0, 0, 7)
MEASURED = replace(ASKED, state=TrialState.COMPLETE, value=0.5, started_at=1_795_000_000.125)
BEFORE = replace(ASKED, started_at=1_794_000_000.0)


@pytest.mark.parametrize("call", ["create_run", "log_batch", "set_terminated"])
def test_an_evaluation_whose_answer_was_lost_is_recorded_once(
    mlflow_store, monkeypatch, call
) -> None:
    study = Experiment(mlflow_store, "0").start("a study", {}, {})
    done = getattr(Client, call)
    answers = iter([False])

    def unanswered_once(self, *args, **kwargs):
        result = done(self, *args, **kwargs)
        if not next(answers, True):
            raise ConnectionResetError("the server went offline")
        return result

    ledger = Ledger(study, "f")
    with monkeypatch.context() as patch:
        patch.setattr(Client, call, unanswered_once)
        ledger.record(Outcome(MEASURED, Evaluation(0.5)))
        ledger.deliver()
    ledger.close()
    store = MlflowClient(mlflow_store)
    belongs = f"tags.`mlflow.parentRunId` = '{study.run_id}' and attributes.status = 'FINISHED'"
    (child,) = store.search_runs(["0"], belongs)
    assert child.data.metrics["value"] == 0.5
    assert ledger.linked(ASKED).links["run"] == child.info.run_id


@pytest.mark.parametrize(
    "before",
    [
        replace(BEFORE, fidelity=0.25, rungs=((0.25, 2.0),), state=TrialState.PRUNED),
        BEFORE.failed(Failure(FailureKind.TIMEOUT, "too slow"), 1.0),
    ],
)
def test_who_browses_the_runs_sees_which_one_of_a_trial_counts(mlflow_store, before) -> None:
    """A trial that goes further when its study is extended has a second run."""
    study = Experiment(mlflow_store, "0").start("a study", {}, {})
    other = replace(ASKED, number=1, params={"x": 2.0}, seed=8)
    for measured in ([before, replace(MEASURED, number=1, params={"x": 2.0}, seed=8)], [MEASURED]):
        ledger = Ledger(study, "f")
        for trial in measured:
            ledger.record(Outcome(trial, Evaluation(0.5)))
        ledger.deliver()
        ledger.close()
    store = MlflowClient(mlflow_store)
    found = store.search_runs(["0"], f"tags.`mlflow.parentRunId` = '{study.run_id}'")
    assert sorted((run.info.run_name, run.data.tags["state"]) for run in found) == [
        ("000 swarm · 0.5", "complete"),
        ("000 swarm · superseded", "superseded"),
        ("001 swarm · 0.5", "complete"),
    ]
    runs = {run.info.run_name: run for run in found}
    note = runs["000 swarm · superseded"].data.tags["mlflow.note.content"]
    assert note == f"Ended as {before.state}. It was trained further, in the later run of trial 0."
    # Whoever looks at the study once more is led to the run that counts.
    again = Ledger(study, "f")
    again.close()
    assert again.linked(ASKED).links["run"] == runs["000 swarm · 0.5"].info.run_id
    assert again.linked(other).links["run"] == runs["001 swarm · 0.5"].info.run_id
    assert [trial.state for trial in ended_trials(study)] == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize("is_written", [False, True])
def test_a_best_value_that_the_store_did_not_take_is_added_to_the_curve_later(
    mlflow_store, monkeypatch, is_written
) -> None:
    study = Experiment(mlflow_store, "0").start("a study", {}, {})
    done, ledger = Client.log_batch, Ledger(study, "f")

    def unanswered(self, *args, **kwargs):
        if is_written:
            done(self, *args, **kwargs)
        raise ConnectionResetError("the server went offline")

    def note(number: int, value: float) -> None:
        ledger.note_incumbent(replace(MEASURED, number=number, value=value))
        wait(ledger._under_way.copy())

    def curve() -> list[tuple[int, float]]:
        points = MlflowClient(mlflow_store).get_metric_history(study.run_id, "best_value")
        return sorted((point.step, point.value) for point in points)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "log_batch", unanswered)
        note(0, 0.5)
    note(1, 0.4)
    assert len(curve()) == is_written
    ledger._quiet_until = 0.0
    note(2, 0.3)
    assert curve() == [(0, 0.5), (1, 0.4), (2, 0.3)]
    with monkeypatch.context() as patch:
        patch.setattr(Client, "log_batch", unanswered)
        note(3, 0.2)
    ledger.deliver()
    ledger.close()
    assert curve() == [(0, 0.5), (1, 0.4), (2, 0.3), (3, 0.2)]


def test_a_search_does_not_wait_for_a_slow_store(mlflow_store, monkeypatch) -> None:
    study = Experiment(mlflow_store, "0").start("a study", {}, {})
    answer, recorded = threading.Event(), Client.log_batch

    def slow(self, *args, **kwargs):
        assert answer.wait(30)
        recorded(self, *args, **kwargs)

    monkeypatch.setattr(Client, "log_batch", slow)
    ledger = Ledger(study, "f")
    ledger.record(Outcome(MEASURED, Evaluation(0.5)))
    ledger.note_incumbent(MEASURED)
    answer.set()  # Reached only because neither waited.
    ledger.deliver()
    ledger.close()
    assert study.incumbents() == {0}


def test_a_best_value_that_the_store_refuses_ends_the_study_with_the_reason(
    mlflow_store,
) -> None:
    study = Experiment(mlflow_store, "0").start("a study", {}, {})
    ledger = Ledger(study, "f")
    MlflowClient(mlflow_store).delete_run(study.run_id)
    ledger.note_incumbent(MEASURED)
    with pytest.raises(StorageError, match="the best value cannot be recorded in MLflow: "):
        ledger.deliver()
    ledger.close()
