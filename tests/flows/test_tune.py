"""The flow against a real Prefect server and a real MLflow store."""

import json
import math
import time
from inspect import signature
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.entities import LoggedModelStatus
from prefect import tags
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.utilities.callables import parameter_schema

from flows import tune_plan
from flows.display.progress import StudyProgress
from flows.display.summarise import busy_seconds
from flows.display.summary_text import as_text
from flows.tune import tune
from flows.tune_plan import TuneOptions, prepare
from llmpso.backends.base import Reply, Request
from llmpso.errors import BackendError, LLMPSOError, SpecError
from llmpso.options import GROUP_OF
from llmpso.trial import Source, Trial
from scripted_backend import ScriptedBackend
from tasks.records.flow_runs import announced
from tasks.records.logged_models import N_BEST

pytestmark = pytest.mark.usefixtures("blank_pictures")


def answer(request: Request) -> Reply:
    """Two valid particles that no swarm would find by chance."""
    if "configuration" in request.schema["properties"]:
        return Reply(json.dumps({"configuration": {"x": 1.5, "n": 2}}), 50, 10, seconds=0.2)
    number = len(request.messages[1].content)
    items = [
        {"position": {"x": 1.0 + number / 1e6 + k, "n": 1 + k}, "velocity": {"x": 0.1, "n": 0}}
        for k in range(2)
    ]
    return Reply(json.dumps({"suggestions": items}), 100, 20, seconds=0.5)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedBackend:
    backend = ScriptedBackend(answer)
    monkeypatch.setattr(tune_plan, "_backend", lambda options: (backend, "scripted, for a test"))
    return backend


def runs(store: str, parent: bool) -> pd.DataFrame:
    found = mlflow.search_runs(search_all_experiments=True)
    parents = found.get("tags.mlflow.parentRunId", pd.Series(None, index=found.index))
    return found[parents.isna() if parent else parents.notna()]


def test_the_form_describes_and_bounds_every_parameter() -> None:
    schema = parameter_schema(tune.fn).properties
    assert set(schema) == {"objective", "register_as", *GROUP_OF}
    assert all(entry.get("description") for entry in schema.values())
    assert schema["evaluations"]["minimum"] == 1
    assert schema["method"]["enum"] == ["guided", "paper", "pso"]
    assert all(parameter.annotation for parameter in signature(tune.fn).parameters.values())


@pytest.mark.parametrize("name", ["objective", "register_as", *GROUP_OF])
def test_a_text_that_a_form_left_empty_is_not_given(name: str) -> None:
    for value in ("", " ", [""], []) if name in ("where", "start") else ("", " "):
        assert TuneOptions(**{name: value}) == TuneOptions()


