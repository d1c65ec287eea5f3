"""What an evaluation costs beyond its training, here and under other tuners."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_LEVEL, temporary_settings

from flows.benchmarks.other_tuners import bare_optuna_study, optuna_study, ray_study
from flows.servers import HOST, free_port, is_healthy, start_supervised, wait_until_ready
from flows.tune import tune
from tasks.store.new_store import make_store

OURS = "llmpso: all that is tracked, its pages included"
LONGER = 10
"""A long study has so many times the evaluations of a short one."""


def _own_study(evaluations: int, tracking_uri: str) -> None:
    tune(
        "llmpso.benchmark.cheap:Cheap",
        method="pso",
        evaluations=evaluations,
        particles=10,
        fresh=True,
    )


SYSTEMS: dict[str, Callable[[int, str], None]] = {
    OURS: _own_study,
    "Optuna, its MLflow callback, models by log_model": optuna_study,
    "Optuna, its MLflow callback, weights as a file": bare_optuna_study,
    "Ray Tune, its MLflow callback, no model in MLflow": ray_study,
}
SHORT_ONLY = (
    "Optuna, its MLflow callback, models by log_model",
    "Ray Tune, its MLflow callback, no model in MLflow",
)
"""So slow per trial that the long study would take the greater part of the time."""


def measure_machinery(evaluations: int, repeats: int) -> Iterator[dict[str, Any]]:
    """Seconds of whole studies that cost nothing to train, one row per study; they alternate.

    Each runs in a new process with an empty store.
    """
    plans = product(
        range(repeats), ("sqlite", "http"), (evaluations, LONGER * evaluations), SYSTEMS
    )
    for repeat, store, n_evaluations, system in plans:
        if system in SHORT_ONLY and n_evaluations > evaluations:
            continue
        labels = {"store": store, "system": system, "evaluations": n_evaluations}
        seconds = seconds_of_study(store, system, n_evaluations)
        yield labels | {"repeat": repeat, "seconds": seconds}


def machinery_table(raw: pd.DataFrame) -> pd.DataFrame:
    """Median milliseconds per evaluation by store and length of study, and ours as a share."""
    per_evaluation = 1e3 * raw["seconds"] / raw["evaluations"]
    keys = [raw["store"], raw["system"], raw["evaluations"]]
    medians = pd.DataFrame(per_evaluation.groupby(keys, sort=False).median().unstack())
    ours = medians.xs(OURS, level="system").reindex(medians.index.get_level_values("store"))
    shares = pd.DataFrame(ours.to_numpy() / medians)
    shares.columns = [f"ours / this, {n}" for n in medians.columns]
    medians.columns = [f"ms per evaluation, {n}" for n in medians.columns]
    return pd.concat([medians, shares], axis=1).reset_index()


def seconds_of_study(store: str, system: str, evaluations: int) -> float:
    """Seconds of one study by one tuner, in an empty store: `sqlite`, or a server by `http`."""
    with (
        tempfile.TemporaryDirectory(prefix="llmpso-speed-") as folder,
        tracking_store(store, Path(folder)) as uri,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
    ):
        api = PREFECT_API_URL.value()
        return process.submit(_timed, system, evaluations, uri, folder, api).result()


@contextmanager
def tracking_store(store: str, folder: Path) -> Iterator[str]:
    """The address of an empty store, in a file or behind a server."""
    database = f"sqlite:///{folder / 'mlflow.db'}"
    make_store(database)
    if store == "sqlite":
        yield database
        return
    address, log = f"http://{HOST}:{(port := free_port())}", folder / "server.log"
    command = ["mlflow", "server", "--host", HOST, "--port", str(port)]
    places = ["--backend-store-uri", database, "--artifacts-destination", str(folder / "models")]
    process = start_supervised([*command, *places], log, folder / "users", {})
    try:
        complaint = f"the MLflow server did not start on port {port}"
        wait_until_ready(process, partial(is_healthy, address), complaint)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def _timed(system: str, evaluations: int, uri: str, folder: str, api: str) -> float:
    """Seconds of one study in this process; importing is not counted."""
    os.chdir(folder)
    os.environ["XDG_STATE_HOME"] = folder
    mlflow.set_tracking_uri(uri)
    mlflow.search_experiments()
    settings = {PREFECT_API_URL: api, PREFECT_LOGGING_LEVEL: "ERROR"}
    with temporary_settings(settings):
        begin = time.perf_counter()
        SYSTEMS[system](evaluations, uri)
        return time.perf_counter() - begin
