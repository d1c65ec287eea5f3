"""Whatever a user's objective returns, raises, prints or logs: the study has what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from flows.tune import tune
from llmpso.errors import LLMPSOError

pytestmark = pytest.mark.usefixtures("blank_pictures")

OBJECTIVE = '''
import functools, os, sys, threading
import mlflow
import numpy as np
import torch
from sklearn.linear_model import Ridge
from llmpso import Categorical, Evaluation, SearchSpace


class Habits:
    """Each trial has another bad habit."""

    name = "habits"
    metric = "loss"
    description = "Habits."
    space = SearchSpace({"habit": Categorical(HABITS), "size": Categorical([[64, 64], None])})

    def evaluate(self, params, *, fidelity, seed):
        return getattr(self, params.pop("habit"))(params)

    def plain(self, params):
        params["size"] = "outside the space"
        return 8.0

    def logs(self, params):
        mlflow.log_param("mine", len(str(params)))
        mlflow.log_metric("mine", 1.0)
        return 7.0

    def logs_more(self, params):
        mlflow.log_param("mine", "something else")
        return 6.0

    def exits(self, params):
        sys.exit("diverged")

    def odd_values(self, params):
        artifacts = {"matrix.json": {"eye": np.eye(2)}}
        return Evaluation(np.float32(5), {"auc": None, "f1": np.float64(0.5)}, artifacts=artifacts)

    def locked(self, params):
        model = torch.nn.Linear(2, 1)
        model.lock = threading.Lock()
        return Evaluation(4.0, model=model)

    def weights(self, params):
        return Evaluation(3.0, model=torch.nn.Linear(2, 1).state_dict())

    def estimator(self, params):
        os.chdir("/")
        return Evaluation(2.0, model=Ridge().fit(np.eye(3), [1, 2, 3]))

    def baselines(self):
        return {"mean": {"loss": 9.0}}["median"]


def fails(params):
    """A mistake of typing."""
    return params["sise"]


def scaled(params, factor):
    return factor * len(params["size"] or "")


doubled = functools.partial(scaled, factor=2)
'''

HABITS = [
    "plain", "logs", "logs_more", "exits", "odd_values", "locked", "weights", "estimator",
]  # fmt: skip


@pytest.fixture
def habits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    source = OBJECTIVE.replace("HABITS", repr(HABITS))
    (tmp_path / "habits_objective.py").write_text(source)
    (tmp_path / "sizes.yaml").write_text(
        "size: {type: categorical, choices: [[64, 64], [32], null]}\nrate: {type: float, low: 0,"
        " high: 1}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "habits_objective"
    sys.modules.pop("habits_objective", None)


def children(run_id: str) -> list[mlflow.entities.Run]:
    found = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.mlflow.parentRunId = '{run_id}'",
        output_format="list",
    )
    return sorted(found, key=lambda run: run.info.run_name)


@pytest.mark.slow
def test_habits_cost_a_trial_or_a_warning_never_the_study(
    prefect_server, mlflow_store, habits
) -> None:
    start = [json.dumps({"habit": habit, "size": [64, 64]}) for habit in HABITS]
    summary = tune(
        f"{habits}:Habits", method="pso", particles=8, evaluations=8, start=start, workers=1
    )
    assert (summary.evaluations, summary.failed, summary.best_value) == (8, 1, 2.0)
    assert summary.best_params == {"habit": "estimator", "size": (64, 64)}
    assert summary.baselines == {}
    assert any("baselines cannot be read: KeyError" in note for note in summary.notes)
    runs = dict(zip(HABITS, children(summary.run_id), strict=True))
    assert {run.data.params["size"] for run in runs.values()} == {"(64, 64)"}
    assert runs["exits"].data.tags["failure_message"] == "SystemExit: diverged"
    assert "in exits" in mlflow.artifacts.load_text(f"{artifacts(runs['exits'])}/traceback.txt")
    assert runs["odd_values"].data.tags["warnings"].startswith("metric 'auc' is left out")
    assert runs["odd_values"].data.metrics["f1"] == 0.5
    record = mlflow.artifacts.load_dict(f"{artifacts(runs['odd_values'])}/matrix.json")
    assert record == {"eye": [[1.0, 0.0], [0.0, 1.0]]}
    assert runs["locked"].data.tags["warnings"].startswith("its model is not saved: TypeError: ca")
    assert runs["locked"].data.metrics["value"] == 4.0
    ridge = mlflow.pyfunc.load_model(f"models:/{summary.model}")
    assert ridge.predict(np.eye(3)).shape == (3,)
    weights = mlflow.pyfunc.load_model(f"{artifacts(runs['weights'])}/model").get_raw_model()
    torch.nn.Linear(2, 1).load_state_dict(weights)
    theirs = mlflow.search_runs(
        search_all_experiments=True, filter_string="params.mine != ''", output_format="list"
    )
    assert {run.data.tags["llmpso.trial"] for run in theirs} == {"001 start", "002 start"}
    assert {run.info.status for run in theirs} == {"FINISHED"}


def artifacts(run: mlflow.entities.Run) -> str:
    return run.info.artifact_uri


@pytest.mark.slow
def test_a_mistake_ends_the_study_early_says_what_it_is_and_is_not_trained_again(
    prefect_server, mlflow_store, habits, tmp_path
) -> None:
    options = {"space_file": str(tmp_path / "sizes.yaml"), "evaluations": 30, "advisor": "none"}
    for _ in range(2):
        with pytest.raises(
            LLMPSOError, match="exception: KeyError: 'sise' .habits_objective.py, line"
        ):
            tune(f"{habits}:fails", workers=1, **options)
    (study,) = mlflow.search_runs(
        search_all_experiments=True, filter_string="tags.metric != ''", output_format="list"
    )
    assert len(children(study.info.run_id)) == 6
    summary = tune(f"{habits}:doubled", workers=1, **options | {"evaluations": 4})
    assert summary.objective == "habits-objective-doubled"
    client = MlflowClient()
    assert client.get_run(summary.run_id).info.status == "FINISHED"


def test_nothing_but_the_result_is_on_standard_output(tmp_path: Path) -> None:
    """Prints of Python, of compiled code, of child processes, of loggers; and a closed stream."""
    code = """
import ctypes, io, logging, os, sys
from flows.output import others_aside, print_result
logging.basicConfig(stream=sys.stdout)
with others_aside(True):
    print("python")
    logging.warning("logger")
    os.system("echo child")
    os.write(1, b"number\\n")
    ctypes.CDLL(None).printf(b"compiled\\n")
    sys.stdout.close()
print_result("result")
sys.stdout.close()
print_result("again")
for is_wanted in (True, False):
    with others_aside(is_wanted):
        sys.stdout = io.StringIO()
        os.close(1)
    print_result(f"replaced {is_wanted}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "result\nagain\nreplaced True\nreplaced False\n"
    said = set(done.stderr.split())
    assert {"python", "WARNING:root:logger", "child", "number", "compiled"} <= said


def test_what_an_object_of_a_run_holds_is_written_at_the_end(tmp_path: Path) -> None:
    """Only Python's last search for garbage finds an object that refers to itself."""
    code = f"""
import cyclopts
from flows.command_line import run_module

class Log:
    pass

def note():
    global log
    log = Log()
    log.itself, log.file = log, open({str(tmp_path / "log")!r}, "w")
    log.file.write("measured")

app = cyclopts.App("note")
app.default(note)
raise SystemExit(run_module(app, "flows.note"))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "log").read_text() == "measured"
