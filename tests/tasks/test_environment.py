"""The settings of Prefect and MLflow hold, whichever was imported first."""

import json
import os
import subprocess
import sys

import pytest

from tasks import ENVIRONMENT

ASK = """
import json, {first}, {then}
from mlflow.telemetry.client import get_telemetry_client
from prefect.settings import get_current_settings

server = get_current_settings().server
startup = server.ephemeral.startup_timeout_seconds
print(json.dumps([server.analytics_enabled, startup, get_telemetry_client() is None]))
"""


def reported(first: str, then: str, **own: str) -> list:
    """Analytics, seconds for a server's start, and whether MLflow sends no telemetry."""
    # A continuous integration is recognised by MLflow, and silences it.
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
    assert reported(*order) == [False, 120, True]


def test_what_the_user_says_holds() -> None:
    own = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "7"}
    assert reported("prefect, mlflow", "flows", **own) == [False, 7, True]
