"""The trials that earlier runs of a study left in MLflow, as they were recorded."""

import json
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice, takewhile

from mlflow.entities import Run, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from llmpso.running.pending_records import PendingRecord, trial_of
from llmpso.text import one_line
from llmpso.trial import Trial
from tasks.records.reuse import progress
from tasks.records.trial_runs import ADDRESS_TAG, OUTCOME_TAG
from tasks.store.client import paged
from tasks.store.tracker import Tracker

logger = logging.getLogger(__name__)

MOST_READ = 10_000
"""Trials of an earlier study that are read, the newest, where it left no file."""


def found_recorded(study: Tracker, entry: PendingRecord) -> Trial | None:
    """The trial of an entry whose child was written completely, though MLflow did not answer."""
    same = f"tags.`{ADDRESS_TAG}` = '{entry.key}' and attributes.status != 'RUNNING'"
    for _, trial in _complete(study, same):
        if trial.started_at == entry.trial.started_at:
            return trial
    return None


def recorded_trials(study: Tracker) -> dict[str, Trial]:
    """The trials that a study's children hold, by the address of their evaluation.

    Of two records of one evaluation the one counts that got further: a failure was then retried,
    or a pruned training went on when the study was extended.
    """
    found: dict[str, Trial] = {}
    for run, trial in _complete(study):
        address = run.data.tags.get(ADDRESS_TAG, "")
        if address not in found or progress(trial) > progress(found[address]):
            found[address] = trial
    return found


def ended_trials(study: Tracker) -> list[Trial]:
    """The trials of a study's children by number, newest first where there are too many.

    They are as they were recorded; one that was retried or went on occurs once. Repeats of the
    best are among them.
    """
    found: dict[int, Trial] = {}
    for _, trial in islice(_complete(study), MOST_READ):
        known = found.get(trial.number)
        if known is None or progress(trial) > progress(known):
            found[trial.number] = trial
    return [found[number] for number in sorted(found)]


def _complete(
    study: Tracker, condition: str = "attributes.status != 'RUNNING'"
) -> Iterator[tuple[Run, Trial]]:
    """The children that were written completely."""
    killed = RunStatus.to_string(RunStatus.KILLED)
    for run in _children(study, condition):
        trial = _outcome(run.data.tags)
        if trial is not None and run.info.status != killed:
            yield run, trial


def has_trials(study: Tracker) -> bool:
    """Whether a study has children at all, readable or not."""
    return any(_children(study, "attributes.status != 'RUNNING'"))


def close_unfinished(study: Tracker) -> None:
    """Close the children whose writing was interrupted; their content is on disk."""
    killed = RunStatus.to_string(RunStatus.KILLED)
    for run in list(_children(study, "attributes.status = 'RUNNING'")):
        study.store.set_terminated(run.info.run_id, killed)


def _children(study: Tracker, condition: str) -> Iterator[Run]:
    belongs = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{study.run_id}'"
    search = study.store.search_runs
    return paged(partial(search, [study.experiment_id], f"{belongs} and {condition}"))


def _outcome(tags: Mapping[str, str]) -> Trial | None:
    pieces = takewhile(tags.__contains__, (f"{OUTCOME_TAG}.{n}" for n in range(len(tags))))
    text = "".join(tags[name] for name in pieces)
    try:
        return trial_of(json.loads(text)) if text else None
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        logger.warning(
            "a trial of MLflow cannot be read, and is trained again: %s", one_line(text)
        )
        return None
