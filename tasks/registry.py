"""What serves, what served before, and why: the model registry of MLflow."""

import difflib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import get_model_info
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from llmpso.errors import RegistryError, SpaceError, StorageError
from llmpso.objectives import state_dict
from llmpso.retuning.drift import Reference
from llmpso.retuning.warm_start import Known, parsed_params
from llmpso.space import Params, SearchSpace
from llmpso.text import one_line
from tasks.tracking import StudyRun, client, is_away

CHAMPION, PREVIOUS = "champion", "previous"
"""Aliases of the version that serves, and of the one that served before."""

REFERENCE_FILE = "drift/reference.json"
"""How the data was distributed that a champion was tuned on, in the run that promoted it."""

MODEL_TAG = "model"
"""On a study: the registered model that it was for."""

N_STUDIES = 3
"""Earlier studies that a new one learns from."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The version of a model that serves."""

    name: str
    version: str
    params: Params
    error: float | None
    """On the newest data of the time of its promotion; None if that was not recorded."""
    reference: Reference | None
    """The data it was tuned on; None if that was not recorded."""

    @property
    def uri(self) -> str:
        """What MLflow loads."""
        return f"models:/{self.name}/{self.version}"


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
    """Version that served before; empty for the first."""
    study_run: str
    retune_run: str


@contextmanager
def store_answers(uri: str, name: str) -> Iterator[None]:
    """Say what is the matter if the tracking server goes away within the block.

    Raises:
        StorageError: It did.
    """
    try:
        yield
    except MlflowException as error:
        if not is_away(error):
            raise
        raise StorageError(
            f"MLflow at {uri} stopped answering ({one_line(error, 200)}); what serves {name!r} is "
            "as it was: start again once it is back"
        ) from error


def check_registered(uri: str, name: str) -> None:
    """Refuse a name that nothing is registered under.

    Raises:
        RegistryError: There is no such model.
    """
    known = [model.name for model in client(uri).search_registered_models(max_results=1000)]
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    raise RegistryError(
        f"model {name!r} is not registered at {uri}; {hint} (a new model goes by the name of its "
        "objective, or by one that flows.tune registers: --register-as)"
    )


def find_champion(uri: str, name: str, space: SearchSpace) -> Champion | None:
    """The version that serves; None if none does yet.

    Raises:
        RegistryError: It is not known with which parameters it was trained, or they lie outside
            the space.
    """
    version = _by_alias(uri, name, CHAMPION)
    if version is None:
        return None
    error = version.tags.get("error")
    return Champion(
        name,
        str(version.version),
        _params(uri, version, space),
        None if error is None else float(error),
        _reference(uri, version.tags.get("retune_run", "")),
    )


def load_model(uri: str, address: str) -> Any:
    """A model as its objective knows it: a torch module, an estimator, weights, or what predicts.

    Args:
        uri: The tracking store.
        address: `models:/name/version`, or `runs:/run/path`.

    Raises:
        RegistryError: There is no artifact at that address, or it cannot be read.
    """
    mlflow.set_tracking_uri(uri)
    try:
        flavors = get_model_info(address).flavors
        for flavor, library in (("pytorch", mlflow.pytorch), ("sklearn", mlflow.sklearn)):
            if flavor in flavors:
                return library.load_model(address)
        model = mlflow.pyfunc.load_model(address)
        is_weights = flavors["python_function"]["loader_module"] == state_dict.__name__
        return model.get_raw_model() if is_weights else model
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"the artifact of {address} cannot be loaded ({one_line(error, 200)}); bring it back "
            "to the artifact store, or let another version serve: python -m flows.rollback"
        ) from error


def known_trials(uri: str, experiment_id: str, name: str, space: SearchSpace) -> list[list[Known]]:
    """The trials of the latest studies of a model, the newest study first.

    Those that lie outside the space are left out.
    """
    studies = client(uri).search_runs(
        [experiment_id],
        f"tags.{MODEL_TAG} = '{name}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=N_STUDIES,
    )
    return [_trials(StudyRun(uri, experiment_id, run.info.run_id), space) for run in studies]


def promote(uri: str, promotion: Promotion) -> str:
    """Register a model as a new version and let it serve; its number.

    The alias of the champion is moved last: a failure before leaves the old one in its place.
    """
    mlflow.set_tracking_uri(uri)
    tags = {
        "params": json.dumps(dict(promotion.params)),
        "error": repr(promotion.error),
        "outcome": promotion.outcome,
        "reason": promotion.reason,
        "study": promotion.study_run,
        "retune_run": promotion.retune_run,
        "promoted_at": _now(),
    }
    tags |= {"replaced": promotion.replaced} if promotion.replaced else {}
    version = str(mlflow.register_model(promotion.artifact, promotion.model, tags=tags).version)
    text = f"{promotion.outcome}: {promotion.reason}"
    client(uri).update_model_version(promotion.model, version, description=text)
    _let_serve(uri, promotion.model, version, promotion.replaced)
    return version


