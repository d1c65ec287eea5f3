"""Unavailable servers, a locked database, a full disk: no measurement is lost.

`LLMPSO_FAULT_SECONDS=60` makes the faults last as long as a restart may.
"""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import mlflow
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.tune import tune
from llmpso.errors import StorageError
from llmpso.objectives import registry

pytestmark = pytest.mark.usefixtures("blank_pictures")

FAULT_SECONDS = float(os.environ.get("LLMPSO_FAULT_SECONDS", "5"))
EVALUATIONS = 24

OBJECTIVE = """
import os, time
import torch
from llmpso import Evaluation, Float, SearchSpace

class Steady:
    name = "steady"
    metric = "height"
    description = "A bowl."
    space = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})

    def evaluate(self, params, *, fidelity, seed):
        time.sleep(0.2)
        with open("LOG", "a") as file:
            file.write(f"{seed}\\n")
        return Evaluation(params["x"] ** 2 + params["y"] ** 2, model=torch.nn.Linear(64, 64))
"""

OBJECTIVE_PATH = "steady_objective:Steady"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the objective notes its evaluations."""
    log = tmp_path / "evaluations.txt"
    log.touch()
    (tmp_path / "steady_objective.py").write_text(OBJECTIVE.replace("LOG", str(log)))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("steady_objective", None)
    registry._built.cache_clear()
    return log


def after(log: Path, n_evaluations: int, act: Callable[[], None]) -> threading.Thread:
    """Do something as soon as so many evaluations are measured."""

    def wait_and_act() -> None:
        while len(log.read_text().split()) < n_evaluations:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait_and_act, daemon=True)
    thread.start()
    return thread


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server of our own that can be killed and started again."""

    def __init__(self, command: list[str], health: str, environment: dict[str, str]) -> None:
        self._command = command
        self._health = health
        self._environment = os.environ | environment
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while not self.answers():
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            return httpx.get(self._health, timeout=2, verify=False).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def offline(self) -> None:
        """Be killed, and start again later."""
        self.kill()
        time.sleep(FAULT_SECONDS)
        self.start()

    def hang(self) -> None:
        """Take connections, and say nothing for a while."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        time.sleep(FAULT_SECONDS)
        os.killpg(self.process.pid, signal.SIGCONT)


@contextmanager
def tracked_at(url: str) -> Iterator[None]:
    """Let MLflow's records of the block go to a server."""
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", url)
        mlflow.set_tracking_uri(url)
        yield
    mlflow.set_tracking_uri(before)


