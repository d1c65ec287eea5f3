"""All evaluations of one study: reuses earlier ones and records new ones without losing any."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path

from llmpso.errors import BusyError, StorageError
from llmpso.running.outcome import Outcome
from llmpso.running.pending_records import PendingRecord
from llmpso.study.cost import TrainingCost
from llmpso.study.repeats import without_repeats
from llmpso.text import plural
from llmpso.trial import Trial, TrialState
from tasks.records.incumbent_curve import IncumbentCurve
from tasks.records.recorded_trials import close_unfinished, found_recorded, recorded_trials
from tasks.records.reuse import Allowed, found_for, progress, reusable_trials, reused_for
from tasks.records.study_files import StudyFiles, arrived
from tasks.records.trial_runs import record_trial, supersede
from tasks.store.patience import STORE_ERRORS, is_unavailable, patiently, recording
from tasks.store.state_folders import forget_study, study_folder, usable_state
from tasks.store.tracker import Tracker

logger = logging.getLogger(__name__)

QUIET_SECONDS = 5.0
"""After a failed delivery, evaluations continue for so long before the store is tried again."""

N_WRITERS = 4
"""Records under way to a server at once; SQLite takes one writer at a time."""

CLOSE_SECONDS = 10.0
"""How long a study that failed or was interrupted waits for what is under way."""


class Ledger:
    """What a study measured, in MLflow or on the way there.

    An evaluation is stored on disk as soon as it is measured, and removed there once MLflow has
    it: threads of the ledger do that while the study continues. It also continues while MLflow
    does not answer; `deliver` waits for it in the end.

    Args:
        study: Where the records go. Evaluations that it has already are reused.
        fingerprint: That of the objective.
        allowed: What a training may take: one that was killed for less is trained again.
        check_lock: Raises a `BusyError` if another process has the study by now.

    Attributes:
        study: As given.
        n_reusable: Evaluations that were there from the start.
        reusable_cost: What they cost, in full trainings.
        reused: Numbers of the trials that these answered.
        worker_outcomes: Folder that worker processes write outcomes to.

    Raises:
        StorageError: The files of the study cannot be used.
    """

    def __init__(
        self,
        study: Tracker,
        fingerprint: str,
        allowed: Allowed = {},  # noqa: B006
        check_lock: Callable[[], None] = lambda: None,
    ) -> None:
        self.study = study
        self._check_lock = check_lock
        with usable_state(study.run_id):
            self._files = StudyFiles(study_folder(study.run_id), fingerprint)
        self.worker_outcomes = self._files.worker_outcomes
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self._refusal: Exception | None = None
        self._is_closing = False
        self._under_way: set[Future[None]] = set()
        self._attempted: set[Path] = set()
        n_writers = 1 if study.tracking_uri.startswith("sqlite") else N_WRITERS
        self._writers = ThreadPoolExecutor(n_writers, thread_name_prefix="ledger")
        close_unfinished(study)
        recorded = recorded_trials(study)
        self._incumbents = IncumbentCurve(study)
        # Of a trial that went further the last run counts.
        by_progress = sorted(recorded.values(), key=progress)
        self._links = {trial.number: trial.links for trial in by_progress}
        with usable_state(study.run_id):
            self._n_ended = self._files.take_in(recorded)
            self._waiting = {entry.folder: entry for entry in self._files.unrecorded(recorded)}
        left = [entry.trial for entry in self._waiting.values()]
        self._stored = reusable_trials([*recorded.values(), *left], fingerprint, allowed)
        self._recorded_before = defaultdict[str, list[Trial]](list)
        for trial in by_progress:
            self._recorded_before[self._files.training(trial)].append(trial)
        self.n_reusable = len(self._stored)
        self.reusable_cost = TrainingCost(self._stored.values()).total
        self._n_known = len(without_repeats(list(self._stored.values())))
        self.reused: set[int] = set()

    @property
    def recorded(self) -> list[Trial]:
        """Earlier evaluations that were not asked for yet."""
        return list(self._stored.values())

    @property
    def n_unused(self) -> int:
        """Earlier evaluations that were not proposed again."""
        return len(without_repeats(list(self._stored.values())))

    @property
    def n_known(self) -> int:
        """Trials of an earlier search that this one begins with; 0 once one had to be trained."""
        return self._n_known

    @property
    def n_ended(self) -> int:
        """Place of the part of a training that ends next; see `Trial.order`."""
        return self._n_ended

    def answer(self, trial: Trial) -> Trial | None:
        """The same evaluation as it was measured before; None if it must be measured."""
        key = self._files.training(trial)
        paused = self._files.paused.find(key) if trial.checkpoint else None
        # A trial that was pruned at the end of a study may have gone further in its extension.
        earlier = (self._stored.get(key), paused.trial if paused else None)
        found = next((as_asked for one in earlier if (as_asked := found_for(trial, one))), None)
        if found is None:
            self._n_known = 0
            return None
        if found.state is not TrialState.PENDING:
            del self._stored[key]
        self.reused.add(trial.number)
        return reused_for(trial, found)

    def raced(self, trial: Trial) -> Trial:
        """A trial that leaves its training's state with the study's files."""
        path = self._files.paused.checkpoint(self._files.training(trial))
        return replace(trial, checkpoint=str(path))

    def prune(self, trial: Trial) -> Trial:
        """Record a trial that goes no further than its last rung.

        Raises:
            StorageError: There is no room for it, or MLflow refused an earlier one.
        """
        key = self._files.training(trial)
        stored = self._stored.pop(key, None)
        if stored is not None and stored.fidelity >= trial.fidelity:
            self.reused.add(trial.number)
            return reused_for(trial, stored)
        paused = self._files.paused.find(key)
        if paused is None:
            raise StorageError(f"evaluation {trial.number} is gone from {self._files.folder}")
        return self.record(paused.pruned())

    def record(self, outcome: Outcome) -> Trial:
        """Store an evaluation on disk; it is recorded in MLflow later.

        One whose training continues later is stored on disk only.

        Raises:
            StorageError: There is no room for it, or MLflow refused an earlier one.
        """
        with self._lock:
            place, self._n_ended = self._n_ended, self._n_ended + 1
        outcome = arrived(outcome, place)
        trial, entry = outcome.trial, self._files.put(outcome)
        if entry is not None:
            # A trial that was pruned at the end of a study has gone further than it had.
            self._stored.pop(self._files.training(trial), None)
        if self._refusal is not None:
            raise self._refusal
        if entry is None:
            return trial
        with self._lock:
            self._waiting[entry.folder] = entry
        self._deliver_soon()
        return replace(trial, warnings=entry.trial.warnings)

    def linked(self, trial: Trial) -> Trial:
        """A trial with the links that it has by now."""
        return replace(trial, links=self._links.get(trial.number, trial.links))

    def check(self) -> None:
        """Refuse to go on if another process has the study by now; not while MLflow is away.

        Raises:
            BusyError: It does.
        """
        try:
            self._check_lock()
        except STORE_ERRORS as error:
            if not is_unavailable(error):
                raise

    def note_incumbent(self, trial: Trial | None) -> None:
        """Add the best value to the study's curve, once; recorded like an evaluation, later."""
        if self._incumbents.add(trial):
            self._deliver_soon()

    def deliver(self) -> None:
        """Record all waiting evaluations in MLflow.

        Raises:
            StorageError: It was unavailable for too long, or refused some; all evaluations are
            still on disk.
            BusyError: Another process has the study by now.
        """
        wait(self._under_way.copy())
        patiently(self._check_lock, "see who runs the study")
        patiently(self._deliver, f"record {plural(len(self._waiting), 'evaluation')}")
        patiently(self._incumbents.deliver, "record the best values")
        patiently(partial(close_unfinished, self.study), "close interrupted records")

    def close(self) -> None:
        """End the threads; evaluations not recorded in MLflow by then stay on disk."""
        wait(self._under_way.copy(), CLOSE_SECONDS)
        self._is_closing = True
        self._writers.shutdown(cancel_futures=True)

    def forget(self) -> None:
        """Remove the files of a study that is recorded to its end, but not what was set aside."""
        forget_study(self.study.run_id)

    def _deliver_soon(self) -> None:
        under_way = self._writers.submit(self._deliver_unless_quiet)
        self._under_way.add(under_way)
        under_way.add_done_callback(self._under_way.discard)

    def _deliver_unless_quiet(self) -> None:
        if self._is_quiet():
            return
        try:
            self._deliver()
            self._incumbents.deliver()
        except (BusyError, StorageError) as error:
            self._refusal = error
        except STORE_ERRORS:
            self._be_quiet()

    def _deliver(self) -> None:
        """Record what waits; threads share the work.

        Raises:
            StorageError: MLflow refused one, or it is not whole any more.
            BusyError: Another process has the study by now.
            MlflowException: MLflow does not answer; also an `OSError`.
        """
        while not self._is_closing and (entry := self._taken()):
            try:
                self._check_lock()
                found = self._recorded(entry)
            except BaseException:
                with self._lock:
                    self._waiting[entry.folder] = entry
                raise
            self._links[found.number] = found.links
            self._files.pending.remove(entry)

    def _recorded(self, entry: PendingRecord) -> Trial:
        with usable_state(self.study.run_id):
            is_whole = self._files.pending.is_whole(entry)
        if not is_whole:
            raise StorageError(
                f"evaluation {entry.trial.number} was damaged on the disk before MLflow had it; "
                "run the same command again to train it again"
            )
        with recording(f"evaluation {entry.trial.number}"):
            if entry.folder in self._attempted and (found := found_recorded(self.study, entry)):
                return found
            self._attempted.add(entry.folder)
            # First, so that a kill in between leaves no two runs that say the same.
            self._supersede_before(entry.trial)
            return record_trial(self.study, entry, self._check_lock)

    def _supersede_before(self, trial: Trial) -> None:
        """Mark the earlier runs of a training that has gone further now."""
        for earlier in self._recorded_before.get(self._files.training(trial), ()):
            if progress(earlier) <= progress(trial):
                supersede(self.study, earlier)

    def _taken(self) -> PendingRecord | None:
        with self._lock:
            first = next(iter(self._waiting), None)
            return None if first is None else self._waiting.pop(first)

    def _is_quiet(self) -> bool:
        return time.monotonic() < self._quiet_until

    def _be_quiet(self) -> None:
        """Wait before the store is tried again."""
        self._quiet_until = time.monotonic() + QUIET_SECONDS
        waiting = plural(len(self._waiting), "evaluation waits", "evaluations wait")
        logger.warning("MLflow does not answer: %s on disk", waiting)
