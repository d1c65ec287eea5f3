"""An experiment of MLflow: where studies begin, and where earlier runs of them are found."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment as MlflowExperiment
from mlflow.entities import LifecycleStage, Param, Run, RunStatus
from sqlalchemy.exc import SQLAlchemyError

from llmpso.errors import SpecError
from llmpso.text import one_line
from llmpso.urls import masked_url
from tasks.store.address import store_address, unusable
from tasks.store.client import client, paged, suppress_code
from tasks.store.patience import STORE_ERRORS, is_unavailable
from tasks.store.state_folders import probe, reason_of
from tasks.store.tracker import Tracker

STUDY_TAG = "llmpso.study"
"""What a study is, as a hash."""

MODEL_TAG = "model"
"""On a study: the registered model that it was for."""

SPACE_PREFIX = "space."
"""Of the parameters of a study that are its hyperparameters, each with its range."""

KIND_TAG, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"
"""Else MLflow takes an experiment for one about prompts, because a model's replies are traced, and
hides descriptions and curves."""

NEWEST_FIRST = ["attributes.start_time DESC"]


@dataclass(frozen=True, slots=True)
class StudyRun:
    """A run of a study, ended or not."""

    study: Tracker
    is_finished: bool
    is_closed: bool
    """Whether it ended, well or not; one whose process was killed looks as if it ran."""
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment of a store."""

    tracking_uri: str
    experiment_id: str

    def start(self, run_name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Tracker:
        """Create a parent run."""
        store = client(self.tracking_uri)
        name = one_line(run_name, 250)
        run = store.create_run(self.experiment_id, run_name=name, tags=dict(tags))
        entries = [Param(key, str(value)) for key, value in params.items()]
        store.log_batch(run.info.run_id, params=entries)
        return Tracker(self.tracking_uri, self.experiment_id, run.info.run_id)

    @contextmanager
    def run(
        self, run_name: str, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> Iterator[Tracker]:
        """A parent run that ends with the block: FINISHED, or FAILED with an error."""
        study, status = self.start(run_name, params, tags), "FAILED"
        try:
            yield study
            status = "FINISHED"
        finally:
            study.close(status)

    def last_study(self, key: str) -> StudyRun | None:
        """The run with a study's key that has not ended well, else the latest.

        A clock may have been set back between two runs; there is one at most that did not end
        well, since the next one resumes it, or takes its key.
        """
        found = paged(partial(self._search, f"tags.`{STUDY_TAG}` = '{key}'", NEWEST_FIRST))
        studies = [self._as_study(run) for run in found]
        return min(studies, key=lambda study: study.is_finished, default=None)

    def open_studies(self, tags: Mapping[str, str]) -> list[StudyRun]:
        """The runs with all of some tags that have not ended, or whose processes were killed."""
        runs = paged(partial(self._search, "attributes.status = 'RUNNING'", None))
        # Compared here: a filter of MLflow's cannot hold every text.
        return [self._as_study(run) for run in runs if tags.items() <= run.data.tags.items()]

    def finished_studies(self, tag: str, quoted_value: str, n_most: int) -> list[Tracker]:
        """The latest runs with a tag that ended well, the newest first.

        Args:
            tag: Its key.
            quoted_value: Its value in quotes.
            n_most: No more than so many.
        """
        condition = f"tags.`{tag}` = {quoted_value} and attributes.status = 'FINISHED'"
        runs = client(self.tracking_uri).search_runs(
            [self.experiment_id], condition, order_by=NEWEST_FIRST, max_results=n_most
        )
        return [self._as_study(run).study for run in runs]

    def _search(self, condition: str, order: list[str] | None, page_token: str | None) -> Any:
        return client(self.tracking_uri).search_runs(
            [self.experiment_id], condition, order_by=order, page_token=page_token
        )

    def _as_study(self, run: Run) -> StudyRun:
        status = RunStatus.from_string(run.info.status)
        return StudyRun(
            Tracker(self.tracking_uri, run.info.experiment_id, run.info.run_id),
            status == RunStatus.FINISHED,
            RunStatus.is_terminated(status),
            run.data.tags,
        )


def find_experiment(uri: str, name: str) -> Experiment | None:
    """An experiment of a store; None if there is none."""
    found = client(uri).get_experiment_by_name(name)
    return None if found is None else Experiment(uri, found.experiment_id)


def open_experiment(name: str, metric: str) -> Experiment:
    """An experiment of the store that the environment names.

    Args:
        name: Experiment; made if it is not there.
        metric: Name and unit of the value; a tag, and the proof that the store can be written.

    Raises:
        SpecError: The store cannot be reached or written.
    """
    uri = store_address()
    try:
        store, experiment = client(uri), _experiment(client(uri), name)
        store.set_experiment_tag(experiment.experiment_id, "metric", metric)
        store.set_experiment_tag(experiment.experiment_id, KIND_TAG, MODEL_TRAINING)
    except (*STORE_ERRORS, SQLAlchemyError) as error:
        does = "does not answer" if is_unavailable(error) else f"refuses experiment {name!r}"
        raise unusable(uri, f"it {does} ({one_line(error, 200)})") from error
    _check_registry(store)
    _check_artifacts(experiment)
    return Experiment(uri, experiment.experiment_id)


def _experiment(store: MlflowClient, name: str) -> MlflowExperiment:
    """The experiment of a name, made if it is not there.

    Raises:
        SpecError: It was deleted.
    """
    found = store.get_experiment_by_name(name)
    if found is None:
        # Another first command may be faster.
        with suppress_code("RESOURCE_ALREADY_EXISTS"):
            store.create_experiment(name)
        return _experiment(store, name)
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        raise SpecError(
            f"experiment {name!r} was deleted in MLflow; restore it with `mlflow experiments "
            f"restore --experiment-id {found.experiment_id}`, or name another one with "
            "--experiment"
        )
    return found


def _check_registry(store: MlflowClient) -> None:
    """Refuse a store of models that cannot be used; MLflow lets it be another one."""
    try:
        store.search_registered_models(max_results=1)
    except (*STORE_ERRORS, SQLAlchemyError, ModuleNotFoundError) as error:
        raise SpecError(
            f"models cannot be registered at {masked_url(mlflow.get_registry_uri())!r} "
            f"({one_line(error, 200)}); correct MLFLOW_REGISTRY_URI, or leave it out"
        ) from error


def _check_artifacts(experiment: MlflowExperiment) -> None:
    """Refuse a local folder that cannot be written; a server looks after its own."""
    location = experiment.artifact_location
    if urlsplit(location).scheme not in ("", "file"):
        return
    folder = Path(url2pathname(urlsplit(location).path))
    try:
        probe(folder)
    except OSError as error:
        raise SpecError(
            f"models of experiment {experiment.name!r} cannot be stored in {folder} "
            f"({reason_of(error)}); name another --experiment, or another store "
            "in MLFLOW_TRACKING_URI"
        ) from error
