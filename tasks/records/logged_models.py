"""The best models of a study as LoggedModels: MLflow's tab *Models* shows these, with metrics.

A trial's model is an artifact of its run, which costs a few milliseconds. A LoggedModel takes five
requests and a copy of the files, so only the best few of a study are.
"""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from tempfile import TemporaryDirectory

from mlflow.entities import Dataset, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE

from llmpso.trial import Source, Trial
from tasks.models.stored_models import MODEL
from tasks.records.datasets import TUNING, record_input
from tasks.records.trial_runs import final_metrics
from tasks.store.names import keys
from tasks.store.tracker import Tracker

N_BEST = 3
"""Models of a study that become LoggedModels."""


def log_best_models(
    study: Tracker, trials: Iterable[Trial], name: str, dataset: Dataset | None
) -> list[Trial]:
    """Make the best models of a study LoggedModels, unless they are.

    Args:
        study: Whose they are.
        trials: With their links, the best one first; those without a model are left out.
        name: Of the models.
        dataset: What they were trained on.

    Returns:
        The best trials with a model; its link leads to the LoggedModel.
    """
    models = islice((trial for trial in trials if "model" in trial.links), N_BEST)
    # SQLite takes one writer at a time; a server's answers are waited for together.
    n_at_once = 1 if study.tracking_uri.startswith("sqlite") else N_BEST
    with ThreadPoolExecutor(n_at_once) as pool:
        return list(pool.map(partial(log_model, study, name=name, dataset=dataset), models))


def log_model(study: Tracker, trial: Trial, name: str, dataset: Dataset | None) -> Trial:
    """Make the model of a recorded trial a LoggedModel, unless it is; the trial, linked to it."""
    model_id = _logged_as(study, trial) or _log(study, trial, name, dataset)
    return replace(trial, links={**trial.links, "model": f"models:/{model_id}"})


def model_id_of(address: str) -> str:
    """The LoggedModel that an address, such as a version's source, leads to; empty if to none."""
    found = re.fullmatch(r"models:/(m-\w+)", address)
    return found[1] if found else ""


def _logged_as(study: Tracker, trial: Trial) -> str:
    """The LoggedModel of a trial; empty if it has none."""
    outputs = study.store.get_run(trial.links["run"]).outputs
    models = outputs.model_outputs if outputs else []
    return str(models[0].model_id) if models else ""


def _log(study: Tracker, trial: Trial, name: str, dataset: Dataset | None) -> str:
    """Copy the files, link the metrics, and only then let the run name the model as its own."""
    store, run_id = study.store, trial.links["run"]
    model = store.create_logged_model(
        study.experiment_id,
        name=f"{name.replace('.', '-')}-{_part(trial)}",
        source_run_id=run_id,
        params={key: str(trial.params[name]) for name, key in keys(trial.params).items()},
        tags={"study": study.run_id, "source": str(trial.source)} | _origin(study),
    )
    with TemporaryDirectory() as scratch:
        store.log_model_artifacts(model.model_id, store.download_artifacts(run_id, MODEL, scratch))
    record_input(study, run_id, dataset, TUNING)
    store.log_batch(run_id, metrics=linked(final_metrics(trial), model.model_id, dataset))
    store.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    store.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def _part(trial: Trial) -> str:
    is_ensemble = trial.source is Source.ENSEMBLE
    return str(trial.source) if is_ensemble else f"{trial.number:03d}"


def _origin(study: Tracker) -> dict[str, str]:
    """Where the page of a model says that it was logged from."""
    tags = study.tags()
    return {name: tags[name] for name in (MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE) if name in tags}


def linked(metrics: Sequence[Metric], model_id: str, dataset: Dataset | None) -> list[Metric]:
    """Metrics with whose they are; a run that has them already gets no second point.

    Args:
        metrics: Figures of one model.
        model_id: Its LoggedModel; empty if it has none.
        dataset: What they were measured on, if that is known.
    """
    data = {"dataset_name": dataset.name, "dataset_digest": dataset.digest} if dataset else {}
    owner = {"model_id": model_id} if model_id else {}
    return [Metric(m.key, m.value, m.timestamp, m.step, **owner, **data) for m in metrics]
