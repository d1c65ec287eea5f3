"""An objective that uses MLflow itself: its runs are its own, and the study is as without them."""

import sys
from pathlib import Path

import mlflow
import pytest

from flows.tune import tune
from tasks.records.own_runs import TRIAL_TAG

pytestmark = pytest.mark.usefixtures("blank_pictures")

OBJECTIVE = """
import mlflow
import numpy as np
from sklearn.linear_model import Ridge
from llmpso import Evaluation, Float, SearchSpace

mlflow.autolog(log_models=False, silent=True)
inputs = np.random.default_rng(0).normal(size=(40, 3))
truth = inputs @ [1.0, 2.0, 3.0]


class Logging:
    name = "logging"
    metric = "error"
    description = "Ridge regression under autolog."
    space = SearchSpace({"alpha": Float(1e-3, 1e3, log=True), "shift": Float(0.0, 1.0)})

    def evaluate(self, params, *, fidelity, seed):
        kind = int(params["shift"] * 3)
        if kind == 0:
            mlflow.start_run(run_name="left open")
        if kind == 1:
            with mlflow.start_run(run_name="own"):
                mlflow.log_metric("mine", 1.0)
        model = Ridge(alpha=params["alpha"]).fit(inputs, truth + params["shift"])
        mlflow.log_metric("mine too", 2.0)
        error = float(np.abs(model.predict(inputs) - truth).mean())
        return Evaluation(error, {"shift": params["shift"]}, model=model)
"""


@pytest.fixture
def logging_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "logging_objective.py").write_text(OBJECTIVE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "logging_objective:Logging"
    sys.modules.pop("logging_objective", None)
    mlflow.autolog(disable=True, silent=True)


@pytest.mark.parametrize("runner", ["thread", pytest.param("process", marks=pytest.mark.slow)])
def test_a_study_is_whole_and_an_objectives_own_runs_say_whose_they_are(
    prefect_server, mlflow_store, logging_objective, runner: str
) -> None:
    with mlflow.start_run(run_name="of the user") as mine:
        other = mlflow.create_external_model("mine")
        with mlflow.set_active_model(model_id=other.model_id):
            summary = tune(
                logging_objective, method="pso", evaluations=12, workers=2, runner=runner
            )
        assert mlflow.active_run().info.run_id == mine.info.run_id
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert {run.info.status for run in runs} == {"FINISHED"}
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == summary.run_id]
    assert len(children) == 12
    assert all(r.data.metrics.keys() == {"value", "seconds", "shift"} for r in children)
    rest = {r.info.run_id: r for r in runs if r not in children}
    assert rest.pop(mine.info.run_id).info.run_name == "of the user"
    study = rest.pop(summary.run_id)
    assert "mine too" not in study.data.metrics
    own = list(rest.values())
    assert len(own) >= 12
    assert sum(TRIAL_TAG in run.data.tags for run in own) >= 12
    # Nothing of ours was taken for a training of theirs, such as the forest behind a chart.
    assert {run.data.params.get("estimator_name") for run in own} <= {"Ridge", None}
    assert not mlflow.MlflowClient().get_logged_model(other.model_id).metrics
    assert mlflow.pyfunc.load_model(f"models:/{summary.model}")
