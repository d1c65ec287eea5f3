"""Real servers: started by the commands under test, with logs in which no error may stand."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

PROJECT = Path(__file__).parents[2]

FAULT = re.compile(r"\| (?:ERROR|CRITICAL) |^ERROR: |^Traceback ", re.MULTILINE)
"""Of Prefect, of uvicorn, of Python."""
ENTRY = re.compile(r"^(?=\d\d:\d\d:\d\d\.\d|\d{4}[-/]\d\d[-/]\d\d |[A-Z]+: )", re.MULTILINE)
"""Where an entry of a log begins; its traceback belongs to it."""
EXPLAINED = re.compile(
    # SQLite has one writer, and the machine is busy: Prefect tries again.
    "database is locked"
)


OFTEN = 3
"""What is broken says so again and again; a busy machine may cause an error or two."""


def faults(log: str) -> list[str]:
    """An entry of each error that a log tells of again and again, and that nobody explained."""
    of_kind: dict[str, list[str]] = {}
    for entry in ENTRY.split(log):
        if FAULT.search(entry) and not EXPLAINED.search(entry):
            said = entry.strip().splitlines()[-1]
            of_kind.setdefault(re.sub(r"[\da-f]*\d[\da-f]*", "#", said), []).append(entry)
    return [entries[0] for entries in of_kind.values() if len(entries) >= OFTEN]


class Services:
    """Real servers, started by the commands under test; each has a log in a folder.

    Args:
        folder: Logs, and the servers' own files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}
        self._faults: list[str] = []

    @staticmethod
    def free_port() -> int:
        """A port that nothing listens on."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        may_log_errors: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a command in the project's folder.

        Args:
            command: Of a server.
            environment: Its own variables.
            may_log_errors: The test is about a fault; else an error in the log is one.
        """
        own = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PWD": str(PROJECT),
        }
        path = self.folder / f"{len(self._running)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=os.environ | own | dict(environment or {}),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        if not may_log_errors:
            self._logs[process.pid] = path
        return process

    def wait_for(self, url: str, seconds: float = 240.0) -> None:
        """Wait until an address answers; a busy machine takes long to start a server."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                # Reading the certificates, of no use here, takes as long as several requests.
                if httpx.get(url, verify=False).is_success:
                    return
            time.sleep(0.25)
        logs = "".join(log.read_text()[-2000:] for log in sorted(self.folder.glob("*.log")))
        raise TimeoutError(f"{url} does not answer; the logs say: {logs}")

    def stop(self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
        """End a process and all that it started; what it logs while it ends does not count."""
        self._look_at_log(process)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)

    def stop_all(self) -> None:
        """End what still runs, the youngest first.

        Raises:
            AssertionError: A server has logged an error.
        """
        for process in reversed(self._running):
            self._look_at_log(process)
            if process.poll() is None:
                self.stop(process)
        found, self._faults = self._faults, []
        assert not found, "\n".join(["a server's log has errors:", *found])

    def _look_at_log(self, process: subprocess.Popen[bytes]) -> None:
        if log := self._logs.pop(process.pid, None):
            self._faults += faults(log.read_text(errors="replace"))


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Servers that end with the module's tests."""
    started = Services(tmp_path_factory.mktemp("services"))
    yield started
    started.stop_all()


@pytest.fixture(scope="module")
def prefect_home(services: Services, empty_prefect_database: Path) -> Path:
    """Where the services' Prefect server finds a database that has its tables."""
    home = services.folder / "prefect"
    home.mkdir()
    shutil.copy(empty_prefect_database, home / "prefect.db")
    return home


class Postgres:
    """PostgreSQL from the system's packages, with a user `llmpso`, in a folder of its own.

    Args:
        binaries: Folder of `initdb` and the others.
        services: What starts it.
    """

    password = "a1b2c3"

    def __init__(self, binaries: Path, services: Services) -> None:
        self._binaries, self._services = binaries, services
        self.port = str(services.free_port())
        self.folder = Path(tempfile.mkdtemp(prefix="llmpso-postgres-"))
        # PostgreSQL refuses to run as root.
        self._prefix = ["runuser", "-u", "nobody", "--"] if os.getuid() == 0 else []
        if self._prefix:
            shutil.chown(self.folder, "nobody")
        secret = self.folder / "secret"
        secret.write_text(self.password)
        secret.chmod(0o644)
        initdb = [str(binaries / "initdb"), "-D", str(self.folder / "data"), "-U", "llmpso"]
        secured = ["-A", "scram-sha-256", f"--pwfile={secret}"]
        subprocess.run(
            [*self._prefix, *initdb, *secured], check=True, capture_output=True, cwd=self.folder
        )
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        data = ["-D", str(self.folder / "data"), "-p", self.port, "-k", str(self.folder)]
        self._process = self._services.start(
            [*self._prefix, str(self._binaries / "postgres"), *data]
        )
        ready = [self._binaries / "pg_isready", "--host", "127.0.0.1", "--port", self.port]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def kill(self) -> None:
        """End the server and all of its connections at once, as a crash would."""
        self._services.stop(self._process, signal.SIGKILL)

    def run(self, *arguments: str, database: str = "postgres") -> str:
        """What `psql` prints."""
        client = {"PGPASSWORD": self.password, "PGHOST": "127.0.0.1", "PGPORT": self.port}
        return subprocess.run(
            [self._binaries / "psql", "--set", "ON_ERROR_STOP=1", *arguments],
            env=os.environ | client | {"PGUSER": "llmpso", "PGDATABASE": database},
            check=True,
            capture_output=True,
            text=True,
        ).stdout


@pytest.fixture(scope="module")
def postgres(services: Services) -> Iterator[Postgres]:
    """A real PostgreSQL, which can be killed."""
    found = shutil.which("initdb") or next(
        (str(path) for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), None
    )
    if found is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = Postgres(Path(found).resolve().parent, services)
    yield server
    services.stop_all()
    shutil.rmtree(server.folder)
