"""A store that does not exist yet, and one that is not what it was."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import mlflow
import psutil
import pytest
from mlflow.entities import Metric, Param, RunTag

from llmpso.errors import SpecError
from tasks.store.client import client
from tasks.store.experiment import open_experiment
from tasks.store.new_store import database_file, make_store

FIRST_USE = """
import sys
from tasks.store.experiment import open_experiment
print("ready", flush=True)
sys.stdin.readline()
open_experiment("same", "metric")
"""


def first_uses(uri: str, folder: Path, number: int) -> list[subprocess.Popen[str]]:
    """Processes that are all about to use a store for the first time."""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "MLFLOW_TRACKING_URI": uri}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_USE],
            cwd=folder,
            env=os.environ | environment,
            text=True,
            **pipes,
        )
        for _ in range(number)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    return started


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["sqlite:///new/mlflow.db"])
def test_many_first_commands_at_once_make_one_store(tmp_path, uri):
    processes = first_uses(uri, tmp_path, 4)
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    store = client(f"sqlite:///{tmp_path}/new/mlflow.db")
    assert {found.name for found in store.search_experiments()} == {"Default", "same"}
    left = {path.suffix for path in (tmp_path / "new").iterdir()}
    assert left - {".db-wal", ".db-shm"} == {".db", ".lock"}, "nothing that is half made"


@pytest.mark.parametrize(
    ("kind", "mode"), [("ext4", "wal"), ("nfs4", "delete"), ("fuse.sshfs", "delete")]
)
def test_commits_are_written_ahead_where_no_other_machine_writes(
    tmp_path, monkeypatch, kind, mode
):
    """Machines that share a disk share no memory, which that mode needs."""
    disks = [SimpleNamespace(mountpoint="/", fstype="nfs4" if kind == "ext4" else "ext4")]
    disks += [SimpleNamespace(mountpoint=str(tmp_path), fstype=kind)]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: disks)
    make_store(f"sqlite:///{tmp_path}/deep/mlflow.db")
    with closing(sqlite3.connect(tmp_path / "deep" / "mlflow.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == (mode,)


def test_what_was_written_last_to_a_deleted_store_is_not_repeated_in_a_new_one(tmp_path):
    """As after a kill: somebody deleted the database, and not the two files beside it."""
    make_store(f"sqlite:///{tmp_path}/deleted/mlflow.db")
    with closing(sqlite3.connect(tmp_path / "deleted" / "mlflow.db")) as database:
        database.execute("DELETE FROM experiments")
        database.commit()
        for file in ("mlflow.db-wal", "mlflow.db-shm"):
            shutil.copy(tmp_path / "deleted" / file, tmp_path)
    make_store(f"sqlite:///{tmp_path}/mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
def test_a_kill_while_a_store_is_made_breaks_nothing(tmp_path):
    (process,) = first_uses("sqlite:///mlflow.db", tmp_path, 1)
    process.stdin.write("\n")
    process.stdin.flush()
    half = tmp_path / "mlflow.db.half"
    while not (half.exists() and half.stat().st_size > 50_000):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    assert client(f"sqlite:///{tmp_path}/mlflow.db").search_experiments()


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////a/b.db", "/a/b.db"),
        ("sqlite:///b.db", str(Path.cwd() / "b.db")),
        ("sqlite:////a/b.db?timeout=5", "/a/b.db"),
        ("sqlite:///file:/a/b.db?mode=rwc&uri=true", "/a/b.db"),
        ("sqlite:///file:b?mode=memory&uri=true", None),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite", None),
        ("file:///a/mlruns", None),
        ("http://localhost:5000", None),
        ("postgresql://user:secret@host/mlflow", None),
    ],
)
def test_the_file_of_a_store(uri, path):
    assert database_file(uri) == (path and Path(path))


def test_a_store_that_is_there_is_left_unchanged(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database")
    make_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert os.listdir(tmp_path) == ["mlflow.db"]


def test_a_half_made_store_is_named(tmp_path, monkeypatch, empty_database):
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE trace_info")
        database.execute("UPDATE alembic_version SET version_num = 'no such version'")
        database.commit()
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: f"sqlite:///{path}")
    with pytest.raises(SpecError, match="is half made: .*; remove that file"):
        open_experiment("same", "metric")


def test_a_deleted_experiment_says_how_it_comes_back(mlflow_store):
    found = open_experiment("same", "metric")
    number = found.experiment_id
    client(mlflow_store).delete_experiment(number)
    with pytest.raises(SpecError, match=f"restore --experiment-id {number}`, or name another"):
        open_experiment("same", "metric")
    client(mlflow_store).restore_experiment(number)
    assert open_experiment("same", "metric") == found


def test_records_go_to_no_model_that_happens_to_be_active(mlflow_store, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_ACTIVE_MODEL_ID", "m-of-another-store")
    store = client(mlflow_store)
    run_id = store.create_run("0").info.run_id
    points = [Metric("loss", 1.0 / step, 0, step) for step in range(1, 1_701)]
    params = [Param(f"p{number}", "1") for number in range(250)]
    store.log_batch(run_id, metrics=points, params=params, tags=[RunTag("t", "1")])
    run = store.get_run(run_id)
    assert len(store.get_metric_history(run_id, "loss")) == 1_700
    assert (len(run.data.params), run.data.tags["t"]) == (250, "1")
