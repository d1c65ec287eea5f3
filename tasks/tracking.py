"""What MLflow keeps of a study: one parent run, one child per evaluation, the model of each."""

import math
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from llmpso.errors import SpecError
from llmpso.evaluate import Outcome
from llmpso.objectives.base import SavableModel
from llmpso.trial import Evaluation, Trial, TrialState

MODEL_REQUIREMENTS = [f"{name}=={version(name)}" for name in ("torch", "numpy", "pandas")]
"""What loading a model needs; named, because inferring it takes seconds per model."""


@dataclass(frozen=True, slots=True)
class StudyRun:
    """Where the records of one study go; small, so that it travels to every task."""

    tracking_uri: str
    experiment_id: str
    run_id: str


@cache
def client(tracking_uri: str) -> MlflowClient:
    """One client per process and store."""
    return MlflowClient(tracking_uri)


def open_experiment(name: str, metric: str) -> tuple[str, str]:
    """The store that `MLFLOW_TRACKING_URI` names, or SQLite in the working directory.

    Args:
        name: Experiment; made if it is not there.
        metric: Name and unit of the value; a tag, and the proof that the store can be written.

    Returns:
        The tracking URI and the experiment's id.

    Raises:
        SpecError: The store cannot be reached or written.
    """
    uri = mlflow.get_tracking_uri()
    try:
        store = client(uri)
        found = store.get_experiment_by_name(name)
        experiment_id = found.experiment_id if found else store.create_experiment(name)
        store.set_experiment_tag(experiment_id, "metric", metric)
        _check_artifacts(store.get_experiment(experiment_id).artifact_location)
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SpecError(
            f"MLFLOW_TRACKING_URI is {uri!r}, which cannot be used for experiment {name!r} "
            f"({reason}); start that server, or name a store that can be written"
        ) from error
    return uri, experiment_id


