"""A study's record from its first evaluation to its last, over as many processes as it takes."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mlflow.entities import Dataset
from prefect import get_run_logger

from llmpso.errors import BusyError, StorageError
from llmpso.text import one_line, plural
from tasks.records.datasets import TUNING, record_input
from tasks.records.flow_runs import mark_crashed
from tasks.records.ledger import Ledger
from tasks.records.reuse import Allowed
from tasks.store.experiment import STUDY_TAG, Experiment, StudyRun
from tasks.store.lock import Lock
from tasks.store.lock_targets import study_lock
from tasks.store.patience import STORE_ERRORS, patiently
from tasks.store.tracker import Tracker

FLOW_RUN_TAG = "prefect.flow_run_id"

WORKERS_TAG = "llmpso.workers"
"""Number of workers that a study's batch and swarm sizes follow."""


@dataclass(frozen=True, slots=True)
class StudyIdentity:
    """What a study is, where it is recorded and under what name."""

    experiment: Experiment
    key: str
    """Hash of all that decides its trials."""
    fingerprint: str
    """That of its objective."""
    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    origin: Mapping[str, str]
    """Tags that say who runs it, with which code."""
    dataset: Dataset | None
    """The data, if it is known."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """Tags that say how far it is to go: an earlier run that went as far is not resumed."""
    allowed: Allowed = field(default_factory=dict)
    """What a training may take."""


@contextmanager
def open_study(identity: StudyIdentity, flow_run_id: str, *, resume: bool) -> Iterator[Ledger]:
    """The ledger of a study: that of a run of it that has not gone so far, else a new one.

    A run that was interrupted has not, and one that ended after fewer evaluations or by other
    limits has not; one that did all that is asked has, and a new study starts.

    The run ends with the block: FINISHED, FAILED with an error, KILLED when interrupted.

    Args:
        identity: The study.
        flow_run_id: Who runs it now.
        resume: Whether to resume such a run; else an interrupted one is closed as KILLED.

    Raises:
        BusyError: The same study is being run, and `resume` asks for it; or another process took
            it over while this one was suspended, and has the run from then on.
    """
    study, lock = _continued(identity, flow_run_id, resume) or _started(identity, flow_run_id)
    status = "KILLED"
    try:
        record_input(study, study.run_id, identity.dataset, TUNING)
        ledger = Ledger(study, identity.fingerprint, identity.allowed, lock.check_after_silence)
        if ledger.n_reusable:
            get_run_logger().info("resuming with %s", plural(ledger.n_reusable, "evaluation"))
        with closing(ledger):
            yield ledger
        patiently(lock.check, "end the study")
        status = "FINISHED"
    except (*STORE_ERRORS, StorageError) as error:
        status = "FAILED"
        if explained := _explained(study):
            raise explained from error
        raise
    except Exception:
        status = "FAILED"
        raise
    finally:
        if not _is_taken_over(lock):
            _close(study, status)
        lock.release()
    ledger.forget()


def _is_taken_over(lock: Lock) -> bool:
    """Whether another process has the study by now; not known while MLflow does not answer."""
    with suppress(*STORE_ERRORS):
        try:
            lock.check()
        except BusyError:
            return True
    return False


def _explained(study: Tracker) -> StorageError | None:
    """What is behind an error of the store, if the study was deleted meanwhile."""
    part, way_back = study.deleted_part()
    if not part:
        return None
    return StorageError(
        f"{part} was deleted in MLflow while the study ran; restore it with {way_back}, and "
        "run the same command again: all measurements are stored"
    )


def _started(identity: StudyIdentity, flow_run_id: str) -> tuple[Tracker, Lock]:
    own = {STUDY_TAG: identity.key, FLOW_RUN_TAG: flow_run_id}
    tags = {**identity.tags, **identity.origin, **identity.asked, **own}
    study = identity.experiment.start(identity.name, identity.params, tags)
    return study, study_lock(study)


def _continued(
    identity: StudyIdentity, flow_run_id: str, resume: bool
) -> tuple[Tracker, Lock] | None:
    """The last run of the study if it is to be resumed."""
    last = identity.experiment.last_study(identity.key)
    if last is None or (last.is_finished and not (resume and _differs(identity, last))):
        return None
    try:
        lock = study_lock(last.study)
    except BusyError:
        if resume:
            raise
        return None
    if last.tags.get(FLOW_RUN_TAG, flow_run_id) != flow_run_id:
        mark_crashed(last.tags[FLOW_RUN_TAG])
    if resume:
        # The options of the first run decide its trials, also if another flow resumes it.
        now = {name: tag for name, tag in identity.tags.items() if name != WORKERS_TAG}
        own = {FLOW_RUN_TAG: flow_run_id}
        last.study.reopen({**now, **identity.origin, **identity.asked, **own})
        return last.study, lock
    with lock:
        _abandon(last, identity.fingerprint)
    return None


def _differs(identity: StudyIdentity, last: StudyRun) -> bool:
    """Whether a run was to go another way than is asked now."""
    return any(last.tags.get(name) != asked for name, asked in identity.asked.items())


def close_left_open(identity: StudyIdentity, ended: Mapping[str, Mapping[str, str]]) -> None:
    """Close the runs that killed processes left open and that are not resumed.

    Args:
        identity: Whose runs: those with its tags. One with its key is resumed.
        ended: Tags, by run, of those that had done what they were for; the others are KILLED.
    """
    for last in identity.experiment.open_studies(identity.tags):
        run_id = last.study.run_id
        if last.tags.get(STUDY_TAG) == identity.key:
            continue
        with suppress(BusyError), study_lock(last.study):
            last.study.record_tags(ended.get(run_id, {}))
            _abandon(last, identity.fingerprint, "FINISHED" if run_id in ended else "KILLED")


def _abandon(last: StudyRun, fingerprint: str, status: str = "KILLED") -> None:
    """Record what an interrupted run measured, and close it."""
    ledger = Ledger(last.study, fingerprint)
    ledger.deliver()
    last.study.record_tags({STUDY_TAG: ""})
    if not last.is_closed:
        last.study.close(status)
    ledger.forget()


def _close(study: Tracker, status: str) -> None:
    """End the run; an error here must not hide the one that ended the study."""
    if status == "FINISHED":
        patiently(partial(study.close, status), "end the study")
        return
    try:
        study.close(status)
    except STORE_ERRORS as error:
        get_run_logger().warning(
            "the study's run cannot be ended as %s: %s", status, one_line(error, 200)
        )
