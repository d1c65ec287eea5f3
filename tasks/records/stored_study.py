"""A study as it is stored by now, running or not: in MLflow, and on this machine."""

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from mlflow.entities import Run

from llmpso.errors import DataError, LLMPSOError, SpaceError
from llmpso.goals import KNEE, Goals
from llmpso.memory.finished import trials_of
from llmpso.running.pending_records import waiting_trials
from llmpso.space import SearchSpace
from llmpso.space.dimension_text import dimension_of
from llmpso.study.repeats import without_repeats
from llmpso.study.result import StudyResult, best_of
from llmpso.study.stopping import StopReason
from llmpso.text import one_line
from llmpso.trial import Source, Trial
from tasks.records.find_study import find_study, store_answers
from tasks.records.past_studies import left_study
from tasks.records.recorded_trials import ended_trials, has_trials
from tasks.records.reuse import progress
from tasks.records.running_trials import RunningTrial, running_trials
from tasks.store.claims import Holder, holders
from tasks.store.experiment import SPACE_PREFIX, STUDY_TAG
from tasks.store.lock_targets import STUDY_CLAIM
from tasks.store.names import keys
from tasks.store.state_folders import study_folder
from tasks.store.tracker import Tracker

SILENT_SECONDS = 60.0
"""A process that shows no sign of life for so long has ended."""


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """All trials of a study, its space, and what its run says of it."""

    run: Run = field(repr=False)
    tracker: Tracker
    space: SearchSpace
    trials: tuple[Trial, ...]
    """Those of the search that have ended, by number."""
    running: tuple[RunningTrial, ...] = ()
    """What runs now, where it runs on this machine."""
    holder: Holder | None = None
    """The process that runs it."""
    repeats: tuple[Trial, ...] = ()
    """Trainings that repeat the best of them."""

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self.run.info.run_name or self.tracker.run_id

    @property
    def metric(self) -> str:
        """Name and unit of the value."""
        return self.run.data.tags.get("metric", "value")

    @property
    def tags(self) -> dict[str, str]:
        """Those of its run."""
        return dict(self.run.data.tags)

    @property
    def best(self) -> Trial | None:
        """The best trial, of several goals the chosen one; None if there is none yet."""
        with suppress(LLMPSOError):  # none is within the limit of `choose` yet
            return best_of(self.trials, self.repeats, self.goals)
        return None

    @property
    def goals(self) -> Goals:
        """What was lowered together; no names if it was one value."""
        names = next((trial.goals for trial in self.trials if trial.goals), ())
        return Goals(names, self.tags.get("choose", KNEE)) if names else Goals()

    @property
    def result(self) -> StudyResult:
        """The study as `minimize` returns it, as far as it got."""
        reasons = {str(reason): reason for reason in StopReason}
        reason = reasons.get(self.tags.get("stop_reason", ""), StopReason.INTERRUPTED)
        return StudyResult(
            self.trials,
            reason,
            space=self.space,
            metric=self.metric,
            goals=self.goals,
            repeats=self.repeats,
        )

    @property
    def is_running(self) -> bool:
        """Whether a process runs it that showed a sign of life in the last minute."""
        return self.holder is not None and self.holder.silent_seconds < SILENT_SECONDS

    @property
    def is_finished(self) -> bool:
        """Whether it has its result, and is not extended now."""
        return not self.is_running and self.run.info.status == "FINISHED"

    @property
    def status(self) -> str:
        """Its state in words."""
        if self.is_running and self.holder is not None:
            return f"running: process {self.holder.process} on {self.holder.host}"
        if self.is_finished:
            return "finished"
        status = str(self.run.info.status).lower()
        way_on = "; the same command resumes it" if self.tags.get(STUDY_TAG) else ""
        return f"{'interrupted' if status == 'running' else status}{way_on}"

    @property
    def began(self) -> datetime:
        """When its run was started."""
        return datetime.fromtimestamp(self.run.info.start_time / 1000)

    @property
    def seconds(self) -> float:
        """From its start to its end, or to now; of a killed one to its last result."""
        info = self.run.info
        if self.is_running:
            ended = time.time()
        elif info.end_time:
            ended = info.end_time / 1000
        else:
            ended = max((trial.started_at + trial.seconds for trial in self.trials), default=0.0)
        return max(0.0, ended - float(info.start_time) / 1000)


def stored_study(tracking_uri: str, named: str | None = None) -> StoredStudy:
    """A study of a store; see `find_study` for what it may be called.

    Raises:
        DataError: There is no such study, or nothing of it can be shown.
        StorageError: MLflow does not answer.
    """
    run = find_study(tracking_uri, named)
    study = Tracker(tracking_uri, run.info.experiment_id, run.info.run_id)
    with store_answers(tracking_uri):
        ended = _trials(study, run)
    trials = tuple(without_repeats(ended))
    repeats = tuple(trial for trial in ended if trial.source is Source.REPEAT)
    running = running_trials(study.run_id)
    if not trials and not running:
        raise DataError(_nothing(study, run))
    claims = holders(run.data.tags, STUDY_CLAIM)
    holder = max(claims, key=lambda claim: claim.at, default=None)
    space = _space(run, trials, running)
    found = StoredStudy(run, study, space, trials, holder=holder, repeats=repeats)
    if not found.is_running:
        return found
    known = {trial.number for trial in trials}
    return replace(found, running=tuple(now for now in running if now.number not in known))


def _trials(study: Tracker, run: Run) -> tuple[Trial, ...]:
    """Those in MLflow, and those that wait on this machine to be recorded there."""
    found = {trial.number: trial for trial in ended_trials(study)}
    for trial in waiting_trials(study_folder(study.run_id) / "outcomes"):
        known = found.get(trial.number)
        if known is None or progress(trial) > progress(known):
            found[trial.number] = trial
    if not found and (left := left_study(study, run)) is not None:
        return trials_of(left.trials)
    return tuple(found[number] for number in sorted(found))


def _nothing(study: Tracker, run: Run) -> str:
    """Why a study has nothing to show."""
    name = one_line(run.info.run_name or study.run_id, 100)
    if has_trials(study):
        return f"another version of llmpso recorded study {name!r}; its trials cannot be read"
    return f"study {name!r} (run {study.run_id}) has no trials yet"


def _space(run: Run, trials: tuple[Trial, ...], running: list[RunningTrial]) -> SearchSpace:
    tried = [*(trial.params for trial in trials), *(trial.params for trial in running)]
    names = list(dict.fromkeys(name for params in tried for name in params))
    texts = {
        name: run.data.params.get(f"{SPACE_PREFIX}{key}", "") for name, key in keys(names).items()
    }
    try:
        return SearchSpace({name: dimension_of(text) for name, text in texts.items()})
    except SpaceError as error:
        raise DataError(f"the space of run {run.info.run_id} cannot be read: {error}") from error
