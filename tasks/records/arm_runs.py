"""Champion and challenger of a retuning as two runs that MLflow's page compares."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Dataset, LoggedModelInput, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tasks.records.datasets import HELD_OUT, record_input
from tasks.records.logged_models import linked
from tasks.store.client import finite, milliseconds
from tasks.store.names import keys
from tasks.store.tracker import Tracker

ROLE_TAG = "role"
"""On such a run: whose it is."""


@dataclass(frozen=True, slots=True)
class ArmRecord:
    """One of the two, evaluated on the hold-out set."""

    role: str
    version: str
    """Of the registered model; empty if it is not registered."""
    model_id: str
    """Its LoggedModel; empty if it has none."""
    params: Mapping[str, Any]
    figures: Mapping[str, float]
    """The same names for both."""


def record_arm(run: Tracker, arm: ArmRecord, dataset: Dataset | None) -> str:
    """Write one of them as a child of the retuning, unless it is there; its run."""
    if (found := _found(run, arm.role)) is not None:
        return found
    store, now = run.store, milliseconds(time.time())
    name = f"{arm.role} · version {arm.version}" if arm.version else arm.role
    child = store.create_run(
        run.experiment_id, run_name=name, tags={MLFLOW_PARENT_RUN_ID: run.run_id}
    )
    run_id = child.info.run_id
    record_input(run, run_id, dataset, HELD_OUT)
    if arm.model_id:
        store.log_inputs(run_id, models=[LoggedModelInput(arm.model_id)])
    store.log_batch(
        run_id,
        metrics=linked(finite(arm.figures, now, step=0), arm.model_id, dataset),
        params=[Param(key, str(arm.params[name])) for name, key in keys(arm.params).items()],
        tags=[RunTag("version", arm.version), RunTag(ROLE_TAG, arm.role)],
    )
    store.set_terminated(run_id)
    return str(run_id)


def _found(run: Tracker, role: str) -> str | None:
    """The run of an earlier process of the same retuning."""
    ours = (
        f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.run_id}' and tags.{ROLE_TAG} = '{role}' and "
        "attributes.status = 'FINISHED'"
    )
    found = run.store.search_runs([run.experiment_id], ours, max_results=1)
    return str(found[0].info.run_id) if found else None
