"""Each evaluation has one record in MLflow, whatever becomes of the answers."""

from dataclasses import replace

import pytest
from mlflow import MlflowClient

from llmpso.running.outcome import Outcome
from llmpso.trial import Evaluation, Source, Trial, TrialState
from tasks.experiment import Experiment
from tasks.ledger import Ledger

ASKED = Trial(0, {"x": 1.0}, Source.SWARM, 0, 0, 7)
MEASURED = replace(ASKED, state=TrialState.COMPLETE, value=0.5, started_at=1_795_000_000.125)


@pytest.mark.parametrize("call", ["create_run", "log_batch", "set_terminated"])
def test_an_evaluation_whose_answer_was_lost_is_recorded_once(
    mlflow_store, monkeypatch, call
) -> None:
    study = Experiment(mlflow_store, "0").start("a study", {}, {})
    done = getattr(MlflowClient, call)
    answers = iter([False])

    def unanswered_once(self, *args, **kwargs):
        result = done(self, *args, **kwargs)
        if not next(answers, True):
            raise ConnectionResetError("the server went offline")
        return result

    ledger = Ledger(study, "f")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, unanswered_once)
        ledger.record(Outcome(MEASURED, Evaluation(0.5)))
        ledger.deliver()
    ledger.close()
    store = MlflowClient(mlflow_store)
    belongs = f"tags.`mlflow.parentRunId` = '{study.run_id}' and attributes.status = 'FINISHED'"
    (child,) = store.search_runs(["0"], belongs)
    assert child.data.metrics["value"] == 0.5
    assert ledger.linked(ASKED).links["run"] == child.info.run_id
