"""Repeats of the best: recorded apart from the search, resumed and extended."""

import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from flows import tracked_trainings as module
from flows.display.stored_facts import stored_facts
from flows.display.summary import Summary
from flows.display.summary_markdown import description
from flows.display.summary_text import as_text
from flows.tune import tune
from llmpso.objectives import registry
from llmpso.study.repeats import repeated_trial
from llmpso.trial import Source
from tasks.records.stored_study import stored_study

pytestmark = pytest.mark.usefixtures("blank_pictures")

FUNCTION = """
from pathlib import Path
import numpy as np
import torch
from llmpso import Evaluation

def train(params, seed):
    with Path("trained.txt").open("a") as file:
        file.write(f"{seed}\\n")
    model = torch.nn.Linear(1, 1, device="cpu")
    noise = np.random.default_rng(seed).normal()
    return Evaluation(params["x"] ** 2 + noise, model=model)

def certain(params):
    with Path("trained.txt").open("a") as file:
        file.write("0\\n")
    return params["x"] ** 2
"""


@pytest.fixture
def function(mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of two functions, one noisy, that note each of their trainings."""
    (tmp_path / "space.yaml").write_text("x: {type: float, low: -5, high: 5}\n")
    (tmp_path / "trained.txt").touch()
    file = tmp_path / "repeated_function.py"
    file.write_text(FUNCTION)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("repeated_function", None)
    registry._built.cache_clear()
    return file


def run(name: str = "train", **options) -> Summary:
    own = {"objective": f"repeated_function:{name}", "space_file": "space.yaml", "workers": 2}
    return tune(**own | {"threads": 1, "advisor": "none", "memory": "off"} | options)


def n_trained() -> int:
    return len(Path("trained.txt").read_text().split())


def children(run_id: str) -> pd.DataFrame:
    found = mlflow.search_runs(search_all_experiments=True)
    return found[found["tags.mlflow.parentRunId"] == run_id]


def test_the_best_are_repeated_recorded_and_found_again(
    prefect_server, function, mlflow_store, monkeypatch
) -> None:
    whole, n_batches = module.iterate, 0

    def killed(number, trials, *others, **named):
        nonlocal n_batches
        if isinstance(trials, list) and trials[0].source is Source.REPEAT:
            n_batches += 1
            if n_batches == 2:  # one repeat is there, three are to come
                raise RuntimeError("killed")
        return whole(number, trials, *others, **named)

    with monkeypatch.context() as patch:
        patch.setattr("flows.tracked_trainings.iterate", killed)
        with pytest.raises(RuntimeError, match="killed"):
            run(evaluations=14, repeats=4)
    assert n_trained() == 11

    summary = run(evaluations=14, repeats=4)
    assert (n_trained(), summary.evaluations, summary.repeats) == (14, 14, 4)
    assert summary.reused == 11
    assert summary.expected_by == 2
    text = as_text(summary)
    assert "14 evaluations (4 of them repeats), 0 failed" in text
    assert f"{summary.expected}   (trial {summary.best_number}, from " in text
    assert f"it is expected to give {summary.expected}." in description(summary)
    assert summary.figures()["expected_value"] == summary.expected_value

    rows = children(summary.run_id)
    repeats = rows[rows["tags.source"] == "repeat"]
    assert len(rows) == 14
    assert sorted(repeats["tags.repeat_of"].value_counts()) == [2, 2]
    assert str(summary.best_number) in set(repeats["tags.repeat_of"])
    (name, *_) = repeats["tags.mlflow.runName"]
    assert " repeat " in name
    (version,) = mlflow.MlflowClient().search_model_versions()
    assert version.tags["source"] == summary.best_source

    stored = stored_study(mlflow_store)
    assert (len(stored.trials), len(stored.repeats)) == (10, 4)
    assert stored.best is not None
    assert stored.best.number == summary.best_number
    assert stored_facts(stored)["expected of another training"] == str(summary.expected)

    longer = run(evaluations=20, repeats=4)
    assert longer.run_id == summary.run_id
    known = {repeated_trial(trial) for trial in stored.repeats}
    stored = stored_study(mlflow_store)
    assert len(stored.trials) == 16
    assert known <= {repeated_trial(trial) for trial in stored.repeats}
    assert n_trained() == 16 + len(stored.repeats)


def test_a_deterministic_function_is_repeated_once_and_searched_on(
    prefect_server, function
) -> None:
    # Else the order in which trainings end, which may differ, decides what is proposed.
    summary = run("certain", evaluations=14, repeats=4, synchronous=True)
    assert (n_trained(), summary.evaluations, summary.repeats) == (14, 14, 1)
    assert summary.expected is None
    assert "14 evaluations (1 of them a repeat), 0 failed" in as_text(summary)
    longer = run("certain", evaluations=16, repeats=4, synchronous=True)
    assert longer.run_id == summary.run_id
    assert (n_trained(), longer.evaluations, longer.repeats) == (16, 16, 1)


@pytest.mark.parametrize("method", ["guided", "pso"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_search_that_went_on_after_a_useless_repeat_is_found_again(
    prefect_server, function, method, workers
) -> None:
    """Its last batch was cut short by the repeats, and what followed knew its results."""
    options = {"method": method, "workers": workers, "repeats": 5}
    first = run("certain", evaluations=15, **options)
    assert n_trained() == 15
    again = run("certain", evaluations=15, **options, max_seconds=1e6)
    assert (again.run_id, again.reused, again.best_number) == (first.run_id, 15, first.best_number)
    assert n_trained() == 15
    less = run("certain", evaluations=15, **options, patience=1)
    assert (less.run_id, less.evaluations, n_trained()) == (first.run_id, 15, 15)
