"""The trainings that a study runs at this moment, in a file beside its others.

Only this machine knows them: MLflow hears of a trial when it ends. They are for people only, so a
file that cannot be written or read changes nothing.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmpso.text import one_line
from llmpso.trial import Trial
from tasks.state import study_folder

logger = logging.getLogger(__name__)

FILE = "running.json"


@dataclass(frozen=True, slots=True)
class RunningTrial:
    """A trial that was given to a worker, or waits for one."""

    number: int
    source: str
    params: dict[str, Any]
    fidelity: float
    """Share of the full training that it is to reach."""
    begun_at: float
    """Seconds since the epoch."""


class RunningTrials:
    """Notes which trials run.

    Args:
        folder: That of the study.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._running: dict[int, RunningTrial] = {}
        self._lock = threading.Lock()

    def begin(self, trials: Sequence[Trial]) -> None:
        """Add trials."""
        now = time.time()
        new = {
            trial.number: RunningTrial(
                trial.number, str(trial.source), dict(trial.params), trial.fidelity, now
            )
            for trial in trials
        }
        with self._lock:
            self._running |= new
            self._write()

    def end(self, trials: Sequence[Trial]) -> None:
        """Remove trials."""
        with self._lock:
            for trial in trials:
                self._running.pop(trial.number, None)
            self._write()

    def _write(self) -> None:
        half = self._path.with_suffix(".half")
        try:
            half.write_text(json.dumps([asdict(trial) for trial in self._running.values()]))
            os.replace(half, self._path)
        except OSError as error:
            logger.debug("%s cannot be written: %s", self._path, one_line(error))


def running_trials(run_id: str) -> list[RunningTrial]:
    """What a study of this machine noted last; nothing if it noted nothing."""
    with suppress(OSError, ValueError, TypeError):
        noted = json.loads((study_folder(run_id) / FILE).read_text(encoding="utf-8"))
        return [RunningTrial(**trial) for trial in noted]
    return []
