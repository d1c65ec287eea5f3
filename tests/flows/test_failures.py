"""Evaluations that fail, and what a study makes of it."""

import mlflow
import pytest

from flows.tune import tune

pytestmark = pytest.mark.usefixtures("blank_pictures")


def trials() -> list[list[str]]:
    """What every child of the latest study was and came to, in order."""
    found = mlflow.search_runs(search_all_experiments=True)
    parent = found[found["tags.mlflow.parentRunId"].isna()].iloc[0]["run_id"]
    children = found[found["tags.mlflow.parentRunId"] == parent]
    columns = ["tags.mlflow.runName", "params.x", "params.n", "metrics.value", "tags.failure"]
    return children.sort_values("tags.mlflow.runName")[columns].astype(str).values.tolist()


@pytest.mark.slow
def test_processes_give_the_same_trials_as_threads(prefect_server, mlflow_store, bowl) -> None:
    options = {"method": "pso", "evaluations": 12, "seed": 2, "workers": 2}
    tune(bowl, **options)
    in_threads = trials()
    summary = tune(bowl, runner="process", timeout=60, **options)
    assert trials() == in_threads
    assert "exception" in {row[-1] for row in in_threads}
    assert mlflow.pytorch.load_model(f"models:/{summary.model}").in_features == 1
