"""A study goes further than its first run did, and trains nothing twice."""

import json
import sys
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from flows import tune_plan
from flows.display.summary import Summary
from flows.display.summary_text import as_text
from flows.identity import study_identity
from flows.tune import tune
from flows.tune_plan import TuneOptions, prepare
from llmpso.backends.base import Reply, Request
from llmpso.errors import BusyError
from llmpso.objectives import registry
from scripted_backend import ScriptedBackend
from tasks.store.lock_targets import study_lock
from tasks.store.tracker import Tracker

pytestmark = pytest.mark.usefixtures("blank_pictures")

FUNCTION = """
from pathlib import Path
import torch
from llmpso import Evaluation

def train(params, seed):
    with Path("trained.txt").open("a") as file:
        file.write(f"{seed}\\n")
    model = torch.nn.Linear(1, 1, device="cpu")
    return Evaluation((params["x"] - 1) ** 2 + params["n"] / 8, model=model)
"""
SPACE = "x: {type: float, low: -5, high: 5}\nn: {type: integer, low: 1, high: 8}\n"


@pytest.fixture
def function(mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a plain function that notes each of its trainings."""
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "trained.txt").touch()
    file = tmp_path / "extended_function.py"
    file.write_text(FUNCTION)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    return file


def forget() -> None:
    """Let the next run read the source again."""
    sys.modules.pop("extended_function", None)
    registry._built.cache_clear()


def given(**options) -> dict:
    own = {"objective": "extended_function:train", "space_file": "space.yaml", "workers": 2}
    return own | {"threads": 1, "advisor": "none"} | options


def run(**options) -> Summary:
    return tune(**given(**options))


def run_in_batches(**options) -> Summary:
    return run(synchronous=True, **options)


def n_trained() -> int:
    return len(Path("trained.txt").read_text().split())


def studies() -> pd.DataFrame:
    found = mlflow.search_runs(search_all_experiments=True)
    return found[found["tags.mlflow.parentRunId"].isna()]


def trials(run_id: str) -> list[list[str]]:
    """What each trial of a study was and came to, in order."""
    found = mlflow.search_runs(search_all_experiments=True)
    rows = found[found["tags.mlflow.parentRunId"] == run_id].sort_values("tags.mlflow.runName")
    params = [name for name in rows.columns if name.startswith("params.")]
    columns = ["tags.mlflow.runName", "tags.state", *params, "metrics.value"]
    return rows[columns].astype(str).values.tolist()


def test_more_evaluations_are_the_rest_of_the_same_study(prefect_server, function) -> None:
    # Else the order in which trainings end, which may differ, decides what is proposed.
    first = run_in_batches(evaluations=5, memory="off")
    longer = run_in_batches(evaluations=12, memory="off")
    assert (n_trained(), longer.evaluations, longer.reused) == (12, 12, 5)
    assert longer.run_id == first.run_id
    assert "12 evaluations, 0 failed, 5 reused from an earlier run" in as_text(longer)
    assert "5 evaluations of an earlier run are reused. The code" in longer.notes[0]
    (study,) = studies().to_dict("records")
    assert (study["status"], study["tags.budget"]) == ("FINISHED", "12")
    assert study["metrics.evaluations"] == 12
    assert mlflow.artifacts.load_dict(f"runs:/{first.run_id}/summary.json")["evaluations"] == 12

    whole = run_in_batches(evaluations=12, fresh=True, memory="off")
    assert trials(whole.run_id) == trials(longer.run_id)
    assert whole.best_value == longer.best_value
    assert whole.notes == ()


def test_fewer_evaluations_train_nothing_and_hide_nothing(prefect_server, function) -> None:
    long = run(evaluations=8, method="pso")
    short = run(evaluations=3, method="pso")
    again = run(evaluations=8, method="pso")
    assert n_trained() == 8
    assert {long.run_id} == {short.run_id, again.run_id} == set(studies()["run_id"])
    assert [summary.evaluations for summary in (long, short, again)] == [8, 8, 8]
    assert short.best_value == long.best_value
    # The best model is a version once, however often the study was looked at.
    assert long.model == short.model == again.model == "extended-function-train/1"
    assert run(evaluations=8, method="pso").run_id != long.run_id
    assert n_trained() == 16


def test_another_limit_goes_on_and_a_lower_one_hides_nothing(prefect_server, function) -> None:
    # Else what is under way when a limit is reached may be better than all before.
    run = partial(run_in_batches, evaluations=20, seed=3)
    soon = run(patience=2)
    assert soon.stop_reason == "patience"
    later = run(patience=6)
    assert later.run_id == soon.run_id
    assert n_trained() == later.evaluations > soon.evaluations == later.reused
    less = run(patience=1)
    assert (less.run_id, less.evaluations) == (soon.run_id, later.evaluations)


@pytest.mark.slow
def test_a_larger_limit_of_time_trains_again_what_the_smaller_one_killed(
    prefect_server, function
) -> None:
    wait = 'while Path("slow").exists() and params["n"] > 4: time.sleep(0.1)'
    function.write_text(FUNCTION.replace("    model = ", f"    {wait}\n    model = "))
    function.write_text(f"import time\n{function.read_text()}")
    Path("slow").touch()
    options = {"method": "pso", "runner": "process", "workers": 1}
    first = run(evaluations=6, timeout=1, **options)
    assert 0 < first.failed < 6
    Path("slow").unlink()
    same = run(evaluations=8, timeout=1, **options)
    assert (same.run_id, same.reused, same.failed) == (first.run_id, 6, first.failed)
    longer = run(evaluations=10, timeout=1000, **options)
    assert longer.run_id == first.run_id
    assert longer.failed == 0


def test_a_race_goes_on(prefect_server, mlflow_store) -> None:
    options = {"workers": 2, "threads": 1, "advisor": "none", "racing": True, "last": 300}
    first = tune("lstm", evaluations=3, space="paper", **options)
    before = trials(first.run_id)
    longer = tune("lstm", evaluations=5, space="paper", **options)
    assert (longer.run_id, longer.reused) == (first.run_id, first.evaluations)
    assert first.full_trainings >= 3
    assert longer.full_trainings >= 5
    after = trials(first.run_id)
    # A training that was pruned at the end of the first may be promoted in the longer one.
    assert [trial for trial in before if trial[1] == "complete"] == [
        trial for trial in after[: len(before)] if trial in before and trial[1] == "complete"
    ]
    assert "pruned" in {state for _, state, *_ in before}
    # Its first run says so, and every trial has one run that counts.
    counted = [name for name, state, *_ in after if state != "superseded"]
    assert len(counted) == len({name[:3] for name in counted}) == longer.evaluations
    assert longer.notes == ()


def test_the_language_model_is_not_asked_again(prefect_server, function, monkeypatch) -> None:
    def answer(request: Request) -> Reply:
        x = 1.0 + len(request.messages[1].content) / 1e6
        items = [
            {"position": {"x": x + k, "n": 1 + k}, "velocity": {"x": 0.1, "n": 0}}
            for k in range(2)
        ]
        return Reply(json.dumps({"suggestions": items}), 100, 20, seconds=0.5)

    backend = ScriptedBackend(answer)
    # Asked by several runs, each of which closes its own.
    monkeypatch.setattr(backend, "close", lambda: None)
    monkeypatch.setattr(tune_plan, "_backend", lambda options: (backend, "scripted, for a test"))
    first = run(evaluations=18, method="paper")
    asked = len(backend.requests)
    longer = run(evaluations=24, method="paper")
    assert (longer.run_id, n_trained()) == (first.run_id, 24)
    assert len(backend.requests) == longer.llm_calls == asked + 1
    traces = mlflow.MlflowClient().search_traces(locations=[studies()["experiment_id"].item()])
    assert len(traces) == asked + 1


def test_a_study_that_is_being_extended_is_not_extended_twice(prefect_server, function) -> None:
    run(evaluations=4)
    row = studies().iloc[0]
    lock = study_lock(Tracker(mlflow.get_tracking_uri(), row["experiment_id"], row["run_id"]))
    with pytest.raises(BusyError, match="this very study is being run"):
        run(evaluations=6)
    lock.release()
    assert run(evaluations=6).run_id == row["run_id"]
    assert run(evaluations=8, fresh=True).run_id != row["run_id"]
    assert set(studies()["status"]) == {"FINISHED"}


def test_a_study_whose_code_changed_while_it_ran_is_not_extended(
    prefect_server, function, monkeypatch
) -> None:
    text = 'Path(__file__).write_text(Path(__file__).read_text() + "\\n# edited\\n")'
    function.write_text(FUNCTION.replace("    model = ", f"    {text}\n    model = "))
    first = run(evaluations=4)
    (study,) = studies().to_dict("records")
    assert study["tags.reuse"] == "none: the objective's code or data changed while the study ran"
    function.write_text(FUNCTION.replace("    model = ", f"    {text}\n    model = "))
    forget()
    assert run(evaluations=6).run_id != first.run_id
    assert n_trained() == 10


@pytest.fixture
def key(function: Path) -> Callable[..., str]:
    """The key of the study that some options ask for."""

    def of(**options) -> str:
        defaults = {name: p.default for name, p in signature(tune.fn).parameters.items()}
        return study_identity(prepare(TuneOptions(**(defaults | given(**options))))).key

    return of


def test_what_decides_the_trials_is_the_study(key: Callable[..., str], function: Path) -> None:
    own = key()
    for same in (
        {"evaluations": 99},
        {"patience": 3, "stop_at": 0.1, "max_seconds": 9.0, "max_failures": 2},
        {"workers": 3, "threads": 2, "fresh": True, "register_as": "other"},
    ):
        assert key(**same) == own
    for other in (
        {"seed": 1},
        {"method": "pso"},
        {"batch": 3},
        {"particles": 5},
        {"start": ['{"x": 1, "n": 1}']},
    ):
        assert key(**other) != own
    # With inertia that falls over the study its length decides where the swarm goes.
    falling = {"decreasing_inertia": True, "method": "pso"}
    assert key(**falling) != key(method="pso")
    assert key(**falling, evaluations=12) != key(**falling, evaluations=24)
    function.write_text(f"{FUNCTION}\n\ndef fingerprint():\n    return 'data of today'\n")
    forget()
    assert key() != own