def _check_artifacts(location: str) -> None:
    """Refuse a local folder that cannot be written; a server looks after its own."""
    if urlsplit(location).scheme in ("", "file"):
        folder = local_file_uri_to_path(location)
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def start_study(
    uri: str,
    experiment_id: str,
    run_name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> StudyRun:
    """Create the parent run."""
    store = client(uri)
    run = store.create_run(experiment_id, run_name=run_name, tags=dict(tags))
    entries = [Param(key, str(value)) for key, value in params.items()]
    store.log_batch(run.info.run_id, params=entries)
    return StudyRun(uri, experiment_id, run.info.run_id)


def record_trial(study: StudyRun, outcome: Outcome) -> Trial:
    """Write one child run; the trial comes back with links to it and to its model."""
    store, trial = client(study.tracking_uri), outcome.trial
    run_id = store.create_run(
        study.experiment_id,
        start_time=_milliseconds(trial.started_at),
        run_name=f"{trial.number:03d} {trial.source}",
        tags=_trial_tags(study, trial),
    ).info.run_id
    store.log_batch(
        run_id,
        params=[Param(name, str(value)) for name, value in trial.params.items()],
        metrics=_trial_metrics(trial, outcome.evaluation),
    )
    links = {"run": run_id}
    if trial.state is TrialState.COMPLETE and outcome.evaluation is not None:
        links |= _record_model(store, run_id, outcome.evaluation.model)
    status = RunStatus.FINISHED if trial.state is TrialState.COMPLETE else RunStatus.FAILED
    store.set_terminated(run_id, RunStatus.to_string(status))
    return replace(trial, links=links)


def record_incumbent(study: StudyRun, trial: Trial | None) -> None:
    """Add the best value so far to the parent's curve, at the number of its evaluation."""
    if trial is not None and trial.value is not None:
        store = client(study.tracking_uri)
        store.log_metric(study.run_id, "best_value", trial.value, step=trial.number)


def record_text(study: StudyRun, path: str, text: str) -> None:
    """Keep a text file on the parent run; an empty one is left out."""
    if text:
        client(study.tracking_uri).log_text(study.run_id, text, path)


def record_folder(study: StudyRun, folder: Path, path: str) -> None:
    """Keep all files of a folder on the parent run, below `path`."""
    client(study.tracking_uri).log_artifacts(study.run_id, str(folder), path)


def record_summary(
    study: StudyRun, figures: Mapping[str, float], text: str, tags: Mapping[str, str]
) -> None:
    """Write the study's figures and tags, and a text as its description, on the parent run."""
    client(study.tracking_uri).log_batch(
        study.run_id,
        metrics=_finite(figures, _milliseconds(time.time()), step=0),
        tags=[
            RunTag(MLFLOW_RUN_NOTE, f"```\n{text}\n```"),
            *(RunTag(key, value) for key, value in tags.items()),
        ],
    )


def close_study(study: StudyRun, status: str) -> None:
    """End the parent run as FINISHED, FAILED or KILLED."""
    client(study.tracking_uri).set_terminated(study.run_id, status)


def register_model(study: StudyRun, trial: Trial, name: str) -> str:
    """Register a trial's model; `name/version`, or an empty string if it kept no model."""
    if "model" not in trial.links:
        return ""
    mlflow.set_tracking_uri(study.tracking_uri)
    tags = {"value": f"{trial.value:.6g}", "study": study.run_id, "source": str(trial.source)}
    return f"{name}/{mlflow.register_model(trial.links['model'], name, tags=tags).version}"


def _record_model(store: MlflowClient, run_id: str, model: object | None) -> dict[str, str]:
    """Write the model as an artifact of its run, in MLflow's own format."""
    if model is None:
        return {}
    with tempfile.TemporaryDirectory() as scratch:
        _save_model(model, Path(scratch))
        store.log_artifacts(run_id, str(Path(scratch, "model")), "model")
    return {"model": f"runs:/{run_id}/model"}


def _save_model(model: object, scratch: Path) -> None:
    if not isinstance(model, SavableModel):
        mlflow.pytorch.save_model(
            model,
            scratch / "model",
            pip_requirements=MODEL_REQUIREMENTS,
            serialization_format="pickle",
        )
        return
    data = scratch / "data"
    data.mkdir()
    model.save(data)
    example = model.example
    mlflow.pyfunc.save_model(
        scratch / "model",
        loader_module=model.loader_module,
        data_path=str(data),
        signature=infer_signature(example, model.predict(example)),
        input_example=example,
        pip_requirements=MODEL_REQUIREMENTS,
    )


def _trial_tags(study: StudyRun, trial: Trial) -> dict[str, str]:
    tags = {
        MLFLOW_PARENT_RUN_ID: study.run_id,
        "source": str(trial.source),
        "iteration": str(trial.iteration),
        "particle": str(trial.particle),
        "seed": str(trial.seed),
        "python": platform.python_version(),
        "torch": version("torch"),
        "host": platform.node(),
    }
    if trial.note:
        tags["note"] = trial.note[:500]
    if trial.failure is not None:
        tags |= {"failure": str(trial.failure.kind), "failure_message": trial.failure.message}
    return tags


def _trial_metrics(trial: Trial, evaluation: Evaluation | None) -> list[Metric]:
    now = _milliseconds(trial.started_at + trial.seconds)
    final = {"seconds": trial.seconds} | dict(trial.metrics)
    if trial.value is not None:
        final["value"] = trial.value
    metrics = _finite(final, now, step=trial.number)
    for name, curve in (evaluation.curves if evaluation else {}).items():
        for epoch, value in enumerate(curve, start=1):
            metrics += _finite({name: value}, now, step=epoch)
    return metrics


def _finite(metrics: Mapping[str, float], timestamp: int, step: int) -> list[Metric]:
    """MLflow's pages break on NaN and inf (mlflow#16555): a failure is a tag, not a metric."""
    return [
        Metric(name, float(value), timestamp, step)
        for name, value in metrics.items()
        if math.isfinite(value)
    ]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