def note_kept(uri: str, champion: Champion, reason: str) -> None:
    """Write on the champion's version when it was last examined, and why it stayed."""
    for key, value in {"kept_at": _now(), "kept_because": reason}.items():
        client(uri).set_model_version_tag(champion.name, champion.version, key, value)


def roll_back(uri: str, name: str) -> tuple[str, str]:
    """Let the previous version serve again; what served becomes the previous one.

    Returns:
        The version that served until now, and the one that does from now on.

    Raises:
        RegistryError: There is no such model, or no version to go back to.
    """
    check_registered(uri, name)
    now, before = (_by_alias(uri, name, alias) for alias in (CHAMPION, PREVIOUS))
    if now is None or before is None:
        missing = CHAMPION if now is None else PREVIOUS
        raise RegistryError(
            f"model {name!r} has no version with the alias @{missing}; there is nothing to go "
            "back to"
        )
    old, new = str(now.version), str(before.version)
    load_model(uri, f"models:/{name}/{new}")
    _let_serve(uri, name, new, old)
    client(uri).set_model_version_tag(name, old, "rolled_back_at", _now())
    client(uri).set_model_version_tag(name, new, "restored_at", _now())
    return old, new


def promotions(uri: str, name: str) -> pd.DataFrame:
    """Every version that ever served, the first one first: an alias keeps no history."""
    versions = client(uri).search_model_versions(f"name = '{name}'")
    columns = ["promoted_at", "outcome", "error", "replaced", "reason", "rolled_back_at"]
    rows = [
        {"version": int(version.version)} | {key: version.tags.get(key, "") for key in columns}
        for version in versions
        if "promoted_at" in version.tags
    ]
    return pd.DataFrame(rows, columns=["version", *columns]).sort_values("version")


def record_table(study: StudyRun, path: str, table: pd.DataFrame) -> None:
    """Keep a table on a run, where MLflow's page shows it as one."""
    if len(table):
        client(study.tracking_uri).log_table(study.run_id, table, path)


def record_json(study: StudyRun, path: str, content: Mapping[str, Any]) -> None:
    """Keep plain values on a run."""
    client(study.tracking_uri).log_dict(study.run_id, dict(content), path)


def _let_serve(uri: str, name: str, version: str, before: str) -> None:
    store = client(uri)
    if before:
        store.set_registered_model_alias(name, PREVIOUS, before)
    store.set_registered_model_alias(name, CHAMPION, version)


def _by_alias(uri: str, name: str, alias: str) -> ModelVersion | None:
    try:
        return client(uri).get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _params(uri: str, version: ModelVersion, space: SearchSpace) -> dict[str, Any]:
    address = f"champion models:/{version.name}/{version.version}"
    try:
        if "params" in version.tags:
            return space.validate(json.loads(version.tags["params"]))
        return parsed_params(space, client(uri).get_run(version.run_id).data.params)
    except SpaceError as error:
        raise RegistryError(
            f"{address} was trained with parameters that the space does not allow ({error}); "
            "widen the space, or tune a new model under another name"
        ) from error
    except MlflowException as error:
        raise RegistryError(
            f"{address} does not tell its parameters ({one_line(error, 200)}); give the version a "
            "tag params with a JSON object"
        ) from error


def _reference(uri: str, run_id: str) -> Reference | None:
    if not run_id:
        return None
    listed = {entry.path for entry in client(uri).list_artifacts(run_id, "drift")}
    if REFERENCE_FILE not in listed:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(client(uri).download_artifacts(run_id, REFERENCE_FILE, scratch))
        return Reference.from_json(json.loads(file.read_text(encoding="utf-8")))


def _trials(study: StudyRun, space: SearchSpace) -> list[Known]:
    runs = client(study.tracking_uri).search_runs(
        [study.experiment_id],
        f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{study.run_id}' and attributes.status != 'RUNNING'",
        max_results=1000,
    )
    known: list[Known] = []
    for run in runs:
        try:
            params = parsed_params(space, run.data.params)
        except SpaceError:
            continue
        known.append((params, run.data.metrics.get("value", float("nan"))))
    return known


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
