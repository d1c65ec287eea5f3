"""A killed retuning continues: nothing is trained, registered or promoted twice."""

import signal
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from forked_runs import ForkedRuns

from tasks.models.registry import Registry

OBJECTIVE = """
import os, signal
import numpy as np
import torch
from llmpso import Evaluation, Float, SearchSpace
from llmpso.objectives.held_out import HeldOut

# How far the truth has moved.
def world():
    return float(os.environ["WORLD"])

def note(word):
    file = os.open("LOG", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{word}\\n".encode())
    os.close(file)

class Line:
    name = "line"
    metric = "error"
    description = "A number to be found."
    fingerprint = "one version of the data"
    space = SearchSpace({"x": Float(0.0, 1.0)})

    def evaluate(self, params, *, fidelity, seed):
        note("begin")
        if open("LOG").read().count("begin") == int(os.environ.get("KILL_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        model = torch.nn.Linear(1, 1, bias=False)
        model.weight.data = torch.tensor([[params["x"] + world()]])
        note("end")
        return Evaluation(abs(params["x"] - 0.3), model=model)

    def held_out(self, model):
        x = float(model.weight.data)
        noise = np.random.default_rng(0).uniform(0.01, 0.02, 200)
        return HeldOut(abs(x - 0.3 - world()) + noise, block=10)
"""

# A retuning that can die in a training, or before the n-th call of a method of the registry.
CODE = """
import os, signal
from flows.retune import retune
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

def die_before(name, number):
    method, calls = getattr(SqlAlchemyStore, name), []
    def call(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*args, **kwargs)
    setattr(SqlAlchemyStore, name, call)

kill, options = {kill!r}, {options!r}
if "call" in kill:
    die_before(*kill["call"])
os.environ["KILL_AT"] = str(kill.get("training", 0))
os.environ["WORLD"] = str(kill.get("world", 0))
retune("line_objective:Line", model="line", **options)
"""

OPTIONS = {"advisor": "none", "workers": 1, "threads": 1, "refits": 3, "margin": 0.0}


@pytest.fixture
def run(prefect_server, mlflow_store, forked_runs: ForkedRuns, tmp_path, monkeypatch):
    """Runs a retuning in a process of its own, which may be killed; its exit code."""
    text = OBJECTIVE.replace("LOG", str(tmp_path / "log"))
    (tmp_path / "line_objective.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    own = {"PREFECT_HOME": str(tmp_path / "prefect"), "XDG_STATE_HOME": str(tmp_path / "state")}

    def run(kill: dict, **options) -> int:
        code = CODE.format(kill=kill, options=OPTIONS | options)
        return forked_runs.run(code, tmp_path / "errors", **own)

    return run


def aliases() -> dict[str, str]:
    found = mlflow.MlflowClient().get_registered_model("line").aliases
    return {alias: str(version) for alias, version in found.items()}


def counted(tmp_path: Path) -> Counter:
    return Counter((tmp_path / "log").read_text().split())


@pytest.mark.slow
def test_a_retuning_that_is_killed_goes_on_where_it_was(run, mlflow_store, tmp_path: Path) -> None:
    assert run({}, evaluations=1, method="pso") == 0
    first = counted(tmp_path)["end"]
    more = {"evaluations": 12, "seed": 1}
    killed = -signal.SIGKILL
    assert run({"training": first + 12 + 3}, **more) == killed
    assert aliases() == {"champion": "1"}
    # The refits before the kill are kept, and the study is.
    assert run({"call": ["set_registered_model_alias", 1]}, **more) == killed
    assert counted(tmp_path) == {"begin": first + 12 + 6 + 1, "end": first + 12 + 6}
    assert aliases() == {"champion": "1"}
    assert Registry(mlflow_store, "line").promotions()["version"].tolist() == [1]
    # It is registered, and is not registered again.
    assert run({"call": ["set_registered_model_alias", 2]}, **more) == killed
    assert aliases() == {"champion": "2"}
    # The next begins another retuning, after the old one was brought to its end.
    assert run({}, evaluations=1, method="pso", seed=2) == 0
    assert aliases() == {"champion": "2", "previous": "1"}
    assert Registry(mlflow_store, "line").promotions()["version"].tolist() == [1, 2]
    assert len(mlflow.MlflowClient().search_model_versions("name = 'line'")) == 2
    assert counted(tmp_path)["end"] <= first + 12 + 6 + 1 + 6
    runs = mlflow.search_runs(search_all_experiments=True)
    parents = runs[runs["tags.mlflow.parentRunId"].isna()]
    assert set(parents["status"]) == {"FINISHED"}
    retunings = parents[parents["tags.retunes"] == "line"].sort_values("start_time")
    assert retunings["tags.outcome"].tolist() == ["first", "promoted", "kept"]


@pytest.mark.slow
def test_a_killed_retuning_trains_the_champion_again_once_and_promotes_it_once(
    run, mlflow_store, tmp_path: Path
) -> None:
    same, moved, killed = {"evaluations": 1, "method": "pso"}, {"world": 5}, -signal.SIGKILL
    assert run({}, **same) == 0
    first = counted(tmp_path)["end"]
    # The study trains once, then three refits follow, of which the second is killed.
    assert run(moved | {"training": first + 1 + 2}, **same) == killed
    assert run(moved | {"call": ["set_registered_model_alias", 1]}, **same) == killed
    assert counted(tmp_path) == {"begin": first + 1 + 3 + 1, "end": first + 1 + 3}
    assert aliases() == {"champion": "1"}
    assert run(moved | {"call": ["set_registered_model_alias", 2]}, **same) == killed
    assert counted(tmp_path)["end"] == first + 1 + 3
    assert aliases() == {"champion": "2"}
    assert run(moved, **same) == 0
    assert aliases() == {"champion": "2", "previous": "1"}
    history = Registry(mlflow_store, "line").promotions()
    assert history["outcome"].tolist() == ["first", "refreshed"]
    assert len(mlflow.MlflowClient().search_model_versions("name = 'line'")) == 2
    runs = mlflow.search_runs(search_all_experiments=True)
    retunings = runs[runs["tags.retunes"] == "line"].sort_values("start_time")
    assert retunings["tags.outcome"].tolist() == ["first", "refreshed", "kept"]
