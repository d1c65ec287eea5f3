"""Runs that a training begins in MLflow end with it, even if their store is gone by then."""

from pathlib import Path

import mlflow
import pytest

from llmpso.trial import Source, Trial
from tasks.records.own_runs import TRIAL_TAG, apart

TRIAL = Trial(7, {}, Source.SWARM, iteration=0, particle=0, seed=1)


def test_what_a_training_began_is_ended_and_says_whose_it_was(mlflow_store) -> None:
    for value in ("first", "second"):
        with apart(TRIAL):
            mlflow.log_param("mine", value)
            mlflow.start_run(nested=True)
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags[TRIAL_TAG] for run in runs} == {"007 swarm"}
    assert len(runs) == 4
    assert mlflow.active_run() is None


def test_a_run_whose_store_is_gone_is_left_and_the_log_says_so(
    mlflow_store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with apart(TRIAL):
        run = mlflow.start_run()
        mlflow.MlflowClient().delete_run(run.info.run_id)
    assert mlflow.active_run() is None
    assert "the run of trial 7's own" in caplog.text