def test_one_study_leaves_a_parent_its_children_and_a_registered_model(
    prefect_server, mlflow_store, bowl, scripted, monkeypatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.5")
    summary = tune(
        bowl, method="paper", evaluations=18, seed=1, workers=2, system_metrics=True,
        llm_price="1/2",
    )  # fmt: skip
    assert summary.evaluations == 18
    assert sum(summary.by_source.values()) == 18
    assert summary.by_source[Source.ADVISOR] == 2
    assert (summary.llm_calls, summary.llm_cached) == (1, 0)
    assert "18 evaluations" in as_text(summary)

    (parent,) = runs(mlflow_store, parent=True).to_dict("records")
    assert parent["status"] == "FINISHED"
    assert parent["params.method"] == "paper"
    assert parent["metrics.system/cpu_utilization_percentage"] >= 0
    assert parent["metrics.llm_cost"] == summary.llm_cost > 0
    assert f"tokens (${summary.llm_cost:.2g})" in as_text(summary)
    assert parent["metrics.best_value"] == summary.best_value
    children = runs(mlflow_store, parent=False)
    assert len(children) == 18
    assert set(children["status"]) <= {"FINISHED", "FAILED"}
    finished = children[children["status"] == "FINISHED"]
    assert finished["metrics.value"].min() == summary.best_value
    assert finished["params.x"].notna().all()
    assert finished["tags.seed"].nunique() == len(finished)
    for run_id in finished["run_id"]:
        assert mlflow.pytorch.load_model(f"runs:/{run_id}/model").in_features == 1
    assert mlflow.pytorch.load_model(f"models:/{summary.model}").in_features == 1
    assert finished["tags.mlflow.runName"].str.contains("·").all()
    assert parent["tags.mlflow.source.name"].endswith("bowl_objective.py")
    assert parent["tags.mlflow.project.entryPoint"] == "Bowl"
    assert parent["tags.mlflow.user"]

    models = mlflow.search_logged_models([parent["experiment_id"]], output_format="list")
    best = finished.nsmallest(N_BEST, "metrics.value")
    assert {model.source_run_id for model in models} == set(best["run_id"])
    assert {model.status for model in models} == {LoggedModelStatus.READY}
    for model in models:
        (run,) = best[best["run_id"] == model.source_run_id].to_dict("records")
        linked = {metric.key: metric.value for metric in model.metrics}
        assert linked["value"] == run["metrics.value"]
        assert linked["depth"] == 1.0
        assert mlflow.pytorch.load_model(model.model_uri).in_features == 1
        assert len(mlflow.MlflowClient().get_metric_history(run["run_id"], "value")) == 1
    calls = mlflow.artifacts.load_text(f"runs:/{summary.run_id}/advisor/calls.jsonl")
    assert json.loads(calls)["messages"][1]["content"].startswith("A bowl whose bottom")


def test_a_guided_study_asks_once_and_shows_the_win_rate_of_each_source(
    prefect_server, mlflow_store, bowl, scripted
) -> None:
    summary = tune(bowl, evaluations=16, seed=1, workers=2)
    assert summary.method == "guided"
    assert summary.llm_calls == summary.by_source[Source.DEFAULT] == 1
    assert summary.by_source[Source.SURROGATE] > 0
    n_won = summary.improved_by_source.get(Source.SURROGATE, 0)
    assert f"surrogate {n_won} of {summary.by_source[Source.SURROGATE]}" in as_text(summary)
    assert "of its 1 trial improved the best" in as_text(summary)
    kept = mlflow.artifacts.load_dict(f"runs:/{summary.run_id}/summary.json")
    assert kept["improved_by_source"] == summary.improved_by_source


def test_a_limit_ends_a_study_and_the_record_says_which(
    prefect_server, mlflow_store, bowl
) -> None:
    summary = tune(bowl, method="pso", evaluations=600, stop_at=4.0, max_seconds=600.0)
    assert summary.stop_reason == "target"
    assert summary.best_value <= 4.0
    assert "stopped early: the target value was reached" in as_text(summary)
    (parent,) = runs(mlflow_store, parent=True).to_dict("records")
    assert parent["tags.stop_reason"] == "target"
    assert parent["tags.limits"] == "stop_at 4.0, max_seconds 600.0"


def test_failures_are_failed_runs_with_their_kind_and_no_nan(
    prefect_server, mlflow_store, bowl
) -> None:
    summary = tune(bowl, method="pso", evaluations=24, particles=12, seed=2, workers=2)
    children = runs(mlflow_store, parent=False)
    failed = children[children["status"] == "FAILED"]
    assert summary.failed == len(failed) > 0
    assert set(failed["tags.failure"]) <= {"exception", "nan"}
    assert failed["metrics.value"].isna().all()
    hole = failed[failed["tags.failure"] == "exception"]
    assert set(hole["tags.failure_message"]) <= {"RuntimeError: there is a hole"}
    client = mlflow.MlflowClient()
    for run_id in failed["run_id"]:
        assert all(math.isfinite(v) for v in client.get_run(run_id).data.metrics.values())


def test_the_same_question_is_asked_once_in_two_runs(
    prefect_server, mlflow_store, bowl, scripted
) -> None:
    first = tune(bowl, method="paper", evaluations=24, seed=7, workers=2, memory="off")
    asked = len(scripted.requests)
    second = tune(bowl, method="paper", evaluations=24, seed=7, workers=2, memory="off")
    assert len(scripted.requests) == asked == first.llm_calls
    assert (second.llm_calls, second.llm_cached) == (0, first.llm_calls)
    assert second.best_params == first.best_params
    assert "answered from the cache" in as_text(second)


def test_a_model_that_was_silent_is_asked_the_same_again(
    prefect_server, mlflow_store, bowl, scripted, monkeypatch
) -> None:
    """Prefect has no reply in its cache; a later study is not the worse for it."""
    options = {"evaluations": 4, "workers": 1, "memory": "off"}
    monkeypatch.setattr(scripted, "close", lambda: None)
    monkeypatch.setattr(scripted, "_answer", lambda request: BackendError("the server is down"))
    assert tune(bowl, **options).llm_problems == 1
    monkeypatch.setattr(scripted, "_answer", answer)
    again = tune(bowl, **options)
    assert (again.llm_calls, again.llm_cached) == (1, 0)


def test_the_same_seed_gives_the_same_trials(prefect_server, mlflow_store, bowl) -> None:
    """Also with other workers, as long as as many particles move together."""
    shared = {"advisor": "none", "evaluations": 12, "seed": 1, "memory": "off"}
    tune(bowl, workers=2, synchronous=True, **shared)
    tune(bowl, workers=1, batch=2, **shared)
    children = runs(mlflow_store, parent=False)
    columns = ["tags.mlflow.runName", "params.x", "params.n", "metrics.value"]
    for _, trial in children.groupby("tags.mlflow.runName"):
        assert len(trial) == 2
        assert len(trial[columns].drop_duplicates()) == 1


def test_iterations_are_parents_of_their_particles(mlflow_store, bowl, until_recorded) -> None:
    tune(bowl, method="pso", evaluations=12, seed=3, workers=2)
    until_recorded()
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name={"any_": [f"{bowl} · pso · seed 3"]})
        )
        task_runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run.id]}))
    iterations = {
        t.id: t for t in task_runs if t.name.startswith("iteration ") and "·" not in t.name
    }
    particles = [t for t in task_runs if "particle" in t.name]
    assert {t.name for t in iterations.values()} == {"iteration 0", "iteration 1"}
    assert len(particles) == 12
    for particle in particles:
        (parent,) = particle.task_inputs["__parents__"]
        assert particle.name.startswith(iterations[parent.id].name)


