"""What we are timed against does the work that is said."""

import mlflow
import pytest

from flows.benchmarks.other_tuners import bare_optuna_study, optuna_study, ray_study

for needed in ("optuna_integration", "ray"):
    pytest.importorskip(needed)


@pytest.mark.parametrize(
    ("study", "kept"),
    [(optuna_study, None), (bare_optuna_study, "model"), (ray_study, "result.json")],
)
def test_each_trial_is_tracked(study, kept, mlflow_store) -> None:
    study(2, mlflow_store)
    found = mlflow.search_runs(search_all_experiments=True)
    assert len(found) == 2
    assert (found["metrics.value"] >= 0).all()
    assert found["params.x"].notna().all()
    run_id, store = found["run_id"][0], mlflow.MlflowClient()
    if kept is None:
        (model,) = store.get_run(run_id).outputs.model_outputs
        assert mlflow.pytorch.load_model(f"models:/{model.model_id}").in_features == 64
    else:
        assert any(kept in item.path for item in store.list_artifacts(run_id))
