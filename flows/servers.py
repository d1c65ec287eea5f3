"""Servers of our own on this machine: each ends with the last process that uses it."""

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from flows import supervise
from llmpso.errors import LLMPSOError

HOST = "127.0.0.1"


class Users:
    """Marks this process as a user of a server; the mark is removed however the process ends.

    Args:
        file: The same for all users of that server.
    """

    def __init__(self, file: Path) -> None:
        self.path = file
        self._file = file.open("a")
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def are_others(self) -> bool:
        """Whether other processes use it; if not, no new user can be added from now on."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def leave(self) -> None:
        """Remove the mark."""
        self._file.close()


def start_supervised(
    command: Sequence[str], log: Path, users: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a Python module as a server; it ends with its last user, even after a SIGKILL."""
    supervisor = [sys.executable, "-I", supervise.__file__, str(users), sys.executable, "-m"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*supervisor, *command],
            # Never written to: it is closed when this process ends, which stops the supervisor.
            stdin=subprocess.PIPE,
            start_new_session=True,
            stdout=output,
            stderr=subprocess.STDOUT,
            # The server must not import modules from the user's working directory.
            env={**os.environ, "PYTHONSAFEPATH": "1", **environment},
        )


def wait_until_ready(
    process: subprocess.Popen[bytes],
    is_ready: Callable[[], bool],
    complaint: str,
    timeout: float = 120.0,
) -> None:
    """Wait until a server that was started is ready.

    Raises:
        LLMPSOError: It ended, or is not ready in time: the complaint.
    """
    deadline = time.monotonic() + timeout
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LLMPSOError(complaint)
        time.sleep(0.25)


def is_healthy(address: str) -> bool:
    """Whether a server of this machine answers there; no proxy is asked for it."""
    try:
        # Without TLS: to read all certificates takes longer than several requests.
        answer = httpx.get(f"{address}/health", timeout=2.0, trust_env=False, verify=False)
        return answer.status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
