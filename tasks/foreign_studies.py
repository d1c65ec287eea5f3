"""Studies of other tools: recorded in MLflow as earlier ones, and ours read to be written out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
from mlflow.entities import Run

from llmpso.dimension_text import dimension_of
from llmpso.errors import DataError, SpaceError, StorageError
from llmpso.memory.finished import past_trials
from llmpso.memory.past_study import PastStudy, PastTrial
from llmpso.space import SearchSpace
from llmpso.text import one_line
from llmpso.urls import masked_url
from tasks.experiment import SPACE_PREFIX, Experiment
from tasks.names import keys
from tasks.past_studies import left_study, record_past_study
from tasks.patience import STORE_ERRORS
from tasks.store import client
from tasks.tracker import Tracker
from tasks.trial_runs import ended_trials

TABLE = "trials.json"
"""The trials of a study that was read from elsewhere, where MLflow shows them as a table."""


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """All trials of a study, and its space."""

    name: str
    metric: str
    space: SearchSpace
    trials: tuple[PastTrial, ...]


def store_study(
    place: Experiment, past: PastStudy, space: SearchSpace, tags: dict[str, str]
) -> Tracker:
    """Record a study of another tool as one run that has ended.

    Raises:
        StorageError: MLflow does not answer, or refuses.
    """
    params = {f"{SPACE_PREFIX}{key}": repr(space[name]) for name, key in keys(space).items()}
    with _explained(place.tracking_uri), place.run(past.name, params, tags) as study:
        record_past_study(study, past)
        study.record_table(TABLE, _table(past))
        if past.best is not None:
            study.record_summary(
                {"best_value": past.best.value}, f"Read from {tags['imported']}", {}
            )
    return study


def stored_study(tracking_uri: str, run_id: str) -> StoredStudy:
    """The study of a run, with all of its trials.

    Raises:
        DataError: There is no such run, or it is no study.
        StorageError: MLflow does not answer.
    """
    with _explained(tracking_uri):
        run = client(tracking_uri).get_run(run_id)
        study = Tracker(tracking_uri, run.info.experiment_id, run_id)
        trials = past_trials(ended_trials(study))
        left = None if trials else left_study(study, run)
    found = left.trials if left else trials
    if not found:
        raise DataError(f"run {run_id} has no trials; name the run of a study that has ended")
    tags = run.data.tags
    names = dict.fromkeys(name for trial in found for name in trial.params)
    return StoredStudy(
        run.info.run_name or run_id, tags.get("metric", "value"), _space(run, list(names)), found
    )


def _space(run: Run, names: list[str]) -> SearchSpace:
    texts = {
        name: run.data.params.get(f"{SPACE_PREFIX}{key}", "") for name, key in keys(names).items()
    }
    try:
        return SearchSpace({name: dimension_of(text) for name, text in texts.items()})
    except SpaceError as error:
        raise DataError(f"the space of run {run.info.run_id} cannot be read: {error}") from error


def _table(past: PastStudy) -> pd.DataFrame:
    rows = [
        {"value": trial.value, "state": str(trial.state), "fidelity": trial.fidelity}
        | {f"params.{name}": str(value) for name, value in trial.params.items()}
        for trial in past.trials
    ]
    return pd.DataFrame(rows)


@contextmanager
def _explained(tracking_uri: str) -> Iterator[None]:
    try:
        yield
    except STORE_ERRORS as error:
        where = masked_url(tracking_uri)
        raise StorageError(f"MLflow at {where!r} refuses: {one_line(error, 200)}") from error
