"""Trials above a limit in the whole product: never the best, on record, and not trained again."""

import sys
from collections.abc import Callable
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


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Makes a user's module, whose evaluations write a point each into a file."""

    def make(name: str, source: str) -> Path:
        counted = tmp_path / "counted.txt"
        (tmp_path / f"{name}.py").write_text(source.replace("{counted}", str(counted)))
        monkeypatch.syspath_prepend(tmp_path)
        return counted

    return make


def test_a_trial_above_a_limit_is_infeasible_everywhere(
    prefect_server, mlflow_store, module
) -> None:
    counted = module("sized", SOURCE)
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


RACED = """
from llmpso import Evaluation, Float, SearchSpace


class Grows:
    \"\"\"Takes the more memory the longer it is trained.\"\"\"

    name = "grows"
    metric = "error"
    description = "The larger the better."
    space = SearchSpace({"units": Float(1.0, 10.0), "rate": Float(0.0, 1.0)})

    def evaluate(self, params, *, fidelity, seed):
        raise AssertionError("a raced study trains by train_to alone")

    def train_to(self, params, *, fidelity, seed, checkpoint):
        with open("{counted}", "a") as file:
            file.write(".")
        checkpoint.touch()
        error = 10 - params["units"] + params["rate"] ** 2 + 1 / (16 * fidelity)
        return Evaluation(error, constraints={"memory_mb": (params["units"] * fidelity, 5.0)})
"""


def test_a_race_with_limits_is_extended_without_training_anything_again(
    prefect_server, mlflow_store, module
) -> None:
    """What a training measured when it paused decided what came next, not what it came to."""
    counted = module("grows", RACED)
    options = {"evaluations": 6, "workers": 1, "advisor": "none", "memory": "off"}
    first = tune("grows:Grows", **options)
    n_trained = len(counted.read_text())
    again = tune("grows:Grows", **options, max_seconds=1e6)
    sys.modules.pop("grows", None)
    assert first.infeasible > 0
    assert (again.run_id, again.reused) == (first.run_id, first.evaluations)
    assert len(counted.read_text()) == n_trained
