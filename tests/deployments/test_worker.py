"""From a clone, by the commands that the README names: server, deployments, worker, a run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
import yaml
from prefect.settings.models.flows import FlowsSettings

PROJECT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))
RUN = (PREFECT, "deployment", "run", "retune/lstm-air-quality", "--watch")
SMALL = ("evaluations=2", "particles=2", "refits=2", "max_seconds=300")
AUTOMATIONS = PROJECT / "deployments" / "automations.yaml"
N_EVALUATIONS = 60
TUNE = (PREFECT, "deployment", "run", "tune/lstm-air-quality")
STUDY = ("objective=rastrigin", "method=pso", f"evaluations={N_EVALUATIONS}", "patience=1000")


@pytest.fixture(scope="module")
def environment(services, postgres) -> dict[str, str]:
    """A Prefect server on PostgreSQL, since on SQLite it may lose events, and stores."""
    api, well = services.free_port(), services.free_port()
    postgres.run("--command", "CREATE DATABASE prefect")
    login = f"llmpso:{postgres.password}@127.0.0.1:{postgres.port}"
    shared = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{login}/prefect",
        "PREFECT_API_URL": f"http://127.0.0.1:{api}/api",
        "PREFECT_SERVER_API_PORT": str(api),
        "PREFECT_WORKER_WEBSERVER_PORT": str(well),
        "MLFLOW_TRACKING_URI": f"sqlite:///{services.folder}/mlflow.db",
        "PREFECT_HOME": str(services.folder / "prefect"),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }
    services.start(["bash", "deployments/start.sh"], shared)
    services.wait_for(f"{shared['PREFECT_API_URL']}/health")
    look_sooner(services.folder / "automations.yaml", shared)
    return shared


def look_sooner(file: Path, environment: dict[str, str]) -> None:
    """Ship the automation, with less patience: our runs give a sign of life more often."""
    shipped = AUTOMATIONS.read_text()
    hasty = shipped.replace("within: 600", "within: 100")
    assert hasty != shipped
    file.write_text(hasty)
    command = [PREFECT, "automation", "create", "--from-file", str(file)]
    subprocess.run(command, env=os.environ | environment, check=True)


def test_no_run_that_lives_is_taken_for_a_crashed_one() -> None:
    crashed, _ = yaml.safe_load(AUTOMATIONS.read_text())["automations"]
    assert crashed["trigger"]["within"] > 3 * FlowsSettings().heartbeat_frequency


class Worker:
    """A worker that runs what is deployed; to start one imports the flows, which takes long."""

    def __init__(self, services, environment: dict[str, str]) -> None:
        self._services, self._environment = services, environment
        self.start()

    def start(self) -> None:
        # Its runs are killed, and log that.
        self._process = self._services.start(
            ["bash", "deployments/work.sh"], self._environment, may_log_errors=True
        )
        port = self._environment["PREFECT_WORKER_WEBSERVER_PORT"]
        self._services.wait_for(f"http://127.0.0.1:{port}/health")

    def kill(self) -> None:
        self._services.stop(self._process, signal.SIGKILL)


@pytest.fixture(scope="module")
def worker(services, environment: dict[str, str]) -> Worker:
    """One for all tests; it ends with the services."""
    return Worker(services, environment)


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_of_two_runs_at_once_one_completes_and_one_is_cancelled(
    environment: dict[str, str],
) -> None:
    command = [*RUN, *(part for setting in SMALL for part in ("--param", setting))]
    shared = {"cwd": PROJECT, "env": os.environ | environment, "text": True}
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, **shared) for _ in range(2)]
    texts = [run.communicate(timeout=400)[0] for run in runs]
    ended = [
        (run.returncode, "'Completed'" in text) for run, text in zip(runs, texts, strict=True)
    ]
    assert sorted(ended) == [(0, True), (1, False)], texts
    assert states(environment) - {"Scheduled"} == {"Cancelled", "Completed"}


@pytest.mark.slow
@pytest.mark.parametrize("dies_with_it", [False, True], ids=["run", "run and worker"])
def test_a_run_that_was_killed_is_marked_and_started_again(
    worker: Worker, environment: dict[str, str], dies_with_it: bool
) -> None:
    seed = int(dies_with_it)
    settings = (*STUDY, f"seed={seed}")
    command = [*TUNE, *(part for setting in settings for part in ("--param", setting))]
    n_kept = partial(n_measured, environment["MLFLOW_TRACKING_URI"], seed)
    subprocess.run(command, cwd=PROJECT, env=os.environ | environment, check=True)
    until(lambda: n_kept() >= 10)
    if dies_with_it:
        worker.kill()
    for pid in run_processes(environment["PREFECT_API_URL"]):
        os.kill(pid, signal.SIGKILL)
    kept = n_kept()
    if dies_with_it:
        until(lambda: "AwaitingRetry" in states(environment), every=1.0)
        worker.start()
    until(lambda: n_starts(environment, seed) == [2], every=1.0)
    assert kept < N_EVALUATIONS == n_kept()
    assert "Running" not in states(environment)


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_the_clock_starts_runs(environment: dict[str, str]) -> None:
    api = environment["PREFECT_API_URL"]
    active = {
        deployment["id"]: deployment["name"]
        for deployment in httpx.post(f"{api}/deployments/filter", json={}, verify=False).json()
        if any(schedule["active"] for schedule in deployment["schedules"])
    }
    assert active

    def waiting() -> set[str]:
        runs = flow_runs(environment)
        return {run["deployment_id"] for run in runs if run["state_name"] == "Scheduled"}

    until(lambda: waiting() >= set(active), every=1.0)
    # The scheduler looks once a minute, and plans nothing that is past.
    soon = datetime.now(UTC) + timedelta(seconds=90)
    hourly = {"interval": 3600, "anchor_date": soon.isoformat(), "timezone": "UTC"}
    small = dict(setting.split("=") for setting in STUDY) | {"evaluations": 2, "seed": 8}
    tune = httpx.get(f"{api}/deployments/name/{TUNE[-1]}", verify=False).json()
    httpx.post(
        f"{api}/deployments/{tune['id']}/schedules",
        json=[{"schedule": hourly, "active": True, "parameters": small}],
        verify=False,
    ).raise_for_status()
    until(lambda: n_starts(environment, 8) == [1], every=1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_a_promotion_starts_the_deployment_that_waits_for_it(environment: dict[str, str]) -> None:
    api = environment["PREFECT_API_URL"]
    (waiting,) = [
        automation
        for automation in httpx.post(f"{api}/automations/filter", json={}, verify=False).json()
        if set(automation["trigger"].get("expect", ()))
        == {"llmpso.model.promoted", "llmpso.model.restored"}
    ]
    assert not waiting["enabled"]
    httpx.patch(f"{api}/automations/{waiting['id']}", json={"enabled": True}, verify=False)
    resource = {"prefect.resource.id": "llmpso.model.lstm-air-quality", "llmpso.version": "7"}
    code = (
        f"from prefect.events import emit_event; emit_event('llmpso.model.promoted', {resource})"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | environment, check=True)
    asked = {"model": "lstm-air-quality", "rows": "newest.csv"}
    until(lambda: asked in [run["parameters"] for run in flow_runs(environment)], every=1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_a_secret_of_a_block_reaches_the_run_and_no_record(
    services, environment: dict[str, str]
) -> None:
    api, store = environment["PREFECT_API_URL"], services.folder / "secret-5e1f.db"
    block = f"Secret(value='sqlite:///{store}').save('mlflow-tracking-uri')"
    code = f"from prefect.blocks.system import Secret; {block}"
    subprocess.run([sys.executable, "-c", code], env=os.environ | environment, check=True)
    pool = httpx.get(f"{api}/work_pools/llmpso", verify=False).json()
    template = pool["base_job_template"]
    template["variables"]["properties"]["env"]["default"] = {
        "MLFLOW_TRACKING_URI": "{{ prefect.blocks.secret.mlflow-tracking-uri }}"
    }
    change = {"base_job_template": template}
    httpx.patch(f"{api}/work_pools/llmpso", json=change, verify=False).raise_for_status()
    small = (*STUDY, "evaluations=2", "seed=7")
    command = [*TUNE, "--watch", *(part for one in small for part in ("--param", one))]
    subprocess.run(command, cwd=PROJECT, env=os.environ | environment, check=True)
    assert n_measured(f"sqlite:///{store}", 7) == 2
    for kind in ("work_pools", "deployments", "flow_runs"):
        assert store.name not in httpx.post(f"{api}/{kind}/filter", json={}, verify=False).text


def run_processes(api: str) -> list[int]:
    """The processes that a server's flow runs are in."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            variables = environ.read_bytes().split(b"\0")
            if f"PREFECT_API_URL={api}".encode() in variables and any(
                variable.startswith(b"PREFECT__FLOW_RUN_ID=") for variable in variables
            ):
                found.append(int(environ.parent.name))
    return found


