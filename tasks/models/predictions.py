"""What the champion of a model predicts for the rows of a file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.types import DataType, Schema
from pandas.api.types import is_numeric_dtype
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmpso.data.tables.csv_table import CsvOptions, read_table
from llmpso.data.tables.numbers import mend_numbers, with_columns
from llmpso.data.tables.usable_columns import drop_empty, take_units
from llmpso.errors import DataError, LLMPSOError
from llmpso.text import brief, one_line
from tasks.models.artifacts import load_predictor
from tasks.models.registry import Registry
from tasks.storable_errors import storable_errors
from tasks.store.client import quoted
from tasks.store.experiment import Experiment

PREDICTS_TAG, VERSION_TAG = "predicts", "version"
"""On a run of predictions: the model that made them, and which version of it."""

PREDICTIONS_FILE = "predictions.json"

MOST_RUNS = 100
"""Runs of predictions that are read again, the newest."""

REAL, WHOLE = (DataType.double, DataType.float), (DataType.long, DataType.integer)

PREDICTION = "prediction"
"""Name of what is predicted, where the model gives none."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A version of a model, loaded."""

    version: str
    model: PyFuncModel
    columns: Mapping[str, Any]
    """That it needs, with their types of MLflow's; empty where it does not say."""


def champion_of(registry: Registry) -> ServedModel:
    """The version that serves.

    Raises:
        RegistryError: There is no such model, no version serves, or it cannot be loaded.
        StorageError: MLflow does not answer.
    """
    version = registry.champion()
    model = load_predictor(registry.tracking_uri, f"models:/{registry.name}/{version}")
    return ServedModel(version, model, _columns(model.metadata.get_input_schema()))


def read_rows(path: Path, served: ServedModel, notes: list[str]) -> pd.DataFrame:
    """The rows of a CSV file, read as the file was that the model was trained on.

    Raises:
        DataError: The file cannot be read, or lacks a column that the model needs.
    """
    numeric = [name for name, kind in served.columns.items() if kind in (*REAL, *WHOLE)]
    known = next(iter(numeric or served.columns), "")
    texts = [name for name, kind in served.columns.items() if kind == DataType.string]
    table, layout = read_table(path, known, CsvOptions(), notes, texts)
    if missing := [name for name in served.columns if name not in table]:
        raise DataError(
            f"file {str(path)!r} has no column {missing[0]!r}, which version {served.version} "
            f"needs; it has: {', '.join(brief(str(name)) for name in table)}"
        )
    table, _ = take_units(drop_empty(table, notes), known, layout.decimal, notes)
    rows = table[list(served.columns)] if served.columns else table
    mended = mend_numbers(rows[numeric], layout.decimal, notes)
    rows = with_columns(rows, {name: mended[name] for name in numeric})
    return with_columns(rows, {n: _typed(rows[n], kind) for n, kind in served.columns.items()})


@task(name="predict", task_run_name="predict with version {served.version}", cache_policy=NO_CACHE)
@storable_errors
def predictions_of(served: ServedModel, rows: pd.DataFrame) -> pd.DataFrame:
    """A row per prediction, with the label of its row first.

    Raises:
        LLMPSOError: The model refuses the rows; the text says why.
    """
    try:
        found = served.model.predict(rows)
    except DataError:
        raise
    except (MlflowException, ValueError, TypeError, KeyError) as error:
        raise LLMPSOError(
            f"version {served.version} cannot predict these rows: {one_line(error, 300)}"
        ) from error
    return _as_table(found, rows)


def logged_predictions(experiment: Experiment, model: str, version: str) -> pd.DataFrame | None:
    """All that a version predicted, the newest last; None if nothing is recorded.

    Args:
        experiment: Has the runs of predictions.
        model: Name of the registered model.
        version: Its version.
    """
    runs = experiment.finished_studies(PREDICTS_TAG, quoted(model), MOST_RUNS)
    texts = [run.text(PREDICTIONS_FILE) for run in runs if run.tags().get(VERSION_TAG) == version]
    tables = [pd.DataFrame(**_split(text)) for text in reversed(texts) if text]
    return pd.concat(tables, ignore_index=True) if tables else None


def _typed(column: "pd.Series[Any]", kind: Any) -> "pd.Series[Any]":
    """A column as MLflow takes it: it takes neither 3 for 3.0, nor an empty one for text."""
    if kind in REAL and is_numeric_dtype(column):
        return column.astype(float)
    return column.astype(object) if column.isna().all() and kind == DataType.string else column


def _split(text: str) -> dict[str, Any]:
    content = json.loads(text)
    return {"data": content["data"], "columns": content["columns"]}


def _columns(schema: Schema | None) -> dict[str, Any]:
    if schema is None or not schema.has_input_names():
        return {}
    return {str(column.name): column.type for column in schema.inputs}


def _as_table(found: Any, rows: pd.DataFrame) -> pd.DataFrame:
    table = found if isinstance(found, pd.DataFrame) else _of_columns(found, rows)
    return table.rename_axis(index=str(table.index.name or "row")).reset_index()


def _of_columns(found: Any, rows: pd.DataFrame) -> pd.DataFrame:
    if isinstance(found, pd.Series):
        return found.to_frame(str(found.name or PREDICTION))
    values = np.asarray(found).reshape(len(rows), -1)
    several = values.shape[1] > 1
    names = [f"{PREDICTION}_{at}" if several else PREDICTION for at in range(values.shape[1])]
    return pd.DataFrame(values, index=rows.index, columns=names)