def test_only_the_flow_run_has_the_tag_of_its_process(mlflow_store, bowl, until_recorded) -> None:
    with announced(), tags("team-a"):
        tune(bowl, method="pso", evaluations=6, seed=4)
    until_recorded()
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name={"any_": [f"{bowl} · pso · seed 4"]})
        )
        task_runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run.id]}))
    assert {tag.partition(":")[0] for tag in run.tags} == {"process", "team-a"}
    assert task_runs and all(task_run.tags == ["team-a"] for task_run in task_runs)


def test_a_run_that_breaks_closes_its_record(
    prefect_server, mlflow_store, bowl, monkeypatch
) -> None:
    def broken(*args, **kwargs):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("flows.tracked_trainings.iterate", broken)
    with pytest.raises(RuntimeError, match="the disk is full"):
        tune(bowl, method="pso", evaluations=6)
    assert list(runs(mlflow_store, parent=True)["status"]) == ["FAILED"]


def options(**change) -> TuneOptions:
    defaults = {name: p.default for name, p in signature(tune.fn).parameters.items()}
    return TuneOptions(**(defaults | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "gpt"}, "objective is 'gpt'; it must be 'lstm', 'cnn', 'rastrigin'"),
        ({"objective": "no_such:thing"}, "objective 'no_such:thing' cannot be imported"),
        ({"objective": "./nets/own.py:fit"}, "names a file; name the module: nets.own:fit"),
        (
            {"objective": "math:pi"},
            "objective 'math:pi' is a float without evaluate, .*; it must be a function",
        ),
        ({"objective": "math:sin"}, "'math:sin' is a plain function; name the YAML or Python"),
        ({"last": 0}, "last is 0; it must be at least 1"),
        ({"objective": "lstm", "space_file": "a.yaml"}, "'lstm' has its own space"),
        ({"patience": 0}, "patience is 0; it must be at least 1"),
        ({"start": ["layers=2"]}, "start is 'layers=2'; it must be a JSON object"),
        ({"start": ['{"z": 1}']}, r"start\[0\]: unknown hyperparameter 'z'"),
        ({"csv": "a.csv"}, "target is missing; name the column of 'a.csv'"),
        ({"target": "AQI"}, "target and where are columns of a file; name it with csv"),
        ({"csv": "a.csv", "target": "AQI", "where": ["City"]}, "where is 'City'; it must read"),
        ({"particles": 1}, "particles is 1; it must be at least 2"),
        ({"workers": 0}, "workers is 0; it must be at least 1"),
    ],
)
def test_a_mistake_is_refused_before_anything_runs(mlflow_store, bowl, change, message) -> None:
    with pytest.raises(LLMPSOError, match=message):
        prepare(options(**({"objective": bowl, "advisor": "none"} | change)))


