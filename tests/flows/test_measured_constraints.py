"""Trials above a limit in the whole product: never the best, on record, and not trained again."""

import sys
from pathlib import Path

import mlflow
import pytest

from flows.tune import tune

SOURCE = '''
from llmpso import Evaluation, Float, SearchSpace


class Sized:
    """The larger the better, within a limit."""

    name = "sized"
    metric = "error"
    description = "The larger the better."
    space = SearchSpace({"units": Float(1.0, 10.0)})

    def evaluate(self, params, *, fidelity, seed):
        with open("{counted}", "a") as file:
            file.write(".")
        units = params["units"]
        return Evaluation(10 - units, constraints={"memory_mb": (units**2, 25.0)})
'''


def test_a_trial_above_a_limit_is_infeasible_everywhere(
    prefect_server, mlflow_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = tmp_path / "counted.txt"
    (tmp_path / "sized.py").write_text(SOURCE.replace("{counted}", str(counted)))
    monkeypatch.syspath_prepend(tmp_path)
    tune("sized:Sized", evaluations=8, advisor="none")
    summary = tune("sized:Sized", evaluations=12, advisor="none")
    sys.modules.pop("sized", None)
    assert len(counted.read_text()) == 12
    assert summary.best_params["units"] <= 5
    assert 0 < summary.infeasible < 12
    assert summary.failed == 0
    runs = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.mlflow.parentRunId = '{summary.run_id}'",
        output_format="list",
    )
    for run in runs:
        units, metrics = float(run.data.params["units"]), run.data.metrics
        is_over = units > 5
        assert run.data.tags["state"] == ("infeasible" if is_over else "complete")
        assert metrics["memory_mb"] == units**2
        assert ("value" in metrics) != is_over == ("infeasible_value" in metrics)
        assert run.info.status == "FINISHED"
