"""What a study measured, on disk until MLflow has it: a kill at any moment loses none of it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from llmpso.errors import StorageError
from llmpso.running.durable_files import made_folder
from llmpso.running.evaluate import is_transient
from llmpso.running.fingerprint import evaluation_key, training_key
from llmpso.running.outcome import Outcome, outcome_to_bytes
from llmpso.running.outcome_files import unrecorded_outcomes, write_outcome
from llmpso.running.paused_trainings import PausedTrainings
from llmpso.running.pending_records import PendingRecord, PendingRecords
from llmpso.trial import Trial, TrialState
from tasks.records.reuse import progress
from tasks.records.trial_runs import save_files
from tasks.store.patience import way_out


class StudyFiles:
    """The files of one study.

    Args:
        folder: Where they are.
        fingerprint: That of the objective.

    Attributes:
        folder: As given.
        pending: Evaluations that MLflow has not yet.
        paused: Trainings that stopped at a rung, and may continue.
        worker_outcomes: Folder that worker processes write outcomes to.

    Raises:
        OSError: The folder cannot be used.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self._fingerprint = fingerprint
        self.pending = PendingRecords(folder / "outcomes")
        self.paused = PausedTrainings(folder / "paused")
        self.worker_outcomes = made_folder(folder / "worker_outcomes")

    def training(self, trial: Trial) -> str:
        """The key of a trial's training, at any fidelity."""
        return training_key(self._fingerprint, trial)

    def put(self, outcome: Outcome) -> PendingRecord | None:
        """Store an outcome on disk; None if its training continues later.

        Raises:
            StorageError: There is no room for it.
        """
        outcome = outcome if outcome.file else self._with_file(outcome)
        trial, entry = outcome.trial, None
        training = self.training(trial)
        try:
            if trial.state is TrialState.PENDING:
                self.paused.save(training, outcome)
            else:
                save = partial(save_files, outcome)
                entry = self.pending.put(self._key(trial), outcome, save)
                self.paused.forget(training)
            if outcome.file is not None:
                outcome.file.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"evaluation {trial.number} cannot be stored in {self.folder}: {error.strerror}; "
                f"{way_out(error)}, and run the same command again: it continues after the last "
                "one stored"
            ) from error
        return entry

    def take_in(self, recorded: Mapping[str, Trial]) -> int:
        """Store what worker processes had measured before the study's process was killed.

        Returns:
            Place of the part of a training that ends next; see `Trial.order`.
        """
        waiting = {entry.key: entry.trial for entry in self.pending.entries()}
        place = first_free_place(*recorded.values(), *waiting.values(), *self.paused.trials())
        for outcome in unrecorded_outcomes(self.worker_outcomes):
            failure = outcome.trial.failure
            is_of_use = failure is None or not is_transient(failure.kind)
            if is_of_use and not self._has(outcome.trial, recorded, waiting):
                self.put(arrived(outcome, place))
                place += 1
            elif outcome.file is not None:
                outcome.file.unlink(missing_ok=True)
        return place

    def unrecorded(self, recorded: Mapping[str, Trial]) -> list[PendingRecord]:
        """What was measured, but not wholly recorded, when the last process ended."""
        left = []
        for entry in self.pending.entries():
            if entry.key in recorded and recorded[entry.key].state == entry.trial.state:
                self.pending.remove(entry)
            else:
                left.append(entry)
        return left

    def _has(self, trial: Trial, *stored: Mapping[str, Trial]) -> bool:
        """Whether what a worker wrote was stored before the process was killed."""
        key = self._key(trial)
        known = [trials[key] for trials in stored if key in trials]
        if trial.state is not TrialState.PENDING:
            # A failure may have been retried.
            return any(progress(one) >= progress(trial) for one in known)
        paused = self.paused.find(self.training(trial))
        return bool(known) or (paused is not None and len(paused.trial.rungs) >= len(trial.rungs))

    def _with_file(self, outcome: Outcome) -> Outcome:
        """An outcome with a file that outlasts a kill: its model's files take far longer."""
        # Where there is no room for it, the files that follow say so.
        with suppress(OSError):
            return replace(
                outcome, file=write_outcome(outcome_to_bytes(outcome), self.worker_outcomes)
            )
        return outcome

    def _key(self, trial: Trial) -> str:
        return evaluation_key(self._fingerprint, trial, trial.fidelity)


def arrived(outcome: Outcome, place: int) -> Outcome:
    """An outcome as it is stored, with its place in the order in which they came."""
    trial = outcome.trial
    return replace(outcome, trial=replace(trial, checkpoint="", order=(*trial.order, place)))


def first_free_place(*trials: Trial) -> int:
    """The place after those of all trials."""
    return 1 + max((place for trial in trials for place in trial.order), default=-1)
