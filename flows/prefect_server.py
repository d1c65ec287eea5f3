"""A Prefect server for runs on a machine that has none."""

import subprocess
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
from filelock import FileLock
from platformdirs import user_log_path, user_runtime_path
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.servers import (
    HOST,
    Users,
    free_port,
    is_free,
    is_healthy,
    start_supervised,
    wait_until_ready,
)
from llmpso.errors import LLMPSOError
from llmpso.urls import masked_url
from llmpso.user_code.calls import described

PORT = 4200


@contextmanager
def local_prefect_server(timeout: float = 120.0) -> Iterator[str]:
    """Yield the URL of a Prefect API: the one configured, one on the usual port, or our own.

    Our own stores its records in the user's Prefect database, where `prefect server start` shows
    them later, writes its log to a file, and ends with the last of the commands that use it.
    """
    if configured := PREFECT_API_URL.value():
        _check_configured(configured)
        yield configured
        return
    with _shared_server(timeout) as url, temporary_settings({PREFECT_API_URL: url}):
        yield url


def _check_configured(url: str) -> None:
    """Refuse a server that does not answer, before a flow run starts.

    Raises:
        LLMPSOError: It cannot be reached, or refuses.
    """
    with get_client(sync_client=True) as client:
        if error := client.api_healthcheck():
            raise LLMPSOError(
                f"PREFECT_API_URL is {masked_url(url)!r}, where no Prefect server answers "
                f"({described(error)}); start that server, or unset it to have one started"
            )


@contextmanager
def _shared_server(timeout: float) -> Iterator[str]:
    """The user's server on the usual port, or one that those who need it start and share."""
    process, port = None, PORT
    with FileLock(_shared_file(f"{PORT}.starting")):
        # Before it is asked: one that ends with its last user is waited for.
        users = Users(_shared_file(f"{PORT}.users"))
        if not _is_own(PORT):
            if not is_free(PORT):
                users.leave()
                port = free_port()
                users = Users(_shared_file(f"{port}.users"))
            process = _start(port, users.path)
            wait_until_ready(process, partial(_is_own, port), _complaint(port), timeout)
    try:
        yield _api(port)
    finally:
        _send_the_rest()
        if process is not None and not users.are_others():
            process.terminate()
            process.wait(timeout=30)
        users.leave()


def _send_the_rest(timeout: float = 15.0) -> None:
    """Send what Prefect would still send while the interpreter ends: it retries for a minute."""
    with ThreadPoolExecutor() as pool:  # In a thread with an event loop, they would not wait.
        for each in (EventsWorker, APILogWorker):
            pool.submit(each.drain_all, timeout)


def _is_own(port: int) -> bool:
    """Whether a server of this user answers: one of another user ends with their command."""
    if not is_healthy(_api(port)):
        return False
    settings = httpx.get(f"{_api(port)}/admin/settings", trust_env=False, verify=False)
    return settings.is_success and settings.json()["home"] == str(PREFECT_HOME.value())


def _shared_file(name: str) -> Path:
    """A file that all commands of a user on this machine find: they share its ports too."""
    with warnings.catch_warnings():
        # A user who is not logged in, as in a container or for cron, has no folder of this name.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        return user_runtime_path("llmpso", ensure_exists=True) / f"prefect-{name}"


def wait_until_recorded(flow_run_id: str, timeout: float = 15.0) -> None:
    """Wait until the server has recorded how every task of a run ended.

    That reaches it in batches, later; a server that is stopped immediately loses the last ones.
    """
    unfinished = {
        "flow_runs": {"id": {"any_": [flow_run_id]}},
        "task_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING", "SCHEDULED"]}}},
    }
    deadline = time.monotonic() + timeout
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            if client.request("POST", "/task_runs/count", json=unfinished).json() == 0:
                return
            time.sleep(0.25)


def _api(port: int) -> str:
    return f"http://{HOST}:{port}/api"


def _log_file() -> Path:
    return user_log_path("llmpso", ensure_exists=True) / "prefect-server.log"


def _start(port: int, users: Path) -> subprocess.Popen[bytes]:
    return start_supervised(
        ["prefect", "server", "start", "--host", HOST, "--port", str(port)],
        _log_file(),
        users,
        # Without the second, the pages ask the usual port whatever the server's own is.
        {"PREFECT_API_URL": _api(port), "PREFECT_SERVER_UI_API_URL": _api(port)},
    )


def _complaint(port: int) -> str:
    return (
        f"the Prefect server did not start on port {port}; see {_log_file()}, "
        "or set PREFECT_API_URL to a server that runs"
    )
