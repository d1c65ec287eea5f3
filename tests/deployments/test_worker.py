"""From a clone, by the commands that the README names: server, deployments, worker, a run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

PROJECT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))
RUN = (PREFECT, "deployment", "run", "retune/lstm-air-quality", "--watch")
SMALL = ("evaluations=2", "particles=2", "refits=2", "max_seconds=300")


@pytest.fixture(scope="module")
def environment(services) -> dict[str, str]:
    """A Prefect server and a worker, and a store of their own."""
    api, well = services.free_port(), services.free_port()
    shared = {
        "PREFECT_API_URL": f"http://127.0.0.1:{api}/api",
        "PREFECT_SERVER_API_PORT": str(api),
        "PREFECT_WORKER_WEBSERVER_PORT": str(well),
        "MLFLOW_TRACKING_URI": f"sqlite:///{services.folder}/mlflow.db",
        "PREFECT_HOME": str(services.folder / "prefect"),
    }
    services.start(["bash", "deployments/start.sh"], shared)
    services.wait_for(f"{shared['PREFECT_API_URL']}/health")
    services.start(["bash", "deployments/work.sh"], shared)
    services.wait_for(f"http://127.0.0.1:{well}/health")
    return shared


@pytest.mark.slow
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
    with (
        temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        names = {run.state_name for run in client.read_flow_runs()}
    assert names - {"Scheduled"} == {"Cancelled", "Completed"}
