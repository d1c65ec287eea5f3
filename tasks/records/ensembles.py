"""Models of a study, averaged; and the average as a run of MLflow with its model."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.entities import Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmpso.ensembles.choose import Choice, choose_ensemble
from llmpso.ensembles.outcome import EnsembleOutcome, Member, members_text
from llmpso.errors import LLMPSOError
from llmpso.objectives.base import SupportsEnsemble
from llmpso.running.fingerprint import digest
from llmpso.space import Params
from llmpso.text import short
from llmpso.trial import Source, Trial, TrialState
from tasks.models.artifacts import load_member
from tasks.models.stored_models import MODEL, store_model
from tasks.records.trial_runs import record_model
from tasks.storable_errors import storable_errors
from tasks.store.client import finite, milliseconds
from tasks.store.names import keys
from tasks.store.tracker import Tracker

MOST_CANDIDATES = 30
"""Models that are loaded and compared, the best."""

DIGEST_TAG = "llmpso.ensemble"
"""On the run of an ensemble: a hash of its members and their weights."""


@task(name="ensemble", task_run_name="average the best models", cache_policy=NO_CACHE)
@storable_errors
def select_ensemble(
    study: Tracker, objective: SupportsEnsemble, trials: Sequence[Trial], most: int
) -> Choice:
    """Average the best models of a study, if that is better than the best one.

    Args:
        study: Whose they are.
        objective: Whose models they are.
        trials: With their links, the best one first; those without a model are left out.
        most: Members of the ensemble.
    """
    found = list(islice((t for t in trials if "model" in t.links), MOST_CANDIDATES))
    try:
        models = [load_member(study.tracking_uri, t.links["model"], objective) for t in found]
        return choose_ensemble(objective, found, models, most)
    except LLMPSOError as error:
        return Choice(EnsembleOutcome(False, str(error)))


def record_ensemble(run: Tracker, members: Sequence[Member], model: Any, value: float) -> Trial:
    """Write an ensemble as a child of a study or a retuning, unless it is there.

    Args:
        run: The study or the retuning.
        members: Its members.
        model: The model that averages them.
        value: Its loss on the validation data.

    Returns:
        A trial with links to its run and its model; its parameters are the weights.
    """
    run_id = _found(run, members) or _recorded(run, members, model, value)
    links = {"run": run_id, "model": f"runs:/{run_id}/{MODEL}"}
    return replace(ensemble_trial(members, value), links=links)


def ensemble_trial(members: Sequence[Member], value: float) -> Trial:
    """An ensemble as a trial that is not recorded; its parameters are the weights."""
    return Trial(
        number=members[0].number or 0,
        params=shown_params(members),
        source=Source.ENSEMBLE,
        iteration=0,
        particle=0,
        seed=0,
        state=TrialState.COMPLETE,
        value=value,
    )


def shown_params(members: Sequence[Member]) -> Params:
    """What MLflow shows as parameters: those of a single configuration, else the weights."""
    if len(members) == 1:
        return members[0].params
    return {f"trial {member.number}": round(member.weight, 4) for member in members}


def _recorded(run: Tracker, members: Sequence[Member], model: Any, value: float) -> str:
    """The run of an ensemble; it ends as the last step."""
    weights = shown_params(members)
    store, now = run.store, milliseconds(time.time())
    child = store.create_run(
        run.experiment_id,
        run_name=f"{Source.ENSEMBLE} of {len(members)} · {short(value)}",
        tags={
            MLFLOW_PARENT_RUN_ID: run.run_id,
            "source": str(Source.ENSEMBLE),
            DIGEST_TAG: _digest(members),
        },
    )
    run_id = str(child.info.run_id)
    with TemporaryDirectory() as scratch:
        store_model(model, Path(scratch))
        record_model(run, child, Path(scratch))
    store.log_batch(
        run_id,
        params=[Param(key, str(weights[name])) for name, key in keys(weights).items()],
        metrics=finite({"value": value}, now, step=0),
    )
    store.set_terminated(run_id)
    return run_id


def _found(run: Tracker, members: Sequence[Member]) -> str:
    """The run of an ensemble that an earlier process has written; empty if there is none."""
    ours = (
        f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.run_id}' and attributes.status = 'FINISHED' and "
        f"tags.`{DIGEST_TAG}` = '{_digest(members)}'"
    )
    found = run.store.search_runs([run.experiment_id], ours, max_results=1)
    return str(found[0].info.run_id) if found else ""


def _digest(members: Sequence[Member]) -> str:
    return digest({"members": members_text(members)})
