"""A trial as MLflow stores it: a child run with its outcome to the last bit, and its model."""

import json
import logging
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities import Metric, Param, Run, RunStatus, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from llmpso.errors import ModelError
from llmpso.fidelity.curve import Point
from llmpso.running.outcome import Outcome, without_model
from llmpso.running.pending_records import PendingRecord, trial_record
from llmpso.safe_names import file_name, twins
from llmpso.study.repeats import label, repeated_trial
from llmpso.text import one_line, short
from llmpso.trial import Source, Trial, TrialState
from tasks.models.model_files import write_description
from tasks.models.stored_models import MODEL, store_model
from tasks.store.client import MOST_SHOWN, MOST_STORED, finite, milliseconds
from tasks.store.names import REPORTED, keys, metric_keys
from tasks.store.patience import STORE_ERRORS, is_unavailable
from tasks.store.tracker import Tracker

logger = logging.getLogger(__name__)

VERSIONS = {"python": platform.python_version()} | (
    {"torch": version("torch")} if find_spec("torch") else {}
)

RECORDS = "records"
"""Folder in a pending record of the small files beside the model."""

TRACEBACK = "traceback.txt"
"""Of a training that raised, among the artifacts of its run."""

OWN_FILES = frozenset({MODEL})
"""What a file of an objective must not be called."""

ADDRESS_TAG, OUTCOME_TAG = "llmpso.evaluation", "llmpso.outcome"
"""What a child measured, as a hash; and its trial, as JSON."""

REPEAT_TAG = "repeat_of"
"""On a repeat, the number of the trial that it trains again."""

SUPERSEDED = "superseded"
"""In the name and as the state of a child whose training went further in a later one."""


def record_trial(
    study: Tracker, entry: PendingRecord, check: Callable[[], None] = lambda: None
) -> Trial:
    """Write one child run; the trial comes back with links to it and to its model.

    The run ends as the very last step: one that is still open was never wholly written.

    Args:
        study: The parent.
        entry: What is written.
        check: Called before the last step; what it raises leaves the run open.
    """
    store, trial = study.store, entry.trial
    names = keys(trial.params)
    run = store.create_run(
        study.experiment_id,
        start_time=milliseconds(trial.started_at),
        run_name=_run_name(trial),
        tags=_trial_tags(study, trial) | {ADDRESS_TAG: entry.key},
    )
    run_id = run.info.run_id
    recorded = replace(trial, links={"run": run_id} | _record_files(study, run, entry.folder))
    store.log_batch(
        run_id,
        params=[Param(names[name], str(value)) for name, value in trial.params.items()],
        metrics=_trial_metrics(trial, entry.curves, entry.reports),
        tags=_outcome_tags(recorded),
    )
    # A pruned trial did what was asked of it; its tag distinguishes it from a complete one.
    status = RunStatus.FAILED if trial.state is TrialState.FAILED else RunStatus.FINISHED
    check()
    store.set_terminated(run_id, RunStatus.to_string(status))
    return recorded


def supersede(study: Tracker, trial: Trial) -> None:
    """Let a list of runs say that a recorded trial was trained further in another run.

    Its run stays as it was measured: MLflow cannot take back a metric, and the time between would
    count as training. A run that somebody deleted meanwhile needs no mark.

    Raises:
        MlflowException: MLflow does not answer; also an `OSError`.
    """
    run_id = trial.links["run"]
    note = f"Ended as {trial.state}. It was trained further, in the later run of trial "
    tags = {"state": SUPERSEDED, MLFLOW_RUN_NOTE: f"{note}{trial.number}."}
    try:
        study.store.log_batch(run_id, tags=[RunTag(key, text) for key, text in tags.items()])
        study.store.update_run(run_id, name=f"{label(trial)} · {SUPERSEDED}")
    except STORE_ERRORS as error:
        if is_unavailable(error):
            raise
        logger.warning("run %s cannot be marked: %s", run_id, one_line(error, 200))


def _record_files(study: Tracker, run: Run, folder: Path) -> dict[str, str]:
    """Write an entry's files; the link to its model if there is one."""
    # The client would ask the server for the run first, to know its folder.
    files = get_artifact_repository(run.info.artifact_uri, tracking_uri=study.tracking_uri)
    if (folder / RECORDS).is_dir():
        files.log_artifacts(str(folder / RECORDS))
    return {"model": record_model(study, run, folder)} if (folder / MODEL).is_dir() else {}


