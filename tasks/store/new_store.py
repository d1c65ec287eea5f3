"""Creates a SQLite store that does not exist yet: once, and completely or not at all.

MLflow makes its tables one after the other, and locks nothing: two first commands at the same time
would disturb each other, and one that is killed would leave a database that no later one can use.
"""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
from filelock import FileLock
from mlflow import MlflowClient
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from llmpso.running.durable_files import HALF_WRITTEN, sync

LOCAL = frozenset(
    {"apfs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}
)
"""File systems of one machine; several machines may write to all others, such as NFS."""


def make_store(uri: str) -> None:
    """Create a store's database if it does not exist; a server creates its own.

    Raises:
        OSError: Its folder cannot be written.
        MlflowException: MLflow cannot make it.
    """
    path = database_file(uri)
    if path is None or _is_made(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        if not _is_made(path):
            _make(path)


def database_file(uri: str) -> Path | None:
    """The file of a SQLite store; None if a store is none, or is only in memory."""
    if not uri.startswith("sqlite:"):
        return None
    try:
        name = make_url(uri).database or ""
    except ArgumentError:
        return None
    if name.startswith("file:"):
        parts = urlsplit(name)
        in_memory = "memory" in parse_qs(urlsplit(uri).query).get("mode", ())
        name = "" if in_memory else parts.path
    # A link would be replaced by the file, and what it leads to would stay as it is.
    return None if name in ("", ":memory:") else Path(os.path.realpath(name))


def _make(path: Path) -> None:
    half = path.with_name(path.name + HALF_WRITTEN)
    half.unlink(missing_ok=True)
    MlflowClient(f"sqlite:///{half}")
    if _is_local(path):
        _write_ahead(half)
    if path.exists():
        shutil.copymode(path, half)
    for journal in ("-journal", "-wal", "-shm"):
        # SQLite would repeat in this database what was last written to one that was deleted.
        path.with_name(path.name + journal).unlink(missing_ok=True)
    sync(half)
    half.replace(path)
    sync(path.parent)


def _write_ahead(path: Path) -> None:
    """Let a database commit with one write to the disk in place of about four, and as safely.

    MLflow commits five times for each trial. The mode stays with the file, and is one of machines
    that share their memory only: https://www.sqlite.org/wal.html.
    """
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as database:
        database.execute("PRAGMA journal_mode=WAL")


def _is_local(path: Path) -> bool:
    mounted = {Path(disk.mountpoint): disk.fstype for disk in psutil.disk_partitions(all=True)}
    return next((mounted[folder] for folder in path.parents if folder in mounted), "") in LOCAL


def _is_made(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
