"""What MLflow keeps of a study: one parent run, one child per evaluation, the model of each."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
from alembic.util.exc import CommandError
from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage, Metric, Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from sqlalchemy.exc import SQLAlchemyError

from llmpso.errors import SpecError
from llmpso.escaping import paragraphs
from llmpso.text import one_line
from llmpso.trial import Trial
from llmpso.urls import masked_url
from tasks.new_store import database_file, make_store
from tasks.patience import STORE_ERRORS, is_away
from tasks.state import probe, words
from tasks.store_address import check_store, store_address, unusable
from tasks.store_file import refusal_of

T = TypeVar("T")

STUDY_TAG = "llmpso.study"
"""What a study is, as a hash."""

KIND_TAG, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"
"""Else MLflow takes an experiment for one about prompts, because a model's replies are traced, and
hides descriptions and curves."""


@dataclass(frozen=True, slots=True)
class StudyRun:
    """Where the records of one study go; small, so that it travels to every task."""

    tracking_uri: str
    experiment_id: str
    run_id: str


@cache
def client(tracking_uri: str) -> MlflowClient:
    """One client per process and store; the database is made if it is not there.

    Raises:
        SpecError: The store cannot be used, which is known before it is asked anything.
    """
    check_store(tracking_uri)
    try:
        make_store(tracking_uri)
        return MlflowClient(tracking_uri)
    except ModuleNotFoundError as error:
        way_out = f"install it: pip install {error.name}"
        raise unusable(tracking_uri, f"package {error.name} is not there", way_out) from error
    except (*STORE_ERRORS, SQLAlchemyError, CommandError) as error:
        path = database_file(tracking_uri)
        known = refusal_of(path, masked_url(tracking_uri)) if path is not None else ""
        raise unusable(tracking_uri, known or one_line(error, 120)) from error


def paged(search: Callable[..., PagedList[T]]) -> Iterator[T]:
    """All that a search finds; a store gives no more than a page at a time.

    Args:
        search: Takes the `page_token` of the next page.
    """
    token: str | None = None
    while token != "":
        page = search(page_token=token)
        yield from page
        token = page.token or ""


def open_experiment(name: str, metric: str) -> tuple[str, str]:
    """An experiment of the store that the environment names.

    Args:
        name: Experiment; made if it is not there.
        metric: Name and unit of the value; a tag, and the proof that the store can be written.

    Returns:
        The tracking URI and the experiment's id.

    Raises:
        SpecError: The store cannot be reached or written.
    """
    uri = store_address()
    try:
        store, experiment = client(uri), _experiment(client(uri), name)
        store.set_experiment_tag(experiment.experiment_id, "metric", metric)
        store.set_experiment_tag(experiment.experiment_id, KIND_TAG, MODEL_TRAINING)
    except (*STORE_ERRORS, SQLAlchemyError) as error:
        does = "does not answer" if is_away(error) else f"refuses experiment {name!r}"
        raise unusable(uri, f"it {does} ({one_line(error, 200)})") from error
    _check_registry(store)
    _check_artifacts(experiment)
    return uri, experiment.experiment_id


def _experiment(store: MlflowClient, name: str) -> Experiment:
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
            f"experiment {name!r} was deleted in MLflow; bring it back with `mlflow experiments "
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
            f"({one_line(error, 200)}); mend MLFLOW_REGISTRY_URI, or leave it out"
        ) from error


def _check_artifacts(experiment: Experiment) -> None:
    """Refuse a local folder that cannot be written; a server looks after its own."""
    location = experiment.artifact_location
    if urlsplit(location).scheme not in ("", "file"):
        return
    folder = Path(url2pathname(urlsplit(location).path))
    try:
        probe(folder)
    except OSError as error:
        raise SpecError(
            f"models of experiment {experiment.name!r} cannot be kept in {folder} "
            f"({words(error)}); name another --experiment, or another store in MLFLOW_TRACKING_URI"
        ) from error


def start_study(
    uri: str,
    experiment_id: str,
    run_name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> StudyRun:
    """Create the parent run."""
    store = client(uri)
    run = store.create_run(experiment_id, run_name=one_line(run_name, 250), tags=dict(tags))
    entries = [Param(key, str(value)) for key, value in params.items()]
    store.log_batch(run.info.run_id, params=entries)
    return StudyRun(uri, experiment_id, run.info.run_id)


@dataclass(frozen=True, slots=True)
class LastStudy:
    """The latest run of a study, ended or not."""

    study: StudyRun
    is_finished: bool
    is_closed: bool
    """Whether it ended, well or not; one whose process was killed looks as if it ran."""
    tags: Mapping[str, str]


def last_study(uri: str, experiment_id: str, key: str) -> LastStudy | None:
    """The run with a study's key that has not ended well, else the latest.

    A clock may have been set back between two runs; there is one at most that did not end well,
    since the next one goes on with it, or takes its key.
    """
    search = client(uri).search_runs
    order = ["attributes.start_time DESC"]
    found = paged(
        partial(search, [experiment_id], f"tags.`{STUDY_TAG}` = '{key}'", order_by=order)
    )
    studies = [_as_study(uri, run) for run in found]
    return min(studies, key=lambda study: study.is_finished, default=None)


def open_studies(uri: str, experiment_id: str, tags: Mapping[str, str]) -> list[LastStudy]:
    """The runs with all of some tags that have not ended, or whose processes were killed."""
    is_open = "attributes.status = 'RUNNING'"
    runs = paged(partial(client(uri).search_runs, [experiment_id], is_open))
    # Compared here: a filter of MLflow's cannot hold every text.
    return [_as_study(uri, run) for run in runs if tags.items() <= run.data.tags.items()]


def finished_study(uri: str, experiment_id: str, tag: str, value: str) -> StudyRun | None:
    """The latest run with a tag that ended well."""
    runs = client(uri).search_runs(
        [experiment_id],
        f"tags.`{tag}` = '{value}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return _as_study(uri, runs[0]).study if runs else None


def _as_study(uri: str, run: Run) -> LastStudy:
    status = RunStatus.from_string(run.info.status)
    return LastStudy(
        StudyRun(uri, run.info.experiment_id, run.info.run_id),
        status == RunStatus.FINISHED,
        RunStatus.is_terminated(status),
        run.data.tags,
    )


def reopen_study(study: StudyRun, tags: Mapping[str, str]) -> None:
    """Go on with a parent run that ended too early."""
    store = client(study.tracking_uri)
    store.update_run(study.run_id, status=RunStatus.to_string(RunStatus.RUNNING))
    store.log_batch(study.run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def record_incumbent(study: StudyRun, number: int, value: float) -> None:
    """Add the best value so far to the parent's curve, at the number of its evaluation."""
    client(study.tracking_uri).log_metric(study.run_id, "best_value", value, step=number)


