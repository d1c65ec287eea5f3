"""Functions that report, in a tracked study: what MLflow holds, and what a kill costs."""

import logging
import signal
import sys
from collections import Counter
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from flows.tune import tune
from llmpso.objectives import registry

pytestmark = pytest.mark.usefixtures("blank_pictures")

SOURCE = """
import os, signal
from pathlib import Path
from llmpso import report

LOG, KILLED = Path("FOLDER/epochs.txt"), Path("FOLDER/killed")


def train(params, seed):
    for epoch in range(1, 28):
        with LOG.open("a") as file:
            file.write(f"{seed} {epoch}\\n")
        if epoch == 6 and len(LOG.read_text().split()) > 500 and not KILLED.exists():
            KILLED.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        loss = (params["x"] - 1) ** 2 + params["n"] / 8 + (1 - epoch / 27) * (1 + seed % 7)
        report(epoch, loss)
    return loss
"""
SPACE = "x: {type: float, low: -5, high: 5}\nn: {type: integer, low: 1, high: 8}\n"
OPTIONS = {"method": "pso", "evaluations": 20, "seed": 2, "workers": 2, "racing": True}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A function that notes each epoch and is never killed, as options."""
    (tmp_path / "reporting_loop.py").write_text(SOURCE.replace("FOLDER", str(tmp_path)))
    (tmp_path / "reporting_loop.yaml").write_text(SPACE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("reporting_loop", None)
    registry._built.cache_clear()
    (tmp_path / "epochs.txt").touch()
    (tmp_path / "killed").touch()
    return {"objective": "reporting_loop:train", "space_file": "reporting_loop.yaml"}


def children(parent: str) -> pd.DataFrame:
    found = mlflow.search_runs(search_all_experiments=True)
    rows = found[(found["tags.mlflow.parentRunId"] == parent) & (found["status"] != "KILLED")]
    return rows.sort_values("tags.mlflow.runName", ignore_index=True)


def outcomes(parent: str) -> list[list[str]]:
    columns = ["tags.mlflow.runName", "params.x", "params.n", "metrics.value", "tags.state"]
    columns += ["metrics.value_at_fidelity", "metrics.fidelity", "metrics.reported"]
    return children(parent)[columns].astype(str).values.tolist()


def test_a_function_with_one_added_line_is_raced_and_its_curve_is_in_mlflow(
    prefect_server, mlflow_store, own
) -> None:
    summary = tune(**own, **OPTIONS)
    rows = children(summary.run_id)
    states = Counter(rows["tags.state"])
    assert set(states) == {"complete", "pruned"}
    assert summary.pruned == states["pruned"]
    epochs = len(Path("epochs.txt").read_text().splitlines())
    assert 20 * 27 - 1 <= epochs < 0.85 * summary.evaluations * 27
    assert summary.full_trainings == pytest.approx(epochs / 27)
    client, n_reported = mlflow.MlflowClient(), 0
    for _, row in rows.iterrows():
        curve = client.get_metric_history(row["run_id"], "reported")
        assert [point.step for point in curve] == list(range(1, len(curve) + 1))
        n_reported += len(curve)
    assert n_reported == epochs
    pruned = rows[rows["tags.state"] == "pruned"]
    assert (pruned["metrics.reported"] == pruned["metrics.value_at_fidelity"]).all()


def test_processes_stop_the_same_trainings_as_threads(prefect_server, mlflow_store, own) -> None:
    threads = tune(**own, **OPTIONS)
    processes = tune(**own, **OPTIONS, runner="process")
    assert outcomes(threads.run_id) == outcomes(processes.run_id)


@pytest.mark.slow
def test_a_killed_study_stops_the_same_trainings_when_it_is_resumed(
    prefect_server, mlflow_store, forked_runs, own
) -> None:
    whole = tune(**own, **OPTIONS)
    log = Path("epochs.txt")
    cost = len(log.read_text().splitlines())
    log.write_text("")
    Path("killed").unlink()

    code = f"from flows.tune import tune; tune(**{own!r}, **{OPTIONS!r})"
    errors = Path("errors.txt").absolute()
    assert forked_runs.run(code, errors) == -signal.SIGKILL, errors.read_text()

    resumed = tune(**own, **OPTIONS)
    assert resumed.run_id != whole.run_id
    assert resumed.reused > 0
    assert outcomes(resumed.run_id) == outcomes(whole.run_id)
    again = Counter(log.read_text().splitlines())
    assert len(again) == cost
    # The two trainings that ran when it was killed, of 27 epochs at most.
    assert again.total() - cost <= 2 * 27


def test_a_function_that_never_reports_is_trained_in_full_and_that_is_said(
    prefect_server, mlflow_store, caplog
) -> None:
    with caplog.at_level(logging.WARNING):
        summary = tune("rastrigin", **OPTIONS | {"evaluations": 12})
    assert (summary.pruned, summary.evaluations) == (0, 12)
    assert caplog.text.count("racing has no effect: the training did not report") == 1