@pytest.fixture
def mlflow_server(tmp_path: Path, empty_database: Path) -> Iterator[Server]:
    port = free_port()
    (tmp_path / "server.db").write_bytes(empty_database.read_bytes())
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    store = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"]
    artifacts = ["--artifacts-destination", str(tmp_path / "artifacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = Server([*command, "--port", str(port), *store, *artifacts], f"{url}/health", quiet)
    with tracked_at(url):
        yield server
    server.kill()


def run(**options):
    given = {"method": "pso", "evaluations": EVALUATIONS, "workers": 2, "seed": 5}
    return tune(OBJECTIVE_PATH, **(given | options))


def check_all_recorded(run_id: str, log: Path, n_evaluations: int = EVALUATIONS) -> None:
    """Every evaluation was made once, is one finished child, and its model can be loaded."""
    assert len(log.read_text().split()) == n_evaluations
    found = mlflow.search_runs(search_all_experiments=True)
    children = found[found["tags.mlflow.parentRunId"] == run_id]
    assert set(children["status"]) <= {"FINISHED", "KILLED"}
    finished = children[children["status"] == "FINISHED"]
    assert len(finished) == finished["tags.seed"].nunique() == n_evaluations
    last = finished.sort_values("tags.mlflow.runName").iloc[-1]["run_id"]
    assert mlflow.pytorch.load_model(f"runs:/{last}/model").in_features == 64


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["offline", "hang"])
def test_an_mlflow_server_that_does_not_answer(prefect_server, mlflow_server, log, fault) -> None:
    thread = after(log, 8, getattr(mlflow_server, fault))
    summary = run()
    thread.join()
    assert summary.evaluations == EVALUATIONS
    assert mlflow.MlflowClient().get_run(summary.run_id).info.status == "FINISHED"
    assert summary.model == "steady/1"
    check_all_recorded(summary.run_id, log)


@pytest.mark.slow
def test_a_database_that_is_locked(prefect_server, mlflow_store, log, tmp_path) -> None:
    def lock() -> None:
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(FAULT_SECONDS)

    thread = after(log, 8, lock)
    summary = run()
    thread.join()
    check_all_recorded(summary.run_id, log)


@pytest.mark.slow
def test_a_prefect_server_that_becomes_unavailable(mlflow_store, log, prefect_home) -> None:
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    home = {"PREFECT_HOME": str(prefect_home), "PREFECT_API_URL": api}
    server = Server([*command, "--port", str(port)], f"{api}/health", home)
    with temporary_settings({PREFECT_API_URL: api}):
        thread = after(log, 8, server.offline)
        summary = run()
        thread.join()
        with get_client(sync_client=True) as prefect:
            (flow_run,) = prefect.read_flow_runs()
    server.kill()
    assert flow_run.state_name == "Completed"
    check_all_recorded(summary.run_id, log)


@pytest.mark.slow
def test_a_postgresql_that_crashes_under_both_servers(
    services, postgres, log, monkeypatch
) -> None:
    login = f"llmpso:{postgres.password}@127.0.0.1:{postgres.port}"
    prefect, mlflow_port = services.free_port(), services.free_port()
    api, store = f"http://127.0.0.1:{prefect}/api", f"http://127.0.0.1:{mlflow_port}"
    for name in ("prefect", "mlflow"):
        postgres.run("--command", f"CREATE DATABASE {name}")
    own = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{login}/prefect"}
    services.start(
        ["bash", "deployments/start.sh"],
        own | {"PREFECT_SERVER_API_PORT": str(prefect)},
        may_log_errors=True,
    )
    own = {"MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://{login}/mlflow"}
    own["MLFLOW_ARTIFACTS_DESTINATION"] = str(services.folder / "artifacts")
    own["MLFLOW_PORT"] = str(mlflow_port)
    services.start(["bash", "mlflow/start.sh"], own, may_log_errors=True)
    services.wait_for(f"{api}/health")
    services.wait_for(f"{store}/health")

    def crash() -> None:
        postgres.kill()
        time.sleep(FAULT_SECONDS)
        postgres.start()

    with tracked_at(store), temporary_settings({PREFECT_API_URL: api}):
        thread = after(log, 8, crash)
        summary = run()
        thread.join()
        with get_client(sync_client=True) as client:
            (flow_run,) = client.read_flow_runs()
        assert flow_run.state_name == "Completed"
        check_all_recorded(summary.run_id, log)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs more rights")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("mlflow_too", [False, True])
def test_a_full_disk(
    prefect_server, mlflow_store, log, small_disk, empty_database, monkeypatch, mlflow_too
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(small_disk))
    if mlflow_too:
        monkeypatch.chdir(small_disk)
        (small_disk / "mlflow.db").write_bytes(empty_database.read_bytes())
        mlflow.set_tracking_uri(f"sqlite:///{small_disk}/mlflow.db")
    filler = small_disk / "filler"

    is_over = threading.Event()

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            while not is_over.is_set():
                try:
                    file.write(bytes(1024))
                except OSError:
                    time.sleep(0.005)

    thread = after(log, 8, fill)
    with pytest.raises(
        StorageError, match="No space left on device; free some space, and run the same"
    ):
        run()
    is_over.set()
    thread.join()
    filler.unlink()
    measured = len(log.read_text().split())
    summary = run()
    assert summary.evaluations == EVALUATIONS
    # Of the batch that ran when the disk became full, not all could be kept.
    redone = measured - summary.reused
    assert redone <= 6
    check_all_recorded_but(redone, summary.run_id, log)


def check_all_recorded_but(redone: int, run_id: str, log: Path) -> None:
    seeds = log.read_text().split()
    assert len(seeds) == EVALUATIONS + redone
    log.write_text("\n".join(dict.fromkeys(seeds)))
    check_all_recorded(run_id, log)


@pytest.mark.slow
def test_two_studies_with_eight_workers_into_one_database(
    prefect_server, mlflow_store, forked_runs, log, tmp_path
) -> None:
    errors = tmp_path / "errors.txt"
    options = {"method": "pso", "evaluations": 40, "particles": 8, "workers": 8}
    code = f"from flows.tune import tune; tune({OBJECTIVE_PATH!r}, seed=%d, **{options!r})"
    both = [forked_runs.begin(code % seed, errors) for seed in (1, 2)]
    assert [forked_runs.ended(pid) for pid in both] == [0, 0], errors.read_text()
    assert not any(word in errors.read_text() for word in ("locked", "Traceback"))
    found: pd.DataFrame = mlflow.search_runs(search_all_experiments=True)
    children = found[found["tags.mlflow.parentRunId"].notna()]
    assert children.groupby("tags.mlflow.parentRunId").size().tolist() == [40, 40]
    assert set(found["status"]) == {"FINISHED"}
