"""A killed retuning continues: nothing is trained, registered or promoted twice."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from prefect.settings import PREFECT_API_URL

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

# Imports take longer than a whole retuning: they are done once, also those that a retuning does
# late, and every run is a fork.
NURSERY = """
import json, os, signal, sys
import matplotlib.figure, mlflow.pytorch, torch
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

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        kill, options = json.loads(line)
        if "call" in kill:
            die_before(*kill["call"])
        os.environ["KILL_AT"] = str(kill.get("training", 0))
        os.environ["WORLD"] = str(kill.get("world", 0))
        retune("line_objective:Line", model="line", **options)
        os._exit(0)
    print(os.waitpid(pid, 0)[1], flush=True)
"""

OPTIONS = {"advisor": "none", "workers": 1, "threads": 1, "refits": 3, "margin": 0.0}


@pytest.fixture
def nursery(prefect_server, mlflow_store, tmp_path, monkeypatch):
    """Runs a retuning in a process of its own, which may be killed; how it ended."""
    text = OBJECTIVE.replace("LOG", str(tmp_path / "log"))
    (tmp_path / "line_objective.py").write_text(text)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }
    with (tmp_path / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def run(kill: dict, **options) -> int:
        process.stdin.write(json.dumps([kill, OPTIONS | options]) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield run
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


def aliases() -> dict[str, str]:
    found = mlflow.MlflowClient().get_registered_model("line").aliases
    return {alias: str(version) for alias, version in found.items()}


def counted(tmp_path: Path) -> Counter:
    return Counter((tmp_path / "log").read_text().split())


@pytest.mark.slow
def test_a_retuning_that_is_killed_goes_on_where_it_was(
    nursery, mlflow_store, tmp_path: Path
) -> None:
    assert nursery({}, evaluations=1, method="pso") == 0
    first = counted(tmp_path)["end"]
    more = {"evaluations": 12, "seed": 1}
    killed = 9
    assert nursery({"training": first + 12 + 3}, **more) == killed
    assert aliases() == {"champion": "1"}
    # The refits before the kill are kept, and the study is.
    assert nursery({"call": ["set_registered_model_alias", 1]}, **more) == killed
    assert counted(tmp_path) == {"begin": first + 12 + 6 + 1, "end": first + 12 + 6}
    assert aliases() == {"champion": "1"}
    assert Registry(mlflow_store, "line").promotions()["version"].tolist() == [1]
    # It is registered, and is not registered again.
    assert nursery({"call": ["set_registered_model_alias", 2]}, **more) == killed
    assert aliases() == {"champion": "2"}
    # The next begins another retuning, after the old one was brought to its end.
    assert nursery({}, evaluations=1, method="pso", seed=2) == 0
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
    nursery, mlflow_store, tmp_path: Path
) -> None:
    same, moved, killed = {"evaluations": 1, "method": "pso"}, {"world": 5}, 9
    assert nursery({}, **same) == 0
    first = counted(tmp_path)["end"]
    # The study trains once, then three refits follow, of which the second is killed.
    assert nursery(moved | {"training": first + 1 + 2}, **same) == killed
    assert nursery(moved | {"call": ["set_registered_model_alias", 1]}, **same) == killed
    assert counted(tmp_path) == {"begin": first + 1 + 3 + 1, "end": first + 1 + 3}
    assert aliases() == {"champion": "1"}
    assert nursery(moved | {"call": ["set_registered_model_alias", 2]}, **same) == killed
    assert counted(tmp_path)["end"] == first + 1 + 3
    assert aliases() == {"champion": "2"}
    assert nursery(moved, **same) == 0
    assert aliases() == {"champion": "2", "previous": "1"}
    history = Registry(mlflow_store, "line").promotions()
    assert history["outcome"].tolist() == ["first", "refreshed"]
    assert len(mlflow.MlflowClient().search_model_versions("name = 'line'")) == 2
    runs = mlflow.search_runs(search_all_experiments=True)
    retunings = runs[runs["tags.retunes"] == "line"].sort_values("start_time")
    assert retunings["tags.outcome"].tolist() == ["first", "refreshed", "kept"]
