"""The data of a study as MLflow shows it: an input of its runs, by name and digest.

What MLflow is given is built here from the little that an objective states: none of the rows, and
no address with its secrets.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import mlflow.data.dataset
import numpy as np
from mlflow.data.schema import TensorDatasetSchema
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from llmpso.errors import SpecError
from llmpso.masking import masked
from llmpso.objectives.dataset import Dataset, SupportsDataset
from llmpso.text import one_line
from llmpso.urls import masked_url
from llmpso.user_code.calls import run_user_code
from tasks.store.tracker import Tracker

DIGEST_LENGTH, NAME_LENGTH = 36, 500
"""Most characters that MLflow stores."""

TUNING, HELD_OUT = "tuning", "held out"
"""What a run used the data for."""

_TYPES = {
    "b": DataType.boolean,
    "i": DataType.long,
    "u": DataType.long,
    "f": DataType.double,
}
"""By the kind of a type of numpy's."""


def dataset_of(objective: object) -> DatasetEntity | None:
    """The data of an objective as MLflow stores it; None if it does not say.

    Raises:
        SpecError: What it states is no data set.
        UserCodeError: A user's `describe_data` failed.
    """
    if not isinstance(objective, SupportsDataset):
        return None
    found = run_user_code(objective.describe_data)
    if found is None:
        return None
    if isinstance(found, Dataset):
        return _entity(found)
    if isinstance(found, mlflow.data.dataset.Dataset):
        return _without_secrets(found.to_dict())
    raise SpecError(
        f"describe_data returned a {type(found).__name__}; it must return llmpso.Dataset, or a "
        "data set of mlflow.data"
    )


def record_input(study: Tracker, run_id: str, dataset: DatasetEntity | None, context: str) -> None:
    """Log the data as an input of a run, with what it was used for and how it was split."""
    if dataset is None:
        return
    split = json.loads(dataset.profile or "{}").get("split", {})
    tags = {MLFLOW_DATASET_CONTEXT: context} | {part: str(rows) for part, rows in split.items()}
    entry = DatasetInput(dataset, [InputTag(name, text) for name, text in tags.items()])
    study.store.log_inputs(run_id, [entry])


def _entity(described: Dataset) -> DatasetEntity:
    kind, source = _source(described.source)
    profile = {"num_rows": described.n_rows, "split": dict(described.split)}
    return _without_secrets(
        {
            "name": one_line(described.name, NAME_LENGTH),
            "digest": described.digest[:DIGEST_LENGTH],
            "source_type": kind,
            "source": json.dumps(source),
            "schema": _schema(described),
            "profile": json.dumps(profile),
        }
    )


def _source(source: str) -> tuple[str, dict[str, str]]:
    """A source under the type by which MLflow's page shows, or loads, it."""
    scheme = urlsplit(source).scheme
    if scheme in ("http", "https"):
        return "http", {"url": masked_url(source)}
    if "://" in source:
        return ("s3" if scheme == "s3" else "external"), {"uri": masked_url(source)}
    if Path(source).exists():
        return "local", {"uri": str(Path(source).resolve())}
    return "external", {"uri": source}


def _schema(described: Dataset) -> str:
    if described.shape:
        spec = TensorSpec(np.dtype(described.dtype), (-1, *described.shape))
        return json.dumps(TensorDatasetSchema(Schema([spec])).to_dict())
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(_type(kind), name) for name, kind in described.columns.items()
    ]
    return json.dumps({"mlflow_colspec": Schema(columns).to_dict()}) if columns else ""


def _type(kind: str) -> DataType:
    """MLflow's type for a column; text for what it has none for."""
    if kind.startswith("datetime"):
        return DataType.datetime
    letter = np.dtype(kind).kind if kind in np.sctypeDict else "O"
    return _TYPES.get(letter, DataType.string)


def _without_secrets(described: Mapping[str, str | None]) -> DatasetEntity:
    return DatasetEntity(**{name: masked(text) for name, text in described.items() if text})