def recorded_incumbents(study: StudyRun) -> set[int]:
    """Numbers of the trials that are points of the parent's curve."""
    points = client(study.tracking_uri).get_metric_history(study.run_id, "best_value")
    return {point.step for point in points}


def record_text(study: StudyRun, path: str, text: str) -> None:
    """Keep a text file on the parent run; an empty one is left out."""
    if text:
        client(study.tracking_uri).log_text(study.run_id, text, path)


def recorded_text(study: StudyRun, path: str) -> str:
    """A text file of the parent run; empty if there is none."""
    folder, _, _ = path.rpartition("/")
    listed = client(study.tracking_uri).list_artifacts(study.run_id, folder)
    if path not in {entry.path for entry in listed}:
        return ""
    with tempfile.TemporaryDirectory() as scratch:
        store = client(study.tracking_uri)
        return Path(store.download_artifacts(study.run_id, path, scratch)).read_text("utf-8")


def record_folder(study: StudyRun, folder: Path, path: str) -> None:
    """Keep all files of a folder on the parent run, below `path`."""
    client(study.tracking_uri).log_artifacts(study.run_id, str(folder), path)


def run_url(study: StudyRun) -> str:
    """The page of the parent run; empty if the store is no server."""
    if urlsplit(study.tracking_uri).scheme not in ("http", "https"):
        return ""
    base = masked_url(study.tracking_uri).rstrip("/")
    # The page of a run for prompts, MLflow's default, shows no description and no curves.
    view = "workflowType=machine_learning"
    return f"{base}/#/experiments/{study.experiment_id}/runs/{study.run_id}?{view}"