def test_more_advice_than_particles_is_refused(mlflow_store, bowl, scripted) -> None:
    with pytest.raises(SpecError, match="^replaced is 6 of 6 particles; it must be less"):
        prepare(options(objective=bowl, method="paper", replaced=6))


def test_a_store_that_cannot_be_written_is_refused(monkeypatch, tmp_path: Path, bowl) -> None:
    (tmp_path / "file").write_text("")
    uri = f"sqlite:///{tmp_path}/file/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: uri)
    with pytest.raises(SpecError, match="MLFLOW_TRACKING_URI is .*/file cannot be written"):
        prepare(options(objective=bowl, method="pso"))


def test_busy_time_counts_overlaps_once() -> None:
    def trial(start: float, seconds: float) -> Trial:
        return Trial(0, {}, Source.SWARM, 0, 0, 0, started_at=start, seconds=seconds)

    assert busy_seconds([trial(10, 2), trial(11, 3), trial(20, 1)]) == pytest.approx(5)


def test_what_was_done_to_the_data_is_said_everywhere(
    prefect_server, mlflow_store, tmp_path
) -> None:
    times = pd.date_range("2024-03-15", periods=180, freq="h")
    load = [str(20 + hour % 7) for hour in range(180)]
    load[9] = "x"
    frame = pd.DataFrame({"time": times.strftime("%d/%m/%Y %H:%M"), "load": load, "site": "north"})
    frame.to_csv(tmp_path / "some.csv", index=False, sep=";")
    summary = tune(
        csv=str(tmp_path / "some.csv"),
        target="load",
        horizon=1,
        space="paper",
        method="pso",
        evaluations=1,
        workers=1,
        threads=1,
    )
    said = (
        "columns are separated by semicolons",
        "time is read from 'time', dates as %d/%m/%Y",
        "column 'load': 1 of 180 cells is no number ('x') and counts as missing",
        "column 'site' is left out: it never changes",
    )
    assert summary.notes == said
    run = mlflow.get_run(summary.run_id)
    assert run.data.tags["notes"].splitlines() == list(said)
    assert all(note in as_text(summary) for note in said)


def test_the_curve_ends_with_the_best_value_however_slowly_a_trial_is_shown(
    prefect_server, mlflow_store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = StudyProgress.__call__

    def slowly(progress: StudyProgress, trial: Trial) -> None:
        time.sleep(0.3)
        shown(progress, trial)

    monkeypatch.setattr(StudyProgress, "__call__", slowly)
    summary = tune("rastrigin", evaluations=6, method="pso", workers=2, seed=1, advisor="none")
    assert summary.best_number == 5, "the last of the only batch"
    points = mlflow.MlflowClient().get_metric_history(summary.run_id, "best_value")
    assert [(point.step, point.value) for point in points] == [(5, summary.best_value)]
