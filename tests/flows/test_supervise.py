"""What a command starts ends with its last user."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from prefect.settings import PREFECT_HOME

from flows import supervise
from flows.prefect_server import _is_own
from flows.servers import Users, is_healthy

SLEEPER = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(600)"
PARENT = f"""
import subprocess, sys, time
supervisor = [sys.executable, "-I", {supervise.__file__!r}, sys.argv[1]]
command = [*supervisor, sys.executable, "-c", {SLEEPER!r}]
process = subprocess.Popen(command, stdin=subprocess.PIPE)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_ends_with_its_parent(number, tmp_path, ends) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "users")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.send_signal(number)
    parent.wait()
    parent.stdout.close()
    assert ends(pid)


def test_a_command_that_others_use_ends_with_the_last_of_them(tmp_path, ends) -> None:
    users = Users(tmp_path / "users")
    command = [sys.executable, "-c", PARENT, str(users.path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert not ends(pid, seconds=1)
    users.leave()
    assert ends(pid)


def test_only_the_last_user_is_alone(tmp_path) -> None:
    first, second = Users(tmp_path / "users"), Users(tmp_path / "users")
    assert first.are_others()
    first.leave()
    assert not second.are_others()
    second.leave()


def test_a_command_that_ends_by_itself_ends_its_supervisor(tmp_path) -> None:
    command = [sys.executable, "-I", supervise.__file__, str(tmp_path / "users")]
    process = subprocess.Popen(
        [*command, sys.executable, "-c", "raise SystemExit(3)"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.wait(10) == 3
    assert process.stderr.read() == b""
    process.stdin.close()


COMMAND = """
import sys
from flows import prefect_server
prefect_server.PORT = int(sys.argv[1])
with prefect_server.local_prefect_server() as api:
    print(api, flush=True)
    sys.stdin.read()
"""


def begun(code: str, port: int, folder: Path, **streams: int) -> subprocess.Popen[str]:
    """A command of a user whose folders are there, and whose usual port is that one."""
    own = {"PREFECT_HOME": str(folder / "prefect"), "XDG_RUNTIME_DIR": str(folder)}
    others = {name: text for name, text in os.environ.items() if name != "PREFECT_API_URL"}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(port)],
        env=others | own | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **streams,
    )


@pytest.fixture
def used_folder(tmp_path: Path, empty_prefect_database: Path) -> Path:
    """The folder of a user whose Prefect has been used before: its database has its tables."""
    (tmp_path / "prefect").mkdir()
    shutil.copy(empty_prefect_database, tmp_path / "prefect" / "prefect.db")
    return tmp_path


def test_a_user_who_is_not_logged_in_is_not_warned_of_it(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    code = "from flows.prefect_server import _shared_file; print(_shared_file('1.users'))"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.count("llmpso"), done.stderr) == (1, "")


def test_another_users_server_is_not_used(monkeypatch, tmp_path) -> None:
    homes = {"home": str(PREFECT_HOME.value())}
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Settings,), {"settings": homes}))
    Thread(target=server.serve_forever, daemon=True).start()
    assert _is_own(server.server_port)
    homes["home"] = str(tmp_path)
    assert not _is_own(server.server_port)
    server.shutdown()
    server.server_close()
    assert not _is_own(server.server_port)


class Settings(BaseHTTPRequestHandler):
    """Answers as Prefect's server does, to the two requests that find out whose it is."""

    settings: ClassVar[dict[str, str]]

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        self.send_response(200)
        self.end_headers()
        if self.path == "/api/admin/settings":
            self.wfile.write(json.dumps(self.settings).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.slow
def test_commands_started_together_share_a_server_until_the_last_has_ended(
    services, tmp_path
) -> None:
    port = services.free_port()
    first, second = (begun(COMMAND, port, tmp_path) for _ in range(2))
    address = f"http://127.0.0.1:{port}/api"
    assert [command.stdout.readline().strip() for command in (first, second)] == [address] * 2
    first.kill()
    first.wait()
    time.sleep(1)
    assert is_healthy(address)
    second.communicate()
    assert second.returncode == 0
    deadline = time.monotonic() + 30
    while is_healthy(address) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not is_healthy(address)


@pytest.mark.slow
def test_a_server_on_another_port_does_not_wait_for_the_users_of_the_usual_one(
    used_folder,
) -> None:
    """Beside a study that took long, each command left its server running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (used_folder / "llmpso").mkdir()
        users = Users(used_folder / f"llmpso/prefect-{port}.users")
        command = begun(COMMAND, port, used_folder)
        address = command.stdout.readline().strip()
        assert str(port) not in address
        assert is_healthy(address)
        command.communicate()
        assert command.returncode == 0
        assert not is_healthy(address)
        users.leave()


INTERRUPTED = """
import sys, time
from prefect import flow, get_run_logger
from flows import prefect_server

@flow
def interrupted():
    for _ in range(3):
        get_run_logger().info("a line")
        time.sleep(1)
    raise KeyboardInterrupt

prefect_server.PORT = int(sys.argv[1])
try:
    with prefect_server.local_prefect_server():
        interrupted()
finally:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
def test_an_interrupted_command_does_not_wait_for_the_server_that_it_ended(
    services, used_folder
) -> None:
    """Prefect tried for a minute to send the log lines that were left."""
    command = begun(INTERRUPTED, services.free_port(), used_folder, stderr=subprocess.DEVNULL)
    assert command.stdout.readline() == "interrupted\n"
    try:
        command.wait(10)
    finally:
        command.kill()
        command.communicate()


def test_a_command_ends_with_its_supervisor(tmp_path, ends) -> None:
    users = str(tmp_path / "users")
    command = [sys.executable, "-I", supervise.__file__, users, sys.executable, "-c", SLEEPER]
    supervisor = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(supervisor.stdout.readline())
    supervisor.terminate()
    assert supervisor.wait(10) != 0
    supervisor.stdin.close()
    supervisor.stdout.close()
    assert ends(pid)


EARLY = f"""
import os, signal, subprocess, sys
from flows import supervise

class Early(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGTERM)

subprocess.Popen = Early
sys.exit(supervise.main(sys.argv[1], sys.executable, "-c", {SLEEPER!r}))
"""


def test_a_supervisor_that_is_ended_while_its_command_begins_ends_it(tmp_path) -> None:
    supervisor = subprocess.run(
        [sys.executable, "-c", EARLY, str(tmp_path / "users")],
        stdin=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    # The command's own end, and not the supervisor's.
    assert supervisor.returncode == -signal.SIGTERM % 256
