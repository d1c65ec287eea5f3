"""Outcomes that worker processes have written, in a folder of their study.

Between the end of a training and its record a study's process may be killed. What a worker wrote
stays, and the next run of the study takes it in.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llmpso.running.durable import SHELF, read, set_aside
from llmpso.running.evaluate import Outcome
from llmpso.running.site import unpacked

_WHOLE = ".outcome"


def write(content: bytes, folder: Path) -> Path:
    """Write an outcome, model included, to a file, which has its name once it is whole.

    Raises:
        OSError: There is no room; nothing is left of it.
    """
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        path = Path(file.name)
        try:
            file.write(content)
            file.flush()
        except OSError:
            path.unlink()
            raise
    return path.rename(f"{path}{_WHOLE}")


def load(path: Path) -> Outcome:
    """The outcome in a file, which is of no use once the outcome is recorded."""
    return replace(unpacked(read(path)), file=path)


def arrived(folder: Path) -> Iterator[Outcome]:
    """What an earlier process of the study did not live to record; what is damaged is set aside.

    Raises:
        OSError: Something cannot be moved.
    """
    for path in sorted(folder.glob(f"*{_WHOLE}")):
        try:
            outcome = load(path)
        except Exception as error:  # noqa: BLE001 - a damaged pickle may raise anything
            set_aside(path, folder.parent / SHELF, error)
        else:
            yield outcome
