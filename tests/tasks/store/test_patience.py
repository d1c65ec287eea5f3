"""What may pass and what cannot, asked of real stores in real trouble."""

import errno
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_managed_session_maker
from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

from llmpso.errors import StorageError
from tasks.store.patience import STORE_ERRORS, is_full, is_unavailable, patiently


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client tries for minutes by itself."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A server that answers with its attribute `status`, and nothing that MLflow knows."""

    class Sorry(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            self.send_response(self.server.status)
            self.end_headers()
            self.wfile.write(b"sorry")

        do_GET = do_POST  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Sorry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def raised(uri: str) -> BaseException:
    with pytest.raises(STORE_ERRORS) as caught:
        MlflowClient(uri).create_experiment("new")
    return caught.value


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_waited_for(server, status):
    server.status = status
    assert is_unavailable(raised(f"http://127.0.0.1:{server.server_port}"))


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409])
def test_a_server_that_refuses_is_not(server, status):
    server.status = status
    assert not is_unavailable(raised(f"http://127.0.0.1:{server.server_port}"))


def test_a_server_that_is_down_is_waited_for():
    with socket.socket() as taken:  # so that no other test's server listens there meanwhile
        taken.bind(("127.0.0.1", 0))
        assert is_unavailable(raised(f"http://127.0.0.1:{taken.getsockname()[1]}"))


def test_a_database_that_cannot_be_written_is_not(tmp_path, empty_database):
    error = raised(f"sqlite:///file:{empty_database}?mode=ro&uri=true")
    assert "readonly database" in str(error)
    assert not is_unavailable(error)


def test_a_database_without_its_tables_is_not(tmp_path, empty_database):
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    store = MlflowClient(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE experiment_tags")
    with pytest.raises(MlflowException, match="no such table") as caught:
        store.set_experiment_tag("0", "name", "value")
    assert not is_unavailable(caught.value)


def of_a_session(path: Path, statement: str) -> MlflowException:
    """What MLflow raises for a statement; its own sessions wait for a lock for 20 seconds."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.1})
    session_maker = _get_managed_session_maker(sessionmaker(bind=engine), "other")
    with pytest.raises(MlflowException) as caught, session_maker(read_only=False) as session:
        session.execute(text(statement))
    engine.dispose()
    return caught.value


def test_a_locked_database_is_waited_for(tmp_path):
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE some (name)")
        database.execute("BEGIN EXCLUSIVE")
        error = of_a_session(path, "INSERT INTO some VALUES (1)")
    assert "database is locked" in str(error)
    assert is_unavailable(error)


def test_a_database_that_is_full_says_so(tmp_path):
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE some (name)")
    error = of_a_session(path, "INSERT INTO none VALUES (1)")
    assert not is_full(error)
    assert is_full(MlflowException("(sqlite3.OperationalError) database or disk is full"))
    assert is_full(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (errno.ECONNREFUSED, True),
        (errno.ECONNRESET, True),
        (errno.ETIMEDOUT, True),
        (errno.EHOSTUNREACH, True),
        (errno.ESTALE, True),
        (errno.EACCES, False),
        (errno.ENOENT, False),
        (errno.ENOTDIR, False),
        (errno.EROFS, False),
        (errno.ENOSPC, False),
        (errno.EIO, False),
    ],
)
def test_of_the_system_s_errors_those_of_the_network_pass(code, passes):
    assert is_unavailable(OSError(code, os.strerror(code))) == passes


def test_what_cannot_pass_is_raised_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        patiently((tmp_path / "none").read_text, "read")


def test_what_may_pass_is_tried_again_until_the_end_of_patience():
    calls = []

    def refuse() -> None:
        calls.append(1)
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    with pytest.raises(StorageError, match="MLflow did not answer for 2 s, cannot look"):
        patiently(refuse, "look", seconds=2.0)
    assert len(calls) == 2
