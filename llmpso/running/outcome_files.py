"""Outcomes that worker processes have written, in a folder of their study.

Between the end of a training and its record a study's process may be killed. The file that the
worker wrote stays, and the next run of the study records it.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llmpso.running.durable_files import DAMAGED_FOLDER, read, set_aside
from llmpso.running.outcome import Outcome, outcome_from_bytes

_WHOLE = ".outcome"


def write_outcome(content: bytes, folder: Path) -> Path:
    """Write an outcome, model included, to a file, which gets its name once it is complete.

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


def read_outcome(path: Path) -> Outcome:
    """The outcome in a file, which is of no use once the outcome is recorded."""
    return replace(outcome_from_bytes(read(path)), file=path)


def unrecorded_outcomes(folder: Path) -> Iterator[Outcome]:
    """Outcomes that an earlier process of the study did not record; what is damaged is set aside.

    Raises:
        OSError: Something cannot be moved.
    """
    for path in sorted(folder.glob(f"*{_WHOLE}")):
        try:
            outcome = read_outcome(path)
        except Exception as error:  # noqa: BLE001 - a damaged pickle may raise anything
            set_aside(path, folder.parent / DAMAGED_FOLDER, error)
        else:
            yield outcome
