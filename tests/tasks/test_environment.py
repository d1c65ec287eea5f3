"""The settings of Prefect and MLflow hold, whichever was imported first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import ENVIRONMENT

PROJECT = Path(__file__).parents[2]

ASK = """
import json, {first}, {then}
from mlflow.telemetry.client import get_telemetry_client
from prefect.analytics import is_telemetry_enabled
from prefect.settings import get_current_settings

server = get_current_settings().server
startup = server.ephemeral.startup_timeout_seconds
sends = server.analytics_enabled or is_telemetry_enabled() or get_telemetry_client() is not None
print(json.dumps([sends, startup]))
"""


def reported(first: str, then: str, **own: str) -> list:
    """Whether usage data is sent, and the seconds for a server's start."""
    # A continuous integration is recognised by both, and silences them.
    foreign = {*ENVIRONMENT, "CI", "PYTEST_CURRENT_TEST"}
    bare = {name: text for name, text in os.environ.items() if name not in foreign}
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(first=first, then=then)],
        env=bare | own | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("order", [("prefect, mlflow", "tasks"), ("tasks", "prefect, mlflow")])
def test_nothing_leaves_the_machine_in_whatever_order_they_are_imported(order) -> None:
    assert reported(*order) == [False, 120]


def test_what_the_user_says_holds() -> None:
    own = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "7"}
    assert reported("prefect, mlflow", "flows", **own) == [False, 7]


@pytest.mark.parametrize(
    ("script", "program"),
    [
        ("deployments/start.sh", "prefect"),
        ("deployments/work.sh", "prefect"),
        ("mlflow/start.sh", "mlflow"),
    ],
)
def test_the_scripts_send_no_usage_data(script: str, program: str, tmp_path: Path) -> None:
    (tmp_path / program).write_text('#!/bin/sh\nenv >> "$SEEN"\n')
    (tmp_path / program).chmod(0o755)
    seen = tmp_path / "seen"
    own_python = str(Path(sys.executable).parent)
    path = os.pathsep.join([str(tmp_path), own_python, os.environ["PATH"]])
    bare = {name: text for name, text in os.environ.items() if name not in ENVIRONMENT}
    own = {"PATH": path, "SEEN": str(seen), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    ports = {"PREFECT_SERVER_API_PORT": "9", "MLFLOW_PORT": "9"}
    subprocess.run(
        ["bash", PROJECT / script],
        cwd=tmp_path,
        env=bare | own | ports,
        check=True,
        capture_output=True,
    )
    lines = seen.read_text().splitlines()
    silent = "DO_NOT_TRACK=1" if program == "prefect" else "MLFLOW_DISABLE_TELEMETRY=true"
    assert lines.count(silent) == sum(line.startswith("SEEN=") for line in lines) > 0