def record_model(study: Tracker, run: Run, folder: Path) -> str:
    """Write the model of a folder, as `store_model` left it, to a run; its address."""
    files = get_artifact_repository(run.info.artifact_uri, tracking_uri=study.tracking_uri)
    files.log_artifacts(str(folder / MODEL), MODEL)
    with TemporaryDirectory() as scratch:
        write_description(folder, Path(scratch))
        files.log_artifacts(scratch, MODEL)
    return f"runs:/{run.info.run_id}/{MODEL}"


def save_files(outcome: Outcome, folder: Path) -> Trial:
    """Write what an evaluation left besides figures: its model and small records, or a traceback.

    Returns:
        The trial; it says so if its model cannot be stored.
    """
    trial, evaluation = outcome.trial, outcome.evaluation
    if trial.failure is not None and trial.failure.traceback:
        _write_record(folder, TRACEBACK, trial.failure.traceback)
    if trial.state is not TrialState.COMPLETE or evaluation is None:
        return trial
    alike = twins(evaluation.artifacts)
    for name, content in evaluation.artifacts.items():
        reserved = OWN_FILES | {name} if name in alike else OWN_FILES
        _write_record(folder, file_name(name, reserved), json.dumps(content))
    if evaluation.model is None:
        return trial
    try:
        store_model(evaluation.model, folder)
    except ModelError as error:
        shutil.rmtree(folder / MODEL)
        return without_model(outcome, str(error)).trial
    return trial


def _write_record(folder: Path, name: str, text: str) -> None:
    (folder / RECORDS).mkdir(exist_ok=True)
    (folder / RECORDS / name).write_text(text, encoding="utf-8")


def _run_name(trial: Trial) -> str:
    """What a list of runs says first: place, source, and value or what happened instead."""
    outcome = trial.state if trial.value is None else short(trial.value)
    return f"{label(trial)} · {outcome}"


def _trial_tags(study: Tracker, trial: Trial) -> dict[str, str]:
    tags = {
        MLFLOW_PARENT_RUN_ID: study.run_id,
        "state": str(trial.state),
        "source": str(trial.source),
        "iteration": str(trial.iteration),
        "particle": str(trial.particle),
        "seed": str(trial.seed),
        "host": platform.node(),
        **VERSIONS,
    }
    if trial.source is Source.REPEAT:
        tags[REPEAT_TAG] = str(repeated_trial(trial))
    if trial.note:
        tags["note"] = trial.note[:MOST_SHOWN]
    if trial.warnings:
        tags["warnings"] = "; ".join(trial.warnings)[:MOST_SHOWN]
    if trial.failure is not None:
        tags |= {"failure": str(trial.failure.kind), "failure_message": trial.failure.message}
    return tags


def _outcome_tags(trial: Trial) -> list[RunTag]:
    """The trial as it was recorded, to the last bit; cut into pieces that a tag can hold."""
    text = json.dumps(trial_record(trial))
    pieces = range(0, len(text), MOST_STORED)
    return [
        RunTag(f"{OUTCOME_TAG}.{number}", text[start : start + MOST_STORED])
        for number, start in enumerate(pieces)
    ]


def final_metrics(trial: Trial, curves: Iterable[str] = ()) -> list[Metric]:
    """The figures of a trial that ended, at the step of its number.

    Args:
        trial: As it was recorded.
        curves: Names of its curves, which are stored beside them.
    """
    keys_of = metric_keys({*trial.metrics, *curves})
    final = {keys_of[name]: value for name, value in trial.metrics.items()}
    final["seconds"] = trial.seconds
    if trial.value is not None:
        final["value"] = trial.value
    if trial.state is TrialState.PRUNED:
        final |= {"fidelity": trial.fidelity, "value_at_fidelity": trial.rungs[-1][1]}
    return finite(final, _ended_at(trial), step=trial.number)


def _trial_metrics(
    trial: Trial, curves: Mapping[str, Sequence[float]], reports: Sequence[Point]
) -> list[Metric]:
    now, keys_of = _ended_at(trial), metric_keys({*trial.metrics, *curves})
    metrics = final_metrics(trial, curves)
    for name, curve in curves.items():
        for epoch, value in enumerate(curve, start=1):
            metrics += finite({keys_of[name]: value}, now, step=epoch)
    for step, value in reports:
        metrics += finite({REPORTED: value}, now, step=step)
    return metrics


def _ended_at(trial: Trial) -> int:
    return milliseconds(trial.started_at + trial.seconds)
