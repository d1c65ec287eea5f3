"""The trainings that a study runs at this moment, in a file beside its others.

Only this machine knows them: MLflow hears of a trial when it ends. They are for people only, so a
file that cannot be written or read changes nothing.
"""

import json
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmpso.text import one_line
from llmpso.trial import Trial
from tasks.store.state_folders import study_folder

logger = logging.getLogger(__name__)

FILE = "running.jsonl"


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
    """Notes which trials run: a line where some begin, and one where they end.

    Lines are added, since to replace a file takes milliseconds on some disks.

    Args:
        folder: That of the study.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def begin(self, trials: Sequence[Trial]) -> None:
        """Add trials."""
        now = time.time()
        self._note(
            [
                asdict(RunningTrial(t.number, str(t.source), dict(t.params), t.fidelity, now))
                for t in trials
            ]
        )

    def end(self, trials: Sequence[Trial]) -> None:
        """Remove trials."""
        self._note([trial.number for trial in trials])

    def _note(self, trials: list[Any]) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(trials)}\n")
        except OSError as error:
            logger.debug("%s cannot be written: %s", self._path, one_line(error))


def running_trials(run_id: str) -> list[RunningTrial]:
    """What a study of this machine noted last; nothing if it noted nothing."""
    running: dict[int, RunningTrial] = {}
    # The last line may be half written at this moment.
    with suppress(OSError, ValueError, TypeError):
        for line in (study_folder(run_id) / FILE).read_text(encoding="utf-8").splitlines():
            for noted in json.loads(line):
                if isinstance(noted, int):
                    running.pop(noted, None)
                else:
                    running[noted["number"]] = RunningTrial(**noted)
    return list(running.values())
