"""Shared by all rooms: where real data is, and a study's own stores."""

import gc
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from made_once import made_once

# Nothing of a test run leaves the machine: set before a test's module imports what reads it.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Processes of tests share the cores: threads that wait for each other take a quarter more of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["damaged_files", "forked_runs", "real_servers"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: to look for garbage in it takes long."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish() -> None:
    """What is left ends with the process."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def quiet_services(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing of a test run stays in the user's folders, and servers start no more than ours."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    # As `mlflow/start.sh` has it: nine processes less for each server.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    # One process that imports MLflow for each server, in place of four.
    os.environ["MLFLOW_WORKERS"] = "1"
    # A block's type is registered when a block of it is saved; all of them take a second.
    os.environ["PREFECT_SERVER_REGISTER_BLOCKS_ON_START"] = "false"


@pytest.fixture(scope="session")
def empty_prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prefect database with its tables; making them takes seconds, copying them does not."""

    def make(path: Path) -> None:
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
        url = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{path}"}
        subprocess.run(command, env=os.environ | url, check=True, capture_output=True)

    return made_once(tmp_path_factory, "prefect.db", make)


@pytest.fixture(scope="session")
def prefect_server(empty_prefect_database: Path) -> Iterator[None]:
    """A real Prefect server and database of this test run's own."""
    from prefect.testing import utilities

    def folder_with_database() -> str:
        folder = tempfile.mkdtemp()
        shutil.copy(empty_prefect_database, Path(folder) / "prefect-test.db")
        return folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", folder_with_database)
        with utilities.prefect_test_harness(server_startup_timeout=180):
            yield


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables; making them takes seconds, copying them does not."""
    from tasks.store.new_store import make_store

    return made_once(tmp_path_factory, "mlflow.db", lambda path: make_store(f"sqlite:///{path}"))


@pytest.fixture
def mlflow_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> Iterator[str]:
    """A real SQLite tracking store and artifact folder of this test's own."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    # Optuna's callback leaves the experiment that it chose to the whole process.
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    yield uri
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="session")
def blank_picture() -> bytes:
    """A PNG of one pixel."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def blank_pictures(monkeypatch: pytest.MonkeyPatch, blank_picture: bytes) -> None:
    """For tests that look at no figure: drawing takes half of a small study's time."""
    monkeypatch.setattr("llmpso.pages.matplotlib_picture.picture", lambda chart: blank_picture)


@pytest.fixture
def quick_collections() -> None:
    """Garbage is looked for only in what a test makes."""
    gc.freeze()


@pytest.fixture
def ends() -> Callable[..., bool]:
    """Whether a process ends in some seconds; one that was not waited for has ended too."""

    def ended(pid: int, seconds: float = 10.0) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                    return True
            except (FileNotFoundError, ProcessLookupError):  # before or after it was opened
                return True
            time.sleep(0.05)
        return False

    return ended
