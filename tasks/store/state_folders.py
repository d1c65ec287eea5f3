"""The folders in which this machine stores what MLflow does not have yet."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from llmpso.errors import SpecError, StorageError
from llmpso.running.durable_files import DAMAGED_FOLDER, remove, set_aside

STATE_HOME = "XDG_STATE_HOME"

PROBE_BYTES = 65_536
"""Without room for so little, a study would end at its first evaluation."""


def state_folder() -> Path:
    """The folder of all studies of this user.

    Raises:
        SpecError: `XDG_STATE_HOME` is relative: the next command would look elsewhere.
    """
    named = os.environ.get(STATE_HOME, "").strip()
    if named and not os.path.isabs(named):
        raise SpecError(
            f"{STATE_HOME} is {named!r}; it must be an absolute path, in which ~ is not resolved"
        )
    return user_state_path("llmpso")


def study_folder(run_id: str) -> Path:
    """Where this machine stores what a study has not recorded yet."""
    return state_folder() / "studies" / run_id


def probe(folder: Path) -> None:
    """Make a folder if it is not there, and write to it.

    Raises:
        OSError: It cannot be made or written, or its disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(PROBE_BYTES))


def reason_of(error: OSError) -> str:
    """What the system says is wrong with a folder."""
    return "it is no folder" if isinstance(error, FileExistsError) else str(error.strerror)


@contextmanager
def writable(what: str, folder: Path, variable: str = STATE_HOME) -> Iterator[None]:
    """Say which folder cannot be written within the block, and what names another.

    Raises:
        SpecError: It cannot.
    """
    try:
        yield
    except OSError as error:
        raise SpecError(
            f"{what} cannot be stored in {folder} ({reason_of(error)}); name a folder that can be "
            f"written in {variable}"
        ) from error


def forget_study(run_id: str) -> None:
    """Remove the files of a study that is recorded to its end, but not what was set aside."""
    folder = study_folder(run_id)
    with suppress(OSError):
        for path in folder.iterdir():
            if not path.name.startswith(DAMAGED_FOLDER):
                remove(path)
        folder.rmdir()


def lock_file(path: Path, damaged: Path) -> FileLock:
    """A file lock; if something else is at its path, that is moved to the folder `damaged`.

    Raises:
        OSError: It cannot be moved.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is no file")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
    except OSError as error:
        set_aside(path, damaged, error.strerror)
    return FileLock(path)


@contextmanager
def usable_state(run_id: str) -> Iterator[None]:
    """Say what is in the way of a study's files.

    Raises:
        StorageError: One of them can neither be used nor be moved.
        Timeout: A lock is taken; that is for the caller.
    """
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise StorageError(
            f"the files of MLflow run {run_id} in {study_folder(run_id)} cannot be used "
            f"({error.strerror}: {error.filename}); correct that, and run the same command again"
        ) from error
