"""A conditional space in the whole product: records, figures, a study that is extended."""

import sys
from pathlib import Path

import mlflow
import pytest

from flows.tune import tune
from llmpso.space.space_file import load_space
from tasks.store.names import key

SOURCE = '''
def train(params):
    """Worse with momentum; all that does not count is missing."""
    with open("{counted}", "a") as file:
        file.write(".")
    assert ("momentum" in params) == (params["optimizer"] == "sgd")
    assert params["epochs: all"] == 20
    return params.get("momentum", 0.0) + params["l/1"] / 10 + params.get("größe ✓", 0) / 100
'''

SPACE = """
momentum: {type: float, low: 0, high: 0.99, when: {optimizer: sgd}}
optimizer: {type: categorical, choices: [adam, sgd, null]}
l/1: {type: integer, low: 1, high: 3}
größe ✓: {type: ordinal, choices: [8, 16, 32], when: {l/1: ">= 2"}}
"epochs: all": 20
"""


def test_a_conditional_space_from_a_file_is_tuned_recorded_and_extended(
    prefect_server, mlflow_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = tmp_path / "counted.txt"
    (tmp_path / "conditional.py").write_text(SOURCE.replace("{counted}", str(counted)))
    (tmp_path / "conditional.yaml").write_text(SPACE)
    monkeypatch.syspath_prepend(tmp_path)
    own = {"objective": "conditional:train", "space_file": str(tmp_path / "conditional.yaml")}
    tune(**own, evaluations=6, advisor="none")
    summary = tune(**own, evaluations=12, advisor="none")
    sys.modules.pop("conditional", None)
    assert len(counted.read_text()) == 12
    space = load_space(tmp_path / "conditional.yaml")
    assert space.validate(summary.best_params) == summary.best_params
    runs = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.mlflow.parentRunId = '{summary.run_id}'",
        output_format="list",
    )
    assert {run.data.tags["state"] for run in runs} == {"complete"}
    for run in runs:
        params = run.data.params
        assert ("momentum" in params) == (params["optimizer"] == "sgd")
        assert (key("größe ✓") in params) == (int(params["l/1"]) >= 2)
        assert params["epochs: all"] == "20"
