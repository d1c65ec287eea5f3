"""Shared by all rooms: where real data is, and a study's own stores."""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

PROJECT = Path(__file__).parents[1]

# Nothing of a test run leaves the machine: set before a test's module imports what reads it.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def filled_with_nul(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def one_bit_changed(path: Path) -> None:
    content = bytearray(path.read_bytes() or b" ")
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def removed(path: Path) -> None:
    path.unlink()


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def replaced_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def linked_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00\xd8\n")


def other_json(path: Path) -> None:
    path.write_text('[{"sha256": 1}, null]\n')


def nested_json(path: Path) -> None:
    path.write_text("[" * 100_000 + "\n")


DAMAGES = (
    emptied,
    halved,
    filled_with_nul,
    one_bit_changed,
    removed,
    replaced_by_folder,
    replaced_by_pipe,
    linked_to_itself,
    no_text,
    other_json,
    nested_json,
)
"""What a power cut, a full disk, a bad one or a hand may make of a file."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `damage` is run with each."""
    if "damage" in metafunc.fixturenames:
        metafunc.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


@pytest.fixture
def damages() -> tuple[Callable[[Path], None], ...]:
    """All of them, for a test that tries them at once."""
    return DAMAGES


@pytest.fixture(scope="session", autouse=True)
def quiet_services(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing of a test run stays in the user's folders, and servers start no more than ours."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    # As `mlflow/start.sh` has it: nine processes less for each server.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    # One process that imports MLflow for each server, in place of four.
    os.environ["MLFLOW_WORKERS"] = "1"


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A file that the first process of a test run makes for all of them."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    path = folder / name
    with FileLock(f"{path}.lock"):
        if not path.exists():
            half = folder / f"half-{name}"
            make(half)
            half.rename(path)
    return path


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
    from mlflow import MlflowClient

    def make(path: Path) -> None:
        MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)

    return made_once(tmp_path_factory, "mlflow.db", make)


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
