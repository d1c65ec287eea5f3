"""Files that survive a kill and a power cut, with checksums that show damage.

Written data survives a kill; only data synced to the disk survives a power cut. Damage is found by
the checksum when a file is read, and the file is set aside.
"""

import errno
import hashlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from llmpso.running.fingerprint import digest
from llmpso.text import one_line

logger = logging.getLogger(__name__)

HALF_WRITTEN = ".half"
"""Ends the name of what is being written; a kill may leave it behind."""

DAMAGED_FOLDER = "damaged"
"""Folder for what cannot be used, beside the folder that it was found in."""

_OF_THE_MOMENT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN)
"""Errors for which a good file may be unreadable only at the moment."""


class DamagedError(ValueError):
    """The content of a file is not what was written."""


def sealed(content: Any) -> str:
    """Plain values as one line of JSON, with their checksum."""
    return json.dumps({"sha256": digest(content), "content": content}) + "\n"


def unsealed(text: bytes) -> Any:
    """What `sealed` was given.

    Raises:
        DamagedError: It is not what was written.
    """
    try:
        record = json.loads(text)
        content, expected = record["content"], record["sha256"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DamagedError("it is not a whole record with a checksum") from error
    if digest(content) != expected:
        raise DamagedError("its checksum does not match")
    return content


def read(path: Path) -> bytes:
    """All of a file.

    Raises:
        DamagedError: It is not there, is no file, or cannot be read.
    """
    with _opened(path) as file:
        return file.read()


def checksum(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        DamagedError: It is not there, is no file, or cannot be read.
    """
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a folder, by its path in it.

    Raises:
        DamagedError: One of them is no file, or cannot be read.
    """
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return {str(path.relative_to(folder)): checksum(path) for path in paths}


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        # A pipe would be waited for, and a device never ends.
        if path.exists() and not path.is_file():
            raise DamagedError(f"{path.name} is no file")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        if error.errno in _OF_THE_MOMENT:
            raise
        raise DamagedError(f"{path.name}: {error.strerror}") from error


def sync(path: Path) -> None:
    """Sync the content of a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Sync a folder to the disk, with everything in it."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def replace_file(path: Path, content: str) -> None:
    """Write a file, whole or not at all; it is on the disk when this returns.

    Raises:
        OSError: There is no room.
    """
    half = path.with_name(path.name + HALF_WRITTEN)
    half.write_text(content, encoding="utf-8")
    sync(half)
    half.replace(path)
    sync(path.parent)


def append(path: Path, text: str) -> None:
    """Add to a file; it is on the disk when this returns.

    Raises:
        OSError: There is no room.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
    sync(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def made_folder(folder: Path) -> Path:
    """A folder, created if necessary; anything else at its path is set aside.

    Raises:
        OSError: It cannot be made.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        set_aside(folder, folder.parent / DAMAGED_FOLDER, "it is no folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def set_aside(path: Path, damaged: Path, reason: object, *more: Path) -> None:
    """Move an unusable file or folder into another folder, with a warning; nothing is deleted.

    Args:
        path: The damaged file or folder; named in the warning.
        damaged: Folder to move it to; created if necessary.
        reason: What is wrong with it.
        more: Files that are useless without it.

    Raises:
        OSError: It cannot be moved.
    """
    places = [_moved_to(each, damaged) for each in (path, *more) if os.path.lexists(each)]
    moved = f"moved to {one_line(places[0])}" if places else "gone"
    logger.warning("%s cannot be used (%s); it is %s", one_line(path), one_line(reason), moved)


def _moved_to(path: Path, damaged: Path) -> Path:
    place = free_place(_existing(damaged) / path.name)
    if path.is_dir() and not path.is_symlink():
        # A folder that its owner may not write cannot be moved into another one.
        path.chmod(0o700)
    return path.rename(place)


def free_place(path: Path) -> Path:
    """A path, or one that is named after it, at which there is nothing yet."""
    return next(place for place in _numbered(path) if not os.path.lexists(place))


def _existing(damaged: Path) -> Path:
    damaged = next(at for at in _numbered(damaged) if at.is_dir() or not os.path.lexists(at))
    damaged.mkdir(parents=True, exist_ok=True)
    return damaged


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    yield from (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
