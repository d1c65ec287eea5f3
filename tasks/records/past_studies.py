"""One finished study in MLflow as later studies read it.

It comes from a small file that the study left or, where there is none, from its trials. A finished
study does not change, so a copy on this machine saves the second reading.
"""

import logging
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from mlflow.entities import Run
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from pydantic import ValidationError

from llmpso.memory.finished import past_trials
from llmpso.memory.past_study import PastStudy
from llmpso.running.durable_files import (
    HALF_WRITTEN,
    DamagedError,
    made_folder,
    read,
)
from llmpso.study.repeats import without_repeats
from llmpso.text import one_line
from tasks.records.recorded_trials import ended_trials
from tasks.store.patience import STORE_ERRORS
from tasks.store.state_folders import state_folder
from tasks.store.tracker import Tracker

logger = logging.getLogger(__name__)

PAST_STUDY = "memory/past_study.json"
"""What a study leaves for later ones at its end, among the artifacts of its run."""

MOST_COPIES = 1_000


def record_past_study(study: Tracker, past: PastStudy) -> None:
    """Leave a study that ends for later ones."""
    study.record_text(PAST_STUDY, past.shortened().model_dump_json())


def read_past_study(study: Tracker, run: Run, copies: "Copies") -> PastStudy:
    """A finished study: the copy on this machine, else its own file, else its trials.

    Raises:
        MlflowException: The store does not answer, or refuses; also an `OSError`.
    """
    # A study that was extended has ended a second time.
    name = f"{run.info.run_id}-{run.info.end_time}.json"
    past = copies.find(name)
    if past is None:
        past = (left_study(study, run) or _from_trials(study, run)).shortened()
        copies.put(name, past)
    return past.model_copy(update={"reference": study.run_id, "url": study.url})


def left_study(study: Tracker, run: Run) -> PastStudy | None:
    """The file that a study left; None if there is none, or none that can be read."""
    files = get_artifact_repository(run.info.artifact_uri, tracking_uri=study.tracking_uri)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = Path(files.download_artifacts(PAST_STUDY, scratch))
            return PastStudy.model_validate_json(path.read_bytes())
        except (*STORE_ERRORS, ValidationError) as error:
            logger.debug("%s of study %s: %s", PAST_STUDY, study.run_id, one_line(error))
            return None


def _from_trials(study: Tracker, run: Run) -> PastStudy:
    return PastStudy(
        name=run.info.run_name or run.info.run_id,
        reference=study.run_id,
        metric=run.data.tags.get("metric", ""),
        ended=datetime.fromtimestamp((run.info.end_time or 0) / 1000, UTC),
        trials=past_trials(without_repeats(ended_trials(study))),
    )


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of finished studies on this machine, which may be deleted at any time."""

    folder: Path

    def find(self, name: str) -> PastStudy | None:
        """A copy; None if there is none, or a damaged one."""
        try:
            checksum, _, content = read(self.folder / name).partition(b"\n")
            is_whole = checksum.decode() == sha256(content).hexdigest()
            return PastStudy.model_validate_json(content) if is_whole else None
        except (DamagedError, ValueError, OSError):
            return None

    def put(self, name: str, past: PastStudy) -> None:
        """Save a copy; without room for it, the next study reads the store again."""
        # Another process may save the same one now.
        half = self.folder / f"{name}.{uuid4().hex}{HALF_WRITTEN}"
        content = past.model_dump_json().encode()
        try:
            half.write_bytes(b"%b\n%b" % (sha256(content).hexdigest().encode(), content))
            half.replace(self.folder / name)
        except OSError as error:
            logger.warning("no copy of %s can be saved: %s", past.name, one_line(error))

    def forget_oldest(self) -> None:
        """Delete the oldest of too many; other processes may do so now."""
        saved: list[tuple[float, Path]] = []
        for path in self.folder.glob("*.json"):
            with suppress(FileNotFoundError):
                saved.append((path.stat().st_mtime, path))
        for _, path in sorted(saved)[:-MOST_COPIES]:
            path.unlink(missing_ok=True)


def saved_copies() -> Copies:
    """Those of this user.

    Raises:
        OSError: Their folder cannot be made.
    """
    return Copies(made_folder(state_folder() / "memory"))
