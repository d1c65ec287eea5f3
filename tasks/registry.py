"""What serves, what served before, and why: the model registry of MLflow."""

import difflib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

from llmpso.errors import ChampionChangedError, RegistryError, StorageError
from llmpso.retuning.warm_start import Known, known_outcomes
from llmpso.space import Params, SearchSpace
from llmpso.text import one_line
from llmpso.urls import masked_url
from tasks.artifacts import check_model
from tasks.patience import is_away
from tasks.serving import (
    CHAMPION,
    PREVIOUS,
    aliases_of,
    change_champion,
    find_registered,
    settle,
)
from tasks.tracking import StudyRun, client, paged
from tasks.trial_runs import trials_within

MODEL_TAG = "model"
"""On a study: the registered model that it was for."""

RETUNE_TAG = "retune_run"
"""On a study, and on a version of a model: the retuning that it is part of."""

N_STUDIES = 3
"""Earlier studies that a new one learns from."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """Why a version serves."""

    model: str
    """Name of the registered model."""
    artifact: str
    """Where the trained model lies: `runs:/…`."""
    params: Params
    error: float
    outcome: str
    reason: str
    replaced: str
    """Version that serves until then; empty if none does."""
    study_run: str
    retune_run: str


@contextmanager
def store_answers(uri: str, name: str) -> Iterator[None]:
    """Say what is the matter if the store goes away within the block, or refuses.

    Raises:
        StorageError: It did.
    """
    try:
        yield
    except MlflowException as error:
        did, then = (
            ("stopped answering", "it is back")
            if is_away(error)
            else ("refuses", "that is mended")
        )
        raise StorageError(
            f"MLflow at {masked_url(uri)} {did} ({one_line(error, 200)}); what serves "
            f"{name!r} is as it was, or wholly changed: start again once {then}"
        ) from error


def check_registered(uri: str, name: str) -> None:
    """Refuse a name that nothing is registered under.

    Raises:
        RegistryError: There is no such model.
    """
    if find_registered(uri, name) is not None:
        return
    search = partial(client(uri).search_registered_models, max_results=1000)
    known = [model.name for model in paged(search)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    raise RegistryError(
        f"model {name!r} is not registered at {masked_url(uri)}; {hint} (a new model goes by the "
        "name of its objective, or by one that flows.tune registers: --register-as)"
    )


def known_trials(uri: str, experiment_id: str, name: str, space: SearchSpace) -> list[list[Known]]:
    """The trials of the latest studies of a model, the newest study first.

    Those that lie outside the space are left out; the others are as they ended.
    """
    studies = client(uri).search_runs(
        [experiment_id],
        f"tags.{MODEL_TAG} = {_quoted(name)} and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=N_STUDIES,
    )
    return [
        known_outcomes(space, trials_within(StudyRun(uri, experiment_id, run.info.run_id), space))
        for run in studies
    ]


def promote(uri: str, promotion: Promotion) -> str:
    """Register a model as a new version and let it serve; its number.

    Done again, after it was cut short anywhere, it goes on: nothing is registered twice.

    Raises:
        ChampionChangedError: Another version serves than the one compared with; it stays.
    """
    version = _registered(uri, promotion)
    marks = {
        "outcome": promotion.outcome,
        "reason": promotion.reason,
        "replaced": promotion.replaced,
        "promoted_at": now(),
    }
    try:
        change_champion(
            uri,
            promotion.model,
            expected=promotion.replaced,
            to=version,
            marks={version: {key: value for key, value in marks.items() if value}},
        )
    except ChampionChangedError as error:
        client(uri).set_model_version_tag(promotion.model, version, "not_promoted", str(error))
        raise
    return version


def promoted_by_run(uri: str, name: str) -> dict[str, dict[str, str]]:
    """What retunings that let a version serve came to, by their runs, as tags of theirs."""
    return {
        version.tags[RETUNE_TAG]: {
            "outcome": version.tags.get("outcome", ""),
            "reason": version.tags.get("reason", ""),
            "version": str(version.version),
        }
        for version in _versions(uri, name)
        if {RETUNE_TAG, "promoted_at"} <= version.tags.keys()
    }


def roll_back(uri: str, name: str) -> tuple[str, str]:
    """Let the previous version serve again; what served becomes the previous one.

    Returns:
        The version that served until now, empty if it is gone, and the one that does from now on.

    Raises:
        RegistryError: There is no such model, or no version to go back to.
        ChampionChangedError: Another process changed what serves in the meantime.
    """
    settle(uri, name)
    aliases = aliases_of(uri, client(uri).get_registered_model(name))
    old, new = aliases.champion, aliases.previous
    if not new:
        raise RegistryError(
            f"model {name!r} has no version with the alias @{PREVIOUS}; there is nothing to go "
            "back to"
        )
    if new == old:
        raise RegistryError(
            f"@{PREVIOUS} and @{CHAMPION} of model {name!r} are both version {old}; give "
            f"@{PREVIOUS} to the version to go back to, in MLflow's pages"
        )
    check_model(uri, f"models:/{name}/{new}")
    marks = {new: {"restored_at": now()}} | ({old: {"rolled_back_at": now()}} if old else {})
    change_champion(uri, name, expected=old, to=new, marks=marks)
    return old, new


def promotions(uri: str, name: str) -> pd.DataFrame:
    """Every version that ever served, the first one first: an alias keeps no history."""
    columns = ["promoted_at", "outcome", "error", "replaced", "reason", "rolled_back_at"]
    rows = [
        {"version": int(version.version)} | {key: version.tags.get(key, "") for key in columns}
        for version in _versions(uri, name)
        if "promoted_at" in version.tags
    ]
    return pd.DataFrame(rows, columns=["version", *columns]).sort_values("version")


def now() -> str:
    """The time, as tags hold it."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")


def record_table(study: StudyRun, path: str, table: pd.DataFrame) -> None:
    """Keep a table on a run, where MLflow's page shows it as one.

    `log_table` would append to the one that an interrupted process of the run has written.
    """
    if not len(table):
        return
    store = client(study.tracking_uri)
    store.log_text(study.run_id, table.to_json(orient="split", index=False), path)
    tables = json.loads(store.get_run(study.run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, "[]"))
    if (entry := {"path": path, "type": "table"}) not in tables:
        store.set_tag(study.run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([*tables, entry]))


def record_json(study: StudyRun, path: str, content: Mapping[str, Any]) -> None:
    """Keep plain values on a run."""
    client(study.tracking_uri).log_dict(study.run_id, dict(content), path)


def _registered(uri: str, promotion: Promotion) -> str:
    """The version of a model that is to be promoted, registered by now; its number."""
    origin = {RETUNE_TAG: promotion.retune_run, "artifact": promotion.artifact}
    for version in _versions(uri, promotion.model):
        if origin.items() <= version.tags.items():
            return str(version.version)
    mlflow.set_tracking_uri(uri)
    tags = origin | {
        "params": json.dumps(dict(promotion.params)),
        "error": repr(promotion.error),
        "study": promotion.study_run,
    }
    made = mlflow.register_model(promotion.artifact, promotion.model, tags=tags)
    client(uri).update_model_version(promotion.model, made.version, promotion.reason)
    return str(made.version)


def _versions(uri: str, name: str) -> list[ModelVersion]:
    """All versions of a model."""
    ours = f"name = {_quoted(name)}"
    return list(paged(partial(client(uri).search_model_versions, ours)))


def _quoted(name: str) -> str:
    """A name as MLflow's filters take it."""
    quote = "'" if '"' in name else '"'
    return f"{quote}{name}{quote}"
