"""The file of a SQLite store: what is wrong with it, before MLflow itself is asked and after.

MLflow would wait a minute for a file that cannot be read, put its tables among those of another
program, and report all that in SQL.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from mlflow.store import db_migrations

from tasks.store.state_folders import probe, reason_of

_HEADER = b"SQLite format 3\0"

_OURS = {"experiments", "runs", "metrics", "params", "tags"}
"""Tables that MLflow makes before all others."""

_CONTENT = ("runs", "registered_models", "trace_info")
"""Tables of what people lose with a database."""


def server_error_in(path: Path) -> str:
    """Why a store's file, existing or not, cannot be used; empty if it can."""
    if path.is_symlink():
        return f"{path} is a link that leads nowhere; remove it"
    if path.exists() and not path.is_file():
        return f"{path} is no file"
    if fault := _folder_fault(path.parent):
        return fault
    if not path.exists():
        return ""
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        return f"{path} cannot be read and written (Permission denied)"
    return _content_fault(path) if path.stat().st_size else ""


def refusal_of(path: Path, uri: str) -> str:
    """Why MLflow refuses an existing database; empty if the reason is not known.

    Args:
        path: Its file.
        uri: Its address, for what to type.
    """
    if not path.exists():
        return ""
    try:
        version = _version(path)
    except sqlite3.Error:
        return f"{path} is damaged; bring back a copy of it"
    if version and _is_known(version):
        if version[0] != _scripts().get_current_head() and not is_half_made(path):
            return f"{path} is of an earlier MLflow; copy it, then run `mlflow db upgrade {uri}`"
    elif version and not is_half_made(path):
        return f"{path} is of a later MLflow than {mlflow.__version__}; install that one"
    if is_half_made(path):
        return (
            f"{path} is half made: a command was interrupted while it made the database, or "
            "another version of MLflow did, and no run is in it; remove that file"
        )
    return ""


def is_half_made(path: Path) -> bool:
    """Whether a database has tables of MLflow's, and nothing that people put there."""
    try:
        with closing(_opened(path)) as database:
            tables = _tables(database)
            n_rows = [
                database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
                for table in _CONTENT
                if table in tables
            ]
    except sqlite3.Error:
        return False
    return bool(tables) and not any(n_rows)


def _folder_fault(folder: Path) -> str:
    try:
        probe(folder)
    except OSError as error:
        why = reason_of(error)
        return f"folder {folder} cannot be written ({why}); SQLite writes beside its file"
    return ""


def _content_fault(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            return f"{path} is no SQLite database, or is damaged"
    try:
        with closing(_opened(path)) as database:
            tables = _tables(database) - {"alembic_version"}
    except sqlite3.OperationalError:  # it is locked at this moment, for one
        return ""
    except sqlite3.DatabaseError as error:
        return f"{path} is damaged ({error}); bring back a copy of it"
    if tables and not tables & _OURS:
        some = ", ".join(sorted(tables)[:3])
        return f"{path} is the database of another program (it has {some})"
    return ""


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def _tables(database: sqlite3.Connection) -> set[str]:
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found if not name.startswith("sqlite_")}


def _version(path: Path) -> tuple[str, ...]:
    """The version of its tables, as alembic notes it; nothing if it does not."""
    with closing(_opened(path)) as database:
        if "alembic_version" not in _tables(database):
            return ()
        found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    return () if found is None else (str(found[0]),)


def _is_known(version: tuple[str, ...]) -> bool:
    try:
        return _scripts().get_revision(version[0]) is not None
    except CommandError:
        return False


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(next(iter(db_migrations.__path__)))
