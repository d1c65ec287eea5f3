"""A study that is interrupted continues as if nothing had happened."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from flows import tracked_trainings as module
from flows import tune_plan
from flows.display.summary_text import as_text
from flows.tune import tune
from llmpso.backends.base import Reply, Request
from llmpso.errors import BackendError, BusyError
from llmpso.objectives import registry
from llmpso.trial import Trial
from scripted_backend import ScriptedBackend
from tasks.store import lock as locks
from tasks.store.heartbeat import Heartbeat
from tasks.store.lock_targets import study_lock
from tasks.store.state_folders import study_folder
from tasks.store.tracker import Tracker

pytestmark = pytest.mark.usefixtures("blank_pictures")

OUTCOME = ["tags.mlflow.runName", "params.x", "params.n", "metrics.value", "tags.failure"]


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The objective `counted_objective:Counted`, and the file where it notes each evaluation."""
    source = """
from pathlib import Path
from llmpso import Evaluation, Float, Integer, SearchSpace

class Counted:
    name = "counted"
    metric = "height (m)"
    description = "A bowl with a hole."
    space = SearchSpace({"x": Float(-5.0, 5.0), "n": Integer(1, 8)})

    def evaluate(self, params, *, fidelity, seed):
        with Path("FILE").open("a") as file:
            file.write(f"{seed}\\n")
        if params["n"] == 7:
            raise RuntimeError("there is a hole")
        return Evaluation((params["x"] - 1) ** 2 + params["n"] / 8, metrics={"seed": seed})
"""
    log = tmp_path / "evaluations.txt"
    log.touch()
    (tmp_path / "counted_objective.py").write_text(source.replace("FILE", str(log)))
    monkeypatch.syspath_prepend(tmp_path)
    forget_module()
    return log


CLAIM = "llmpso.running.elsewhere"
"""Tag of a process on another machine that runs a study."""


def forget_module() -> None:
    """Let the next run read the source again."""
    sys.modules.pop("counted_objective", None)
    registry._built.cache_clear()


OBJECTIVE = "counted_objective:Counted"


def answer(request: Request) -> Reply:
    number = len(request.messages[1].content)
    items = [
        {"position": {"x": 1.0 + number / 1e6 + k, "n": 1 + k}, "velocity": {"x": 0.1, "n": 0}}
        for k in range(2)
    ]
    return Reply(json.dumps({"suggestions": items}), 100, 20, seconds=0.5)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ScriptedBackend:
    backend = ScriptedBackend(answer)
    # Asked by several runs, each of which closes its own.
    monkeypatch.setattr(backend, "close", lambda: None)
    monkeypatch.setattr(tune_plan, "_backend", lambda options: (backend, "scripted, for a test"))
    return backend


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch):
    """Lets a study break in an iteration, after all but one of its evaluations."""
    whole = module.iterate

    def break_in(iteration: int) -> None:
        def broken(number: int, trials: Sequence[Trial], *more):
            if number == iteration:
                whole(number, trials[:-1], *more)
                raise RuntimeError("the power went")
            return whole(number, trials, *more)

        monkeypatch.setattr(module, "iterate", broken)

    yield break_in


def run(**options):
    given = {"method": "paper", "evaluations": 18, "seed": 1, "workers": 2, "memory": "off"}
    return tune(OBJECTIVE, **(given | options))


def parents() -> pd.DataFrame:
    found = mlflow.search_runs(search_all_experiments=True)
    return found[found["tags.mlflow.parentRunId"].isna()]


def children(parent: str) -> pd.DataFrame:
    found = mlflow.search_runs(search_all_experiments=True)
    return found[found["tags.mlflow.parentRunId"] == parent]


def outcomes(parent: str) -> list[list]:
    """What each trial was and came to, in order."""
    rows = children(parent).sort_values("tags.mlflow.runName")[OUTCOME]
    return rows.astype(str).values.tolist()


def test_an_interrupted_study_goes_on_as_if_nothing_had_happened(
    prefect_server, mlflow_store, counted, model, breaks
) -> None:
    breaks(2)
    with pytest.raises(RuntimeError, match="the power went"):
        run()
    breaks(-1)
    assert len(counted.read_text().split()) == 17
    (stopped,) = parents()["run_id"]
    resumed = run()
    assert resumed.run_id == stopped
    assert resumed.reused == 17
    assert "17 reused from an earlier run" in as_text(resumed)
    seeds = counted.read_text().split()
    assert len(seeds) == len(set(seeds)) == 18
    assert len(parents()) == 1
    assert parents()["status"].tolist() == ["FINISHED"]

    whole = run(fresh=True)
    assert whole.run_id != stopped
    assert outcomes(stopped) == outcomes(whole.run_id)
    same = ("best_value", "best_params", "best_number", "by_source", "llm_problems", "failed")
    assert [getattr(resumed, name) for name in same] == [getattr(whole, name) for name in same]
    curves = [
        [
            (point.step, point.value)
            for point in mlflow.MlflowClient().get_metric_history(run_id, "best_value")
        ]
        for run_id in (stopped, whole.run_id)
    ]
    assert curves[0] == curves[1]
    assert not study_folder(stopped).exists()