def n_measured(store: str, seed: int) -> int:
    """Evaluations of a study that are in MLflow; an interrupted one continues in the same run."""
    client = mlflow.MlflowClient(store)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    is_study = f"params.seed = '{seed}' and params.method = 'pso'"
    studies = client.search_runs(experiments, is_study)
    if not studies:
        return 0
    (study,) = studies
    of_it = f"tags.`mlflow.parentRunId` = '{study.info.run_id}'"
    return len(client.search_runs(experiments, f"{of_it} and attributes.status = 'FINISHED'"))


def flow_runs(environment: dict[str, str]) -> list[dict[str, Any]]:
    """All of the server; to start Prefect's client costs more than the request."""
    url = f"{environment['PREFECT_API_URL']}/flow_runs/filter"
    return httpx.post(url, json={}, verify=False).json()


def states(environment: dict[str, str]) -> set[str | None]:
    """The states of all flow runs."""
    return {run["state_name"] for run in flow_runs(environment)}


def n_starts(environment: dict[str, str], seed: int) -> list[int]:
    """How often each completed run of a study was started."""
    return [
        run["run_count"]
        for run in flow_runs(environment)
        if run["state_name"] == "Completed" and run["parameters"].get("method") == "pso"
        if run["parameters"]["seed"] == seed
    ]


def until(is_so: Callable[[], bool], every: float = 0.5, seconds: float = 400.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(every)
