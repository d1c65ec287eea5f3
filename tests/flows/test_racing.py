"""Racing in a tracked study: what MLflow holds, what a kill costs, what is refused."""

import re
import signal
import sys
from collections import Counter
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from flows.tune import as_text, tune
from flows.tune_plan import TuneOptions, _can_pause
from llmpso.errors import SpecError
from llmpso.objectives import registry
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from tasks.store.state_folders import study_folder

pytestmark = pytest.mark.usefixtures("blank_pictures")

SOURCE = '''
import json, math, os, signal
from pathlib import Path
from llmpso import Evaluation, Float, Integer, SearchSpace

EPOCHS = 16


class Steps:
    """Learns in 16 epochs; notes each, and may be killed in the middle of one."""

    name = "steps"
    metric = "height (m)"
    description = "A bowl that is reached from above."
    space = SearchSpace({"x": Float(-5.0, 5.0), "n": Integer(1, 8)})

    def evaluate(self, params, *, fidelity, seed):
        raise AssertionError("a raced study trains by train_to alone")

    def train_to(self, params, *, fidelity, seed, checkpoint):
        done = json.loads(checkpoint.read_text()) if checkpoint.exists() else []
        while len(done) < math.ceil(fidelity * EPOCHS):
            note(f"{seed} {len(done) + 1}")
            if len(done) + 1 == 6 and len(LOG.read_text().split()) > 100 and not KILLED.exists():
                KILLED.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            rest = (1 - (len(done) + 1) / EPOCHS) * (1 + seed % 7)
            done.append((params["x"] - 1) ** 2 + params["n"] / 8 + rest)
        half = checkpoint.with_suffix(".part")
        half.write_text(json.dumps(done))
        half.replace(checkpoint)
        return Evaluation(min(done), {"epochs": len(done)}, {"loss": tuple(done)})


LOG, KILLED = Path("FOLDER/epochs.txt"), Path("FOLDER/killed")


def note(line):
    with LOG.open("a") as file:
        file.write(line + "\\n")
'''
BUDGET = 8
OPTIONS = {"evaluations": BUDGET, "seed": 2, "workers": 2, "racing": True, "memory": "off"}
METHODS = ["pso", "guided"]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the objective `steps_objective:Steps` notes each epoch; it is never killed."""
    (tmp_path / "steps_objective.py").write_text(SOURCE.replace("FOLDER", str(tmp_path)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("steps_objective", None)
    registry._built.cache_clear()
    (tmp_path / "epochs.txt").touch()
    (tmp_path / "killed").touch()
    return tmp_path / "epochs.txt"


def children(parent: str) -> pd.DataFrame:
    found = mlflow.search_runs(search_all_experiments=True)
    own = found[found["tags.mlflow.parentRunId"] == parent]
    return own.sort_values("tags.mlflow.runName", ignore_index=True)


def outcomes(parent: str) -> list[list[str]]:
    """What each trial was and came to; a record that a kill cut short was written again."""
    columns = ["tags.mlflow.runName", "params.x", "params.n", "metrics.value", "tags.state"]
    columns += ["metrics.value_at_fidelity", "metrics.fidelity", "metrics.epochs"]
    whole = children(parent)[lambda rows: rows["status"] != "KILLED"]
    return whole[columns].astype(str).values.tolist()


@pytest.mark.parametrize("method", METHODS)
def test_mlflow_distinguishes_pruned_trials_from_complete_ones(
    prefect_server, mlflow_store, log, method
) -> None:
    summary = tune("steps_objective:Steps", **OPTIONS, method=method, advisor="none")
    rows = children(summary.run_id)
    states = Counter(rows["tags.state"])
    assert set(states) == {"complete", "pruned"}
    assert states.total() == summary.evaluations > 1.5 * BUDGET
    assert set(rows["status"]) == {"FINISHED"}
    pruned, complete = (rows[rows["tags.state"] == state] for state in ("pruned", "complete"))
    assert pruned["metrics.value"].isna().all()
    assert (pruned["metrics.epochs"] == (16 * pruned["metrics.fidelity"]).round()).all()
    assert pruned["metrics.value_at_fidelity"].notna().all()
    assert summary.best_value == complete["metrics.value"].min()
    epochs = len(log.read_text().splitlines())
    assert epochs == summary.epochs == rows["metrics.epochs"].sum()
    assert BUDGET * 16 <= epochs < (BUDGET + 2) * 16
    assert summary.pruned == states["pruned"]
    assert summary.full_trainings == pytest.approx(epochs / 16)
    assert f"{summary.pruned} pruned" in as_text(summary)
    curve = mlflow.MlflowClient().get_metric_history(pruned["run_id"].iloc[0], "loss")
    assert len(curve) == pruned["metrics.epochs"].iloc[0]
    assert not study_folder(summary.run_id).exists()


def test_an_extended_race_uses_all_that_it_has(prefect_server, mlflow_store, log, caplog) -> None:
    options = OPTIONS | {"advisor": "none"}
    first = tune("steps_objective:Steps", **options)
    caplog.clear()
    longer = tune("steps_objective:Steps", **options | {"evaluations": BUDGET + 3})
    assert longer.run_id == first.run_id
    assert "not used" not in caplog.text
    assert set(re.findall(r"[\d.]+/(\d+)  paused", caplog.text)) == {str(BUDGET + 3)}
    page = mlflow.get_run(first.run_id).data.tags["mlflow.note.content"]
    assert f"{longer.pruned} pruned, cost: {longer.full_trainings:.3g} full" in page


@pytest.mark.parametrize("method", METHODS)
def test_processes_race_as_threads_do(prefect_server, mlflow_store, log, method) -> None:
    options = OPTIONS | {"method": method, "advisor": "none", "synchronous": True}
    threads = tune("steps_objective:Steps", **options)
    processes = tune("steps_objective:Steps", **options, runner="process")
    assert outcomes(threads.run_id) == outcomes(processes.run_id)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_race_goes_on_from_its_rungs(
    prefect_server, mlflow_store, forked_runs, log, method
) -> None:
    options = OPTIONS | {"method": method, "advisor": "none", "synchronous": True}
    whole = tune("steps_objective:Steps", **options)
    cost = len(log.read_text().splitlines())
    log.write_text("")
    (log.parent / "killed").unlink()

    code = f"from flows.tune import tune; tune('steps_objective:Steps', **{options!r})"
    errors = log.with_name("errors.txt")
    assert forked_runs.run(code, errors) == -signal.SIGKILL, errors.read_text()
    before = log.read_text().splitlines()
    found = mlflow.search_runs(search_all_experiments=True)
    parents = found[found["tags.mlflow.parentRunId"].isna()]["run_id"]
    stopped = parents[parents != whole.run_id].item()
    assert list((study_folder(stopped) / "paused").glob("*.pt"))

    resumed = tune("steps_objective:Steps", **options)
    assert resumed.run_id == stopped
    assert outcomes(resumed.run_id) == outcomes(whole.run_id)
    again = Counter(log.read_text().splitlines())
    # What was between two rungs when the power went is all that is trained twice.
    twice = [epoch for epoch, times in again.items() if times > 1]
    assert 0 < len(twice) < len(before) / 4
    assert len(again) == cost
    assert max(again.values()) == 2


def test_trainings_pause_on_one_machine_only() -> None:
    cluster = {"runner": "dask", "address": "tcp://10.0.0.1:8786"}
    lstm, function = (build_objective(ObjectiveSpec(name)) for name in ("lstm", "rastrigin"))
    with pytest.raises(SpecError, match="checkpoints, which are stored on this machine"):
        _can_pause(lstm, TuneOptions(racing=True, **cluster))
    assert not _can_pause(lstm, TuneOptions(**cluster))
    assert _can_pause(lstm, TuneOptions(runner="dask"))
    assert not _can_pause(function, TuneOptions(racing=True, **cluster))
