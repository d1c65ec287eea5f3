"""Trainings that are paused at a rung: their checkpoints, and what they measured so far.

A training is one configuration with one seed; its key is the same at every fidelity. A rung is
stored as a record and a checkpoint that is never written again: the training gets a copy.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmpso.fidelity.curve import Point
from llmpso.running.durable_files import (
    DAMAGED_FOLDER,
    DamagedError,
    checksum,
    made_folder,
    read,
    remove,
    replace_file,
    sealed,
    set_aside,
    sync,
    unsealed,
)
from llmpso.running.outcome import Outcome
from llmpso.running.pending_records import (
    curves_of,
    curves_record,
    reports_of,
    reports_record,
    trial_of,
    trial_record,
)
from llmpso.trial import Evaluation, Trial


@dataclass(frozen=True, slots=True)
class PausedTraining:
    """A trial whose training is not finished, as it was when the training last stopped."""

    trial: Trial
    curves: Mapping[str, tuple[float, ...]]
    reports: tuple[Point, ...]
    checkpoint: Path | None
    """The state of the training, if it left one."""

    def pruned(self) -> Outcome:
        """Its outcome, if it is pruned here."""
        trial = self.trial.pruned()
        evaluation = Evaluation(trial.rungs[-1][1], trial.metrics, self.curves)
        return Outcome(trial, replace(evaluation, reports=self.reports))


class PausedTrainings:
    """A folder of trainings that are resumed later, perhaps in another process.

    Args:
        folder: Created if necessary.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = made_folder(folder)

    def checkpoint(self, key: str) -> Path:
        """Where a training finds the state that it stopped in, and leaves its next one.

        Raises:
            OSError: There is no room for a copy.
        """
        paused, copy = self.find(key), self._folder / f"{key}.pt"
        remove(copy)
        if paused is not None and paused.checkpoint is not None:
            shutil.copyfile(paused.checkpoint, copy)
        return copy

    def save(self, key: str, outcome: Outcome) -> None:
        """Save what was measured so far, with the state of the training.

        Raises:
            OSError: There is no room.
        """
        trial, left = outcome.trial, self._folder / f"{key}.pt"
        record: dict[str, Any] = {"trial": trial_record(trial), "curves": curves_record(outcome)}
        record |= {"reports": reports_record(outcome)}
        # The record before this one still has its own.
        stored = left.with_name(f"{key}.{len(trial.rungs)}.pt")
        if left.exists():
            left.replace(stored)
        # An earlier process may have been killed before it wrote the record.
        if stored.exists():
            record |= {"checkpoint": stored.name, "sha256": checksum(stored)}
            sync(stored)
        replace_file(self._record(key), sealed(record))
        self._remove_checkpoints_but(key, record.get("checkpoint"))

    def find(self, key: str) -> PausedTraining | None:
        """What was measured so far; None if no rung was reached, or its files are damaged.

        Raises:
            OSError: What is damaged cannot be moved.
        """
        record = self._record(key)
        try:
            return self._read(record) if os.path.lexists(record) else None
        except DamagedError as error:
            set_aside(record, self._folder.parent / DAMAGED_FOLDER, error, *self._checkpoints(key))
            return None

    def trials(self) -> list[Trial]:
        """Those of all trainings that are paused, and whose files are whole.

        Raises:
            OSError: What is damaged cannot be moved.
        """
        found = (self.find(record.stem) for record in sorted(self._folder.glob("*.json")))
        return [training.trial for training in found if training is not None]

    def forget(self, key: str) -> None:
        """Remove a training whose trial is recorded."""
        remove(self._record(key))
        self._remove_checkpoints_but(key, None)

    def _read(self, path: Path) -> PausedTraining:
        record = unsealed(read(path))
        try:
            trial, curves = trial_of(record["trial"]), curves_of(record["curves"])
            reports, name = reports_of(record["reports"]), record.get("checkpoint")
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise DamagedError("another version wrote it") from error
        checkpoint = None if name is None else self._folder / name
        if checkpoint is not None and checksum(checkpoint) != record["sha256"]:
            raise DamagedError(f"{name} is not the checkpoint that was written")
        return PausedTraining(trial, curves, reports, checkpoint)

    def _remove_checkpoints_but(self, key: str, name: str | None) -> None:
        """Remove the checkpoints of a training but one."""
        for path in self._checkpoints(key):
            if path.name != name:
                remove(path)

    def _checkpoints(self, key: str) -> list[Path]:
        return list(self._folder.glob(f"{key}*.pt"))

    def _record(self, key: str) -> Path:
        return self._folder / f"{key}.json"
