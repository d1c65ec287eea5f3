"""What people find of a study: in Prefect while it runs and afterwards, and in MLflow."""

import json
from pathlib import Path

import httpx
import mlflow
import pytest
from mlflow.entities import Trace, TraceState
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
)

from flows import tune_plan
from flows.display import prefect_page
from flows.display.prefect_page import leaderboard
from flows.tune import tune
from llmpso.backends.base import Reply, Request
from llmpso.trial import Source, Trial, TrialState
from scripted_backend import ScriptedBackend
from tasks.records import pages
from tasks.store.tracker import Tracker

CHARTS = {"convergence", "importance", "parallel", "slices", "sources", "trajectory"}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedBackend:
    def answer(request: Request) -> Reply:
        return Reply(json.dumps({"configuration": {"x": 1.5, "n": 2}}), 50, 10, seconds=0.2)

    backend = ScriptedBackend(answer)
    monkeypatch.setattr(tune_plan, "_backend", lambda options: (backend, "scripted, for a test"))
    return backend


def artifacts(name: str) -> dict[str, list]:
    """The artifacts of the latest flow run of a name, by key, all versions."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(name={"any_": [name]}))
        latest = max(runs, key=lambda run: run.created)
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[latest.id]))
        )
    keys: dict[str, list] = {}
    for artifact in sorted(found, key=lambda artifact: artifact.created):
        keys.setdefault(artifact.key, []).append(artifact)
    return keys


def listed(run_id: str, folder: str) -> set[str]:
    return {
        Path(entry.path).name for entry in mlflow.MlflowClient().list_artifacts(run_id, folder)
    }


def traced(run_id: str) -> list[Trace]:
    experiment = mlflow.get_run(run_id).info.experiment_id
    return mlflow.search_traces(locations=[experiment], run_id=run_id, return_type="list")


def test_a_study_leaves_figures_a_description_and_traces_in_mlflow(
    prefect_server, mlflow_store, bowl, scripted
) -> None:
    summary = tune(bowl, evaluations=16, seed=1, workers=2)
    expected = {f"{name}.png" for name in CHARTS} | {"study.html"}
    assert listed(summary.run_id, "figures") == expected

    run = mlflow.get_run(summary.run_id)
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("A bowl whose bottom lies at x = 1")
    assert f'mlflow.pyfunc.load_model("models:/{summary.model}")' in note
    assert f"| x | `{summary.best_params['x']:.4g}` |" in note
    assert run.data.tags["source"] == summary.best_source
    assert run.data.tags["method"] == "guided"
    assert run.data.tags["model"] == "bowl"

    page = mlflow.MlflowClient().get_registered_model("bowl").description
    assert page.startswith("A bowl whose bottom lies at x = 1")
    assert 'load_model("models:/bowl/1")' in page

    (trace,) = traced(summary.run_id)
    (span,) = trace.data.spans
    assert trace.info.state == TraceState.OK
    assert span.inputs["messages"][1]["content"].startswith("A bowl whose bottom")
    assert json.loads(span.outputs["reply"]) == {"configuration": {"x": 1.5, "n": 2}}
    assert trace.info.token_usage["total_tokens"] == 60
    assert trace.info.execution_duration == 200


def test_a_model_that_does_not_answer_is_a_failed_trace(
    prefect_server, mlflow_store, bowl, monkeypatch
) -> None:
    backend = ScriptedBackend(lambda request: Reply("no idea", 50, 10, seconds=0.1))
    monkeypatch.setattr(tune_plan, "_backend", lambda options: (backend, "scripted, for a test"))
    summary = tune(bowl, evaluations=6, seed=1, workers=2)
    traces = traced(summary.run_id)
    assert len(traces) == summary.llm_calls == 2
    for trace in traces:
        assert trace.data.spans[0].attributes["problems"]


def test_prefect_shows_progress_leaders_and_a_report_with_pictures(
    prefect_server, mlflow_store, bowl, monkeypatch
) -> None:
    monkeypatch.setattr(prefect_page, "PAUSE_SECONDS", 0.0)
    summary = tune(bowl, advisor="none", evaluations=12, seed=5, workers=2)
    found = artifacts(f"{bowl} · guided · seed 5")
    (progress,) = found["progress"]
    assert progress.data == 100.0
    assert progress.description.startswith(
        f"12 of 12 evaluations, best height (m) {summary.best_value:.4g}"
    )
    (leaders,) = found["leaderboard"]
    rows = json.loads(leaders.data)
    assert len(rows) == min(10, summary.evaluations - summary.failed)
    assert rows[0]["rank"] == 1
    assert rows[0]["trial"] == summary.best_number
    assert float(rows[0]["height (m)"]) <= float(rows[1]["height (m)"])
    (report,) = found["report"]
    assert "![convergence](data:image/png;base64," in report.data
    assert f"run `{summary.run_id}`" in report.data


def test_the_page_is_left_unchanged_for_a_moment(prefect_server, mlflow_store, bowl) -> None:
    tune(bowl, method="pso", evaluations=24, seed=6, workers=2)
    assert len(artifacts(f"{bowl} · pso · seed 6")["leaderboard"]) < 4


def test_a_page_that_cannot_be_updated_does_not_stop_the_study(
    prefect_server, mlflow_store, bowl, monkeypatch
) -> None:
    def unavailable(*args, **kwargs):
        raise httpx.ConnectError("no server")

    monkeypatch.setattr(prefect_page, "create_table_artifact", unavailable)
    summary = tune(bowl, method="pso", evaluations=6, seed=7, workers=2)
    assert summary.evaluations == 6


def test_figures_that_cannot_be_drawn_do_not_lose_the_study(
    prefect_server, mlflow_store, bowl, monkeypatch
) -> None:
    def broken(*args, **kwargs):
        raise ValueError("no ink")

    monkeypatch.setattr(pages, "study_charts", broken)
    summary = tune(bowl, method="pso", evaluations=6, seed=8, workers=2)
    run = mlflow.get_run(summary.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["best_value"] == summary.best_value
    assert "no ink" in run.data.tags["pages"]
    assert listed(summary.run_id, "figures") == set()


def test_failed_trials_are_no_leaders() -> None:
    def trial(number: int, value: float | None) -> Trial:
        state = TrialState.FAILED if value is None else TrialState.COMPLETE
        return Trial(number, {"x": 0.5}, Source.SWARM, 0, 0, 0, state=state, value=value)

    rows = leaderboard([trial(0, 3.0), trial(1, None), trial(2, 1.0)], "error")
    assert [(row["rank"], row["trial"], row["error"]) for row in rows] == [
        (1, 2, "1"),
        (2, 0, "3"),
    ]


def test_a_run_has_an_address_where_the_store_is_a_server() -> None:
    assert Tracker("http://host:5000/", "3", "abc").url == (
        "http://host:5000/#/experiments/3/runs/abc?workflowType=machine_learning"
    )
    assert Tracker("sqlite:///mlflow.db", "3", "abc").url == ""
