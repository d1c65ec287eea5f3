"""Stores that cannot be used are refused in one line, whatever is in the way of them."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from llmpso.errors import SpecError
from tasks.store.address import URI
from tasks.store.client import client
from tasks.store.experiment import open_experiment
from tasks.store.store_file import is_half_made


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of a user who may not write everywhere, as root may."""
    with tempfile.TemporaryDirectory() as scratch:
        monkeypatch.chdir(scratch)
        is_root = os.geteuid() == 0
        if is_root:
            shutil.chown(scratch, 65534, 65534)
            os.seteuid(65534)
        yield Path(scratch).resolve()
        if is_root:
            os.seteuid(0)


def names(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv(URI, uri)
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)


def refusal(monkeypatch: pytest.MonkeyPatch, uri: str) -> str:
    names(monkeypatch, uri)
    with pytest.raises(SpecError) as caught:
        open_experiment("bowl", "metric")
    assert "\n" not in str(caught.value)
    assert "sqlite3." not in str(caught.value)
    return str(caught.value)


def state(path: Path) -> tuple[int, ...] | None:
    """All that a change of a file changes; not when it was read last."""
    if not os.path.lexists(path):
        return None
    found = os.lstat(path)
    owner = (found.st_uid, found.st_gid, found.st_mode)
    return *owner, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_full_of_text(path: Path) -> None:
    path.write_text("time,target\n1,2\n")


def is_a_folder(path: Path) -> None:
    path.mkdir()


def is_a_pipe(path: Path) -> None:
    os.mkfifo(path)


def links_to_itself(path: Path) -> None:
    path.symlink_to(path)


def is_read_only(path: Path) -> None:
    path.touch()
    path.chmod(0o444)


def is_secret(path: Path) -> None:
    path.touch()
    path.chmod(0)


def is_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE flow (id)")
        database.execute("CREATE TABLE alembic_version (version_num)")
        database.execute("INSERT INTO alembic_version VALUES ('7a653837d9ba')")
        database.commit()


def lies_where_nothing_may_be_written(path: Path) -> None:
    path.parent.chmod(0o555)


def needs_a_lock_that_is_a_folder(path: Path) -> None:
    path.with_name("mlflow.db.lock").mkdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (is_full_of_text, "is no SQLite database"),
        (is_a_folder, "is no file"),
        (is_a_pipe, "is no file"),
        (links_to_itself, "is a link that leads nowhere"),
        (is_read_only, "cannot be read and written"),
        (is_secret, "cannot be read and written"),
        (is_of_another_program, "another program (it has flow)"),
        (lies_where_nothing_may_be_written, "cannot be written (Permission denied)"),
        (needs_a_lock_that_is_a_folder, "Is a directory"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_is_no_store_is_named_and_left_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], words: str
) -> None:
    path = folder / "mlflow.db"
    spoil(path)
    before = state(path)
    reported = refusal(monkeypatch, f"sqlite:///{path}")
    assert reported.startswith(f"{URI} is 'sqlite:///{path}'; ")
    assert words in reported
    assert str(folder) in reported.partition("; ")[2]
    assert state(path) == before
    folder.chmod(0o700)


def test_without_a_setting_the_working_directory_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{folder}/mlflow.db"
    names(monkeypatch, uri)
    monkeypatch.delenv(URI)
    folder.chmod(0o555)
    with pytest.raises(SpecError, match=rf"{URI} is not set; folder {folder} cannot be written"):
        open_experiment("bowl", "metric")
    folder.chmod(0o700)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:",
        "sqlite:/mlflow.db",
        "sqlite://mlflow.db",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///a%00b.db",
        "foo://bar",
        "s3://bucket/mlflow",
        "mlflow.db",
        '"sqlite:///mlflow.db"',
        "http://",
        "http://localhost:99999",
        "http://localhost:port",
        "http://local host:5000",
        "http://[::1",
    ],
)
def test_what_is_no_address_of_a_store_is_refused_with_the_right_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "it must be sqlite:///FILE" in refusal(monkeypatch, uri)
    assert os.listdir(tmp_path) == []


def test_a_package_that_a_database_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = refusal(monkeypatch, "mssql://me:secret@127.0.0.1/mlflow")
    assert "package pyodbc is not there; install it" in reported
    assert "secret" not in reported


def test_a_folder_of_models_that_cannot_be_written_is_named(
    mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlruns").write_text("")
    reported = refusal(monkeypatch, mlflow_store)
    assert f"models of experiment 'bowl' cannot be stored in {tmp_path}/mlruns" in reported


def test_a_store_of_models_that_cannot_be_used_is_named(
    mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "get_registry_uri", lambda: "foo://bar")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "foo://bar")
    client.cache_clear()
    assert "registered at 'foo://bar'" in refusal(monkeypatch, mlflow_store)
    client.cache_clear()


@pytest.mark.parametrize(
    ("version", "rows", "words"),
    [
        (
            "cc1f77228345",
            True,
            "of an earlier MLflow; copy it, then run `mlflow db upgrade sqlite",
        ),
        ("ffffffffffff", True, "of a later MLflow"),
        ("ffffffffffff", False, "is half made"),
    ],
)
def test_a_database_of_another_version_is_distinguished_from_a_half_made_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    empty_database: Path,
    version: str,
    rows: bool,
    words: str,
) -> None:
    path = Path(shutil.copy(empty_database, tmp_path / "old.db"))
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", [version])
        if rows:
            database.execute("INSERT INTO registered_models (name) VALUES ('precious')")
        database.commit()
    assert is_half_made(path) is not rows
    assert words in refusal(monkeypatch, f"sqlite:///{path}")


def test_a_damaged_database_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    path = tmp_path / "half.db"
    path.write_bytes(empty_database.read_bytes()[:300_000])
    assert f"{path} is damaged" in refusal(monkeypatch, f"sqlite:///{path}")


def test_a_link_to_a_store_that_is_still_to_be_made_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "mlflow.db")
    assert client(f"sqlite:///{tmp_path}/link.db").search_experiments()
    assert (tmp_path / "link.db").is_symlink()
    assert (tmp_path / "real" / "mlflow.db").stat().st_size
