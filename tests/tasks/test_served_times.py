"""A model in MLflow's own server reads the times of a request as those it was trained on."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from mlflow.pyfunc import scoring_server

from llmpso.data.series.load_csv import load_csv
from llmpso.data.tables.csv_table import CsvOptions
from llmpso.objectives.lstm import LSTMObjective
from tasks.models.model_files import write_description
from tasks.models.stored_models import MODEL, store_model

N_ROWS, WINDOW = 240, 12
HOURS = pd.date_range("2024-03-01", periods=N_ROWS, freq="h")
LOCAL = HOURS.tz_localize("UTC").tz_convert("America/New_York")
PARAMS = {"layers": 1, "hidden_units": 8, "learning_rate": 0.01, "dropout": 0.0}

WRITTEN = {
    "day first": {"time": HOURS.strftime("%d/%m/%Y %H:%M")},
    "parts": {"year": HOURS.year, "month": HOURS.month, "day": HOURS.day, "hour": HOURS.hour},
    "offsets": {"time": [time.isoformat() for time in LOCAL]},
    "local": {"time": LOCAL.strftime("%Y-%m-%d %H:%M")},
    "date and clock": {"Date": HOURS.strftime("%m/%d/%Y"), "Clock": HOURS.strftime("%I:%M %p")},
    "epoch": {"time": HOURS.astype("datetime64[s]").astype("int64")},
}
"""Ten days, of which one is above 12 only in two zones: what a request shows decides nothing."""

OPTIONS = {
    "day first": {"time_format": "%d/%m/%Y"},
    "date and clock": {"time_format": "%m/%d/%Y"},
    "local": {"timezone": "America/New_York"},
}

Ask = Callable[[pd.DataFrame], httpx.Response]


def served(way: str, folder: Path, drop: tuple[int, ...] = ()) -> tuple[Ask, pd.DataFrame]:
    """A server for a model of a file, and the rows of the file as they are written."""
    load = 20 + 5 * np.sin(np.arange(N_ROWS) / 4) + np.random.default_rng(0).normal(size=N_ROWS)
    frame = pd.DataFrame({**WRITTEN[way], "load": load.round(3)}).drop(index=list(drop))
    frame.to_csv(folder / "some.csv", index=False)
    series = load_csv(folder / "some.csv", "load", options=CsvOptions(**OPTIONS.get(way, {})))
    objective = LSTMObjective(series, horizon=1, window=WINDOW, max_epochs=1, device="cpu")
    store_model(objective.evaluate(PARAMS, fidelity=1.0, seed=0).model, folder)
    write_description(folder, folder / MODEL)
    model = mlflow.pyfunc.load_model(str(folder / "model"))
    assert len(objective.held_out(model).losses) == len(objective.windows.test)
    assert len(model.predict(model.input_example)) == 1
    client = TestClient(scoring_server.init(model))

    def ask(rows: pd.DataFrame) -> httpx.Response:
        content = {
            "columns": list(rows.columns),
            "data": json.loads(rows.to_json(orient="values")),
        }
        return client.post("/invocations", json={"dataframe_split": content})

    return ask, frame


def n_forecasts(reply: httpx.Response) -> int:
    assert reply.is_success, reply.text
    return len(reply.json()["predictions"])


@pytest.mark.parametrize("way", WRITTEN)
def test_a_request_is_written_as_the_file_is(way, tmp_path):
    ask, rows = served(way, tmp_path)
    assert n_forecasts(ask(rows.tail(30))) == 30 - WINDOW + 1
    assert n_forecasts(ask(rows.tail(30)[::-1])) == 30 - WINDOW + 1
    reply = ask(rows.tail(30).drop(columns=rows.columns[0]))
    assert reply.status_code == httpx.codes.BAD_REQUEST
    assert "missing inputs" in reply.text


def test_times_written_in_another_way_are_refused(tmp_path):
    ask, rows = served("day first", tmp_path)
    for text in (HOURS.strftime("%Y-%m-%d %H:%M"), HOURS.strftime("%m-%d-%Y"), ["soon"] * N_ROWS):
        reply = ask(rows.assign(time=text).tail(30))
        assert reply.status_code == httpx.codes.BAD_REQUEST
        assert "the model was trained on times, dates as %d/%m/%Y" in reply.text
    month_first = ask(rows.assign(time=HOURS.strftime("%m/%d/%Y %H:%M")).tail(60))
    assert month_first.status_code == httpx.codes.BAD_REQUEST
    assert "the rows jump from 2024-08-03 23:00:00 to 2024-09-03 00:00:00" in month_first.text


def test_a_time_without_its_zone_is_refused_where_the_others_had_one(tmp_path):
    ask, rows = served("offsets", tmp_path)
    reply = ask(rows.assign(time=HOURS.strftime("%Y-%m-%dT%H:%M:%S")).tail(30))
    assert reply.status_code == httpx.codes.BAD_REQUEST
    assert "with its zone" in reply.text


def test_a_jump_is_filled_only_if_the_file_had_one_as_long(tmp_path):
    ask, rows = served("parts", tmp_path, drop=(50, 51))
    assert n_forecasts(ask(rows.tail(30).drop(index=[220, 221]))) == 30 - WINDOW + 1
    reply = ask(rows.tail(30).drop(index=[220, 221, 222]))
    assert reply.status_code == httpx.codes.BAD_REQUEST
    assert "the rows jump from 2024-03-10 03:00:00 to 2024-03-10 07:00:00" in reply.text
    empty = rows.tail(30).assign(load=rows["load"].where(~rows.index.isin([220, 221, 222])))
    assert n_forecasts(ask(empty)) == 30 - WINDOW + 1
