"""A forecast of PM2.5 that is in production: its objective, its data, its versions."""

from inspect import signature

import mlflow
import numpy as np
import pandas as pd

from flows.command_line import joined_app, run
from flows.retune import retune
from tasks.models.registry import Registry
from tasks.store.lock import Lock

OBJECTIVE = '''
"""PM2.5 three hours ahead by ridge regression: an exact fit in milliseconds."""

import os
from functools import lru_cache

import mlflow
import numpy as np
import pandas as pd
import torch
from llmpso import Evaluation, Float, HeldOut, Integer, SearchSpace

HORIZON = 3


@lru_cache(maxsize=1)
def read(changed_at):
    return pd.read_csv("data.csv", index_col="time", parse_dates=True)


class Ridge:
    name = "pm25"
    metric = "validation RMSE (µg/m³)"
    description = "Ridge regression forecasts PM2.5 three hours ahead from its last values."
    space = SearchSpace({"lags": Integer(1, 12), "penalty": Float(1.0, 1e9, log=True)})

    @property
    def frame(self):
        return read(os.stat("data.csv").st_mtime_ns)

    @property
    def n_held_out(self):
        return len(self.frame) // 5

    def parts(self, lags):
        values = self.frame["pm2.5"].to_numpy() / 100
        ends = np.arange(12, len(values) - HORIZON)
        inputs = np.stack([values[ends - lag] for lag in range(lags)], axis=1)
        first, second = int(0.6 * len(ends)), len(ends) - self.n_held_out
        cuts = (slice(0, first), slice(first, second), slice(second, None))
        return [(inputs[cut], values[ends + HORIZON][cut]) for cut in cuts]

    def describe_data(self):
        return mlflow.data.from_pandas(
            self.frame, source="https://me:pa55word@data.example/pm25.csv?token=s3cr3t", name="air"
        )

    def evaluate(self, params, *, fidelity, seed):
        (x, y), (valid_x, valid_y), _ = self.parts(params["lags"])
        rows = np.random.default_rng(seed).choice(len(x), len(x) * 4 // 5, replace=False)
        a = x[rows].T @ x[rows] + params["penalty"] * np.eye(x.shape[1])
        weights = np.linalg.solve(a, x[rows].T @ y[rows])
        model = torch.nn.Linear(len(weights), 1, bias=False)
        model.weight.data = torch.tensor(weights, dtype=torch.float32)[None]
        error = 100 * np.sqrt(np.mean((valid_x @ weights - valid_y) ** 2))
        return Evaluation(float(error), model=model)

    def held_out(self, model):
        x, y = self.parts(model.in_features)[2]
        with torch.no_grad():
            forecasts = model(torch.tensor(x, dtype=torch.float32))[:, 0].numpy()
        return HeldOut((100 * (forecasts - y)) ** 2, block=48, squared=True)

    def live_losses(self, predictions, after):
        made = predictions.set_index(pd.to_datetime(predictions["time"]))["prediction"]
        came = self.frame["pm2.5"].shift(-HORIZON)[after:].iloc[1:]
        losses = (made - came).dropna() ** 2
        return HeldOut(losses.to_numpy(), block=48, squared=True) if len(losses) else None
'''


FAST = {"advisor": "none", "workers": 2, "refits": 3, "particles": 4, "evaluations": 8}
FAST |= {"synchronous": True}

ONLY_THE_SAME = FAST | {"method": "pso", "evaluations": 1}
"""A study that tries what serves, and nothing else."""


def arguments(objective: str, **change) -> dict:
    defaults = {name: p.default for name, p in signature(retune.fn).parameters.items()}
    return defaults | FAST | {"objective": objective} | change


def until(measurements: pd.DataFrame, day: str, **change) -> None:
    """Write the year of data that ends on a day, as the feed would have it then."""
    measurements.loc[:day].iloc[-8760:].assign(**change).to_csv("data.csv")


def restless(measurements: pd.DataFrame) -> pd.DataFrame:
    """The same weather with a PM2.5 that no longer resembles the hours before."""
    noise = np.random.default_rng(1).normal(100, 30, len(measurements))
    return measurements.assign(**{"pm2.5": noise})


def aliases(store: str) -> dict[str, str]:
    found = mlflow.MlflowClient(store).get_registered_model("pm25").aliases
    return {alias: str(version) for alias, version in found.items()}


def roll_back(*arguments: str) -> int:
    return run(joined_app(), ["rollback", *arguments])


def other_run_of(model: str) -> Lock:
    """The lock of another run that retunes a model."""
    return Registry(mlflow.get_tracking_uri(), model).retuning_lock()


def second_version(**tags: str) -> str:
    """A second version, which serves in place of the first."""
    client = mlflow.MlflowClient()
    tags = client.get_model_version("pm25", "1").tags | tags
    version = mlflow.register_model("models:/pm25/1", "pm25", tags=tags).version
    client.set_registered_model_alias("pm25", "previous", "1")
    client.set_registered_model_alias("pm25", "champion", version)
    return str(version)
