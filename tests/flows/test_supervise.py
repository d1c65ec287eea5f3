"""What a command starts ends with its last user."""

import os
import signal
import subprocess
import sys
import time

import pytest

from flows import supervise
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


COMMAND = """
import sys
from flows import prefect_server
prefect_server.PORT = int(sys.argv[1])
with prefect_server.local_prefect_server() as api:
    print(api, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_commands_started_together_share_a_server_until_the_last_has_ended(
    services, tmp_path
) -> None:
    port = str(services.free_port())
    own = {"PREFECT_HOME": str(tmp_path / "prefect"), "XDG_RUNTIME_DIR": str(tmp_path)}
    environment = {name: text for name, text in os.environ.items() if name != "PREFECT_API_URL"}
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", COMMAND, port],
            env=environment | own | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    )
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