def test_a_study_goes_on_with_the_batch_that_it_began_with(
    prefect_server, mlflow_store, counted, breaks
) -> None:
    """Another machine has other workers, and a busy one measures fewer."""
    shared = {"method": "guided", "advisor": "none", "evaluations": 15, "threads": 1}
    shared |= {"memory": "off", "synchronous": True}
    breaks(2)
    with pytest.raises(RuntimeError, match="the power went"):
        run(workers=5, **shared)
    breaks(-1)
    resumed = run(workers=2, **shared)
    assert resumed.reused == 14
    assert len(counted.read_text().split()) == 15
    assert len(parents()) == 1
    shape = parents().iloc[0][["params.particles", "params.batch", "tags.llmpso.workers"]]
    assert shape.tolist() == ["5", "5", "5"]
    named = run(workers=1, batch=5, particles=5, **shared)
    assert outcomes(resumed.run_id) == outcomes(named.run_id)


def test_a_finished_study_is_run_again(prefect_server, mlflow_store, counted) -> None:
    first, second = (run(method="pso", evaluations=6) for _ in range(2))
    assert first.run_id != second.run_id
    assert second.reused == 0
    assert len(counted.read_text().split()) == 12
    assert outcomes(first.run_id) == outcomes(second.run_id)


def test_changed_code_is_another_study(prefect_server, mlflow_store, counted, breaks) -> None:
    breaks(1)
    with pytest.raises(RuntimeError):
        run(method="pso")
    breaks(-1)
    source = counted.parent / "counted_objective.py"
    source.write_text(source.read_text().replace('params["n"] / 8', 'params["n"] / 80'))
    forget_module()
    assert run(method="pso").reused == 0
    assert len(parents()) == 2


def test_fresh_closes_the_interrupted_run(prefect_server, mlflow_store, counted, breaks) -> None:
    breaks(1)
    with pytest.raises(RuntimeError):
        run(method="pso")
    breaks(-1)
    stopped = parents()["run_id"].item()
    mlflow.MlflowClient().update_run(stopped, status="RUNNING")
    assert run(method="pso", fresh=True).reused == 0
    assert parents().set_index("run_id")["status"][stopped] == "KILLED"


@pytest.mark.parametrize("cache", ["kept", "lost"])
def test_the_model_is_not_asked_again(
    prefect_server, mlflow_store, counted, model, breaks, tmp_path, cache
) -> None:
    breaks(3)
    with pytest.raises(RuntimeError):
        run(evaluations=24)
    breaks(-1)
    asked = len(model.requests)
    if cache == "lost":
        shutil.rmtree(tmp_path / "results")
    resumed = run(evaluations=24)
    assert resumed.reused == 23
    assert len(model.requests) == asked == resumed.llm_calls == 2


def test_on_another_machine_mlflow_alone_is_enough(
    prefect_server, mlflow_store, counted, model, breaks, tmp_path
) -> None:
    breaks(3)
    with pytest.raises(RuntimeError):
        run(evaluations=24)
    breaks(-1)
    asked = len(model.requests)
    shutil.rmtree(tmp_path / "results")
    shutil.rmtree(study_folder(parents()["run_id"].item()))
    assert run(evaluations=24).reused == 23
    assert len(model.requests) == asked


def test_a_model_that_was_silent_stays_silent_in_what_was_done(
    prefect_server, mlflow_store, counted, monkeypatch, breaks
) -> None:
    """An answer now would propose other trials than those that were measured then."""
    backend = ScriptedBackend(lambda request: BackendError("the server is down"))
    monkeypatch.setattr(tune_plan, "_backend", lambda options: (backend, "for a test"))
    breaks(3)
    with pytest.raises(RuntimeError):
        run(evaluations=24)
    breaks(-1)
    monkeypatch.setattr(backend, "_answer", answer)
    resumed = run(evaluations=24)
    assert resumed.reused == 23
    assert resumed.llm_problems == 2


def test_a_study_that_is_being_run_is_not_run_twice(
    prefect_server, mlflow_store, counted, breaks
) -> None:
    breaks(1)
    with pytest.raises(RuntimeError):
        run(method="pso")
    breaks(-1)
    row = parents().iloc[0]
    lock = study_lock(Tracker(mlflow_store, row["experiment_id"], row["run_id"]))
    with pytest.raises(BusyError, match="this very study is being run"):
        run(method="pso")
    assert run(method="pso", fresh=True).reused == 0
    lock.release()


def test_a_study_elsewhere_is_dead_once_it_gives_no_sign(
    prefect_server, mlflow_store, counted, breaks, monkeypatch
) -> None:
    breaks(1)
    with pytest.raises(RuntimeError):
        run(method="pso")
    breaks(-1)
    stopped = parents()["run_id"].item()
    shutil.rmtree(study_folder(stopped))
    client = mlflow.MlflowClient()
    client.update_run(stopped, status="RUNNING")
    # Its process on the other machine.
    client.set_tag(stopped, CLAIM, "0")
    heartbeat = Heartbeat(lambda beat: client.set_tag(stopped, CLAIM, str(beat)) is None)
    with pytest.raises(BusyError):
        run(method="pso")
    heartbeat.stop()
    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.01)
    assert run(method="pso").run_id == stopped
    assert CLAIM not in client.get_run(stopped).data.tags
