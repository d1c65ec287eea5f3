"""A champion that forecasts PM2.5 since the middle of 2012."""

import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from flows import retune as retuning
from flows.retune import retune
from made_once import made_once
from pm25 import FAST, OBJECTIVE, aliases, until


@pytest.fixture
def ridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_store: str) -> str:
    """The import path of the objective."""
    (tmp_path / "ridge_objective.py").write_text(OBJECTIVE)
    monkeypatch.syspath_prepend(tmp_path)
    return "ridge_objective:Ridge"


@pytest.fixture(scope="session")
def measurements() -> pd.DataFrame:
    """A series much like hourly PM2.5 and weather in Beijing, the same in every run."""
    rng, n = np.random.default_rng(0), 43_000
    noise = rng.standard_normal((n, 4)) * [12, 1, 1, 1]
    values = np.zeros((n, 4))
    for i in range(1, n):
        values[i] = 0.96 * values[i - 1] + noise[i]
    index = pd.date_range("2010-01-02", periods=n, freq="h", name="time")
    frame = pd.DataFrame(values, index, ["pm2.5", "DEWP", "TEMP", "PRES"])
    frame["pm2.5"] = (100 + frame["pm2.5"]).clip(lower=1)
    frame["TEMP"] += 15 * np.sin(2 * np.pi * np.arange(n) / 8766)
    return frame.assign(cbwd=np.where(frame["DEWP"] > 0, "NW", "SE"))


@pytest.fixture(scope="session")
def first_champion(prefect_server, measurements, empty_database, tmp_path_factory) -> Path:
    """The folder of a run that registered a champion in the middle of 2012."""

    def make(folder: Path) -> None:
        folder.mkdir()
        shutil.copy(empty_database, folder)
        (folder / "ridge_objective.py").write_text(OBJECTIVE)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.syspath_prepend(folder)
            mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
            until(measurements, "2012-06-30")
            retune(objective="ridge_objective:Ridge", **FAST)
        # What is copied is this file alone.
        with closing(sqlite3.connect(folder / "mlflow.db")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sys.modules.pop("ridge_objective")

    return made_once(tmp_path_factory, "champion", make)


@pytest.fixture
def champion(first_champion: Path, ridge: str, mlflow_store: str, measurements) -> str:
    """A store of the test's own with that champion; the import path of its objective."""
    shutil.copy(first_champion / "mlflow.db", "mlflow.db")
    until(measurements, "2012-06-30")
    assert aliases(mlflow_store) == {"champion": "1"}
    return ridge


@pytest.fixture
def finds_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a study end with another configuration than the champion's: both are compared."""
    tuned, another = retuning._tuned, {"lags": 2, "penalty": 10.0}
    monkeypatch.setattr(
        retuning, "_tuned", lambda plan, run: replace(tuned(plan, run), best_params=another)
    )
