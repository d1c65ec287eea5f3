"""Predict with the champion of a model, now or on a schedule: `python -m flows.predict MODEL`."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from flows.command import Command
from flows.command_line import run_module
from flows.masked_logs import masked_run
from flows.parameters import with_parameters
from flows.storable import check_storable
from llmpso import __version__
from llmpso.errors import DataError
from llmpso.option_group import Options
from llmpso.running.durable_files import made_folder, replace_file
from llmpso.text import one_line, plural, short
from tasks.models.predictions import (
    PREDICTIONS_FILE,
    PREDICTS_TAG,
    VERSION_TAG,
    champion_of,
    predictions_of,
    read_rows,
)
from tasks.models.registry import Registry
from tasks.records.flow_runs import without_process_tag
from tasks.store.address import store_address
from tasks.store.experiment import open_experiment

MOST_SHOWN = 20
"""Predictions in Prefect's table: the last ones, which of a series are the newest."""


class PredictOptions(Options):
    """What can be asked of predictions."""

    model: str
    """Registered model whose champion predicts."""
    rows: str
    """CSV file with the columns of the file that the model was trained on."""
    out: str | None = None
    """CSV file of the predictions; in the folder `predictions`, under the model's name and the
    time, if not given."""
    experiment: str = "predictions"
    """MLflow experiment in which they are recorded."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What was predicted, by which version, and where it is."""

    model: str
    version: str
    n_rows: int
    n_predictions: int
    path: str
    run_id: str
    page: str
    """Of the run in MLflow; empty where no server shows it."""


@flow(name="predict", version=__version__, flow_run_name="{model}")
@masked_run
@without_process_tag()
@with_parameters(PredictOptions)
def predict(options: PredictOptions) -> Predictions:
    """Predict with the champion of a model for the rows of a file, and record it in MLflow.

    The champion is looked up at each run: a promotion and a rollback count from the next one on.
    """
    check_predict(options)
    registry, notes = Registry(store_address(), options.model), list[str]()
    served = champion_of(registry)
    rows = read_rows(Path(options.rows), served, notes)
    for note in notes:
        get_run_logger().info("%s", note)
    tags = {PREDICTS_TAG: options.model, VERSION_TAG: served.version}
    experiment = open_experiment(options.experiment, "predictions")
    name = f"{options.model} · version {served.version}"
    with experiment.run(name, options.model_dump(), tags) as run:
        found = predictions_of(served, rows)
        path = _written(found, options)
        run.record_table(PREDICTIONS_FILE, found)
        run.record_summary(_figures(rows, found), f"`{path}`", {})
    create_table_artifact(_shown(found), key="predictions")
    return Predictions(
        options.model, served.version, len(rows), len(found), str(path), run.run_id, run.page
    )


def check_predict(options: PredictOptions) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        SpecError: A text cannot be stored.
        DataError: There is no such file.
        RegistryError: There is no such model.
    """
    check_storable(options)
    if not Path(options.rows).is_file():
        raise DataError(f"rows is {options.rows!r}; there is no such file")
    Registry(store_address(), options.model).check_exists()


def _written(found: pd.DataFrame, options: PredictOptions) -> Path:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    path = Path(options.out or f"predictions/{options.model}-{now}.csv")
    try:
        made_folder(path.parent)
        replace_file(path, found.to_csv(index=False))
    except OSError as error:
        raise DataError(f"out is {str(path)!r}; it cannot be written ({error})") from error
    return path.resolve()


def _figures(rows: pd.DataFrame, found: pd.DataFrame) -> dict[str, float]:
    """How many, and of one predicted number its mean and range: a drift shows there first."""
    figures = {"rows": float(len(rows)), "predictions": float(len(found))}
    last = found[found.columns[-1]]
    if len(found.columns) == 2 and pd.api.types.is_numeric_dtype(last) and len(found):
        figures |= {name: float(getattr(last, name)()) for name in ("mean", "min", "max")}
    return figures


def _shown(found: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {one_line(name): short(value) for name, value in row.items()}
        for row in found.tail(MOST_SHOWN).to_dict("records")
    ]


def as_text(predictions: Predictions) -> str:
    """For a terminal."""
    return (
        f"{predictions.model}: version {predictions.version} predicted "
        f"{plural(predictions.n_predictions, 'value')} from {plural(predictions.n_rows, 'row')}\n"
        f"{predictions.path}"
    )


COMMAND = Command(
    predict,
    check=lambda arguments: check_predict(PredictOptions(**arguments)),
    as_text=as_text,
    as_record=asdict,
    examples=("lstm-air-quality --rows measurements.csv --out forecast.csv",),
)
APP = COMMAND.app()

if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.predict"))
