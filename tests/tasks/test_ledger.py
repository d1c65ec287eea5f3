"""Each evaluation has one record in MLflow, whatever becomes of the answers."""

from dataclasses import replace

import pytest
from mlflow import MlflowClient

from llmpso.running.outcome import Outcome
from llmpso.trial import Evaluation, Source, Trial, TrialState
from tasks.experiment import Experiment
from tasks.ledger import Ledger
from tasks.store import Client

ASKED = Trial(0, {"x": 1.0}, Source.SWARM, 0, 0, 7)
MEASURED = replace(ASKED, state=TrialState.COMPLETE, value=0.5, started_at=1_795_000_000.125)


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

    def curve() -> list[tuple[int, float]]:
        points = MlflowClient(mlflow_store).get_metric_history(study.run_id, "best_value")
        return sorted((point.step, point.value) for point in points)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "log_batch", unanswered)
        ledger.note_incumbent(MEASURED)
    ledger.note_incumbent(replace(MEASURED, number=1, value=0.4))
    assert len(curve()) == is_written
    ledger._quiet_until = 0.0
    ledger.note_incumbent(replace(MEASURED, number=2, value=0.3))
    assert curve() == [(0, 0.5), (1, 0.4), (2, 0.3)]
    with monkeypatch.context() as patch:
        patch.setattr(Client, "log_batch", unanswered)
        ledger.note_incumbent(replace(MEASURED, number=3, value=0.2))
    ledger.deliver()
    ledger.close()
    assert curve() == [(0, 0.5), (1, 0.4), (2, 0.3), (3, 0.2)]