def record_summary(
    study: StudyRun, figures: Mapping[str, float], description: str, tags: Mapping[str, str]
) -> None:
    """Write the study's figures and tags, and a description in Markdown, on the parent run."""
    client(study.tracking_uri).log_batch(
        study.run_id,
        metrics=finite(figures, milliseconds(time.time()), step=0),
        tags=[
            RunTag(MLFLOW_RUN_NOTE, description),
            *(RunTag(key, value) for key, value in tags.items()),
        ],
    )


def recorded_tags(study: StudyRun) -> dict[str, str]:
    """The parent's tags."""
    return dict(client(study.tracking_uri).get_run(study.run_id).data.tags)


def record_tags(study: StudyRun, tags: Mapping[str, str]) -> None:
    """Write tags on the parent run."""
    entries = [RunTag(key, value[:500]) for key, value in tags.items()]
    client(study.tracking_uri).log_batch(study.run_id, tags=entries)


@contextmanager
def recorded(
    uri: str,
    experiment_id: str,
    run_name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> Iterator[StudyRun]:
    """A parent run that ends with the block: FINISHED, or FAILED with an error."""
    study, status = start_study(uri, experiment_id, run_name, params, tags), "FAILED"
    try:
        yield study
        status = "FINISHED"
    finally:
        close_study(study, status)


def deleted_part(study: StudyRun) -> tuple[str, str]:
    """What of a study somebody deleted in MLflow, and how it comes back; empty if nothing."""
    store, at = (
        client(study.tracking_uri),
        f"MLFLOW_TRACKING_URI={masked_url(study.tracking_uri)!r}",
    )
    with suppress(*STORE_ERRORS):
        experiment = store.get_experiment(study.experiment_id)
        if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
            way_back = f"experiments restore --experiment-id {study.experiment_id}"
            return f"experiment {experiment.name!r}", f"`{at} mlflow {way_back}`"
        if store.get_run(study.run_id).info.lifecycle_stage != LifecycleStage.ACTIVE:
            return f"run {study.run_id}", f"`{at} mlflow runs restore --run-id {study.run_id}`"
    return "", ""


def close_study(study: StudyRun, status: str) -> None:
    """End the parent run as FINISHED, FAILED or KILLED."""
    client(study.tracking_uri).set_terminated(study.run_id, status)


@contextmanager
def suppress_code(code: str) -> Iterator[None]:
    """Go on where MLflow refuses with a code such as `RESOURCE_DOES_NOT_EXIST`."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def register_model(study: StudyRun, trial: Trial, name: str) -> str:
    """Register a trial's model, unless it is; `name/version`, or nothing if it kept no model."""
    if "model" not in trial.links:
        return ""
    ours = f"name = '{name}' and run_id = '{trial.links['run']}'"
    for version in paged(partial(client(study.tracking_uri).search_model_versions, ours)):
        return f"{name}/{version.version}"
    mlflow.set_tracking_uri(study.tracking_uri)
    tags = {"value": f"{trial.value:.6g}", "study": study.run_id, "source": str(trial.source)}
    return f"{name}/{mlflow.register_model(trial.links['model'], name, tags=tags).version}"


def describe_model(uri: str, name: str, objective: str) -> None:
    """Write on a registered model's page what it does and how to load it, unless somebody has.

    Args:
        uri: The store.
        name: Of the registered model.
        objective: What it was tuned for.
    """
    store = client(uri)
    if not store.get_registered_model(name).description:
        text = (
            f"{paragraphs(objective)}\n\n```python\nimport mlflow\n\n"
            f'model = mlflow.pyfunc.load_model("models:/{name}/1")  # a version\n'
            f'model = mlflow.pyfunc.load_model("models:/{name}@champion")  # the one that serves, '
            "since flows.retune promoted it\n```"
        )
        store.update_registered_model(name, description=text)


def finite(metrics: Mapping[str, float], timestamp: int, step: int) -> list[Metric]:
    """MLflow's pages break on NaN and inf (mlflow#16555): a failure is a tag, not a metric."""
    return [
        Metric(name, float(value), timestamp, step)
        for name, value in metrics.items()
        if math.isfinite(value)
    ]


def milliseconds(seconds: float) -> int:
    """Time as MLflow counts it."""
    return int(seconds * 1000)
