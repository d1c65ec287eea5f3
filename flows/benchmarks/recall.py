"""What finding and reading earlier studies costs, in a store with many of them."""

import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import numpy as np
import pandas as pd
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from flows.benchmarks.overhead import tracking_store
from llmpso.memory.finished import past_trials
from llmpso.memory.past_study import PastStudy
from llmpso.options import MemoryOptions
from llmpso.running.pending_records import trial_record
from llmpso.space import Float, Integer, SearchSpace
from llmpso.trial import Source, Trial, TrialState
from tasks.earlier_studies.find import Sought, found
from tasks.records.past_studies import record_past_study, saved_copies
from tasks.records.trial_runs import OUTCOME_TAG
from tasks.store.client import client
from tasks.store.experiment import SPACE_PREFIX, Experiment
from tasks.store.tracker import Tracker

N_STUDIES, N_TRIALS = 200, 60

SPACE = SearchSpace(
    {
        "learning_rate": Float(1e-4, 1e-1, log=True),
        "dropout": Float(0.0, 0.5),
        "layers": Integer(1, 3),
        "units": Integer(16, 256, log=True),
    }
)


def measure_recall(
    repeats: int, stores: Sequence[str] = ("sqlite", "http")
) -> Iterator[dict[str, Any]]:
    """Seconds to find and read all studies: for the first time, and from the copies then saved.

    Half of the studies left a file, as studies do; the others are read from their trials.
    """
    for store in stores:
        with (
            tempfile.TemporaryDirectory(prefix="llmpso-recall-") as folder,
            patch.dict(os.environ, {"XDG_STATE_HOME": folder}),
            tracking_store(store, Path(folder)) as uri,
        ):
            for kind in ("file", "trials"):
                sought = _written(uri, Path(folder) / "mlflow.db", kind)
                for repeat in range(repeats):
                    shutil.rmtree(saved_copies().folder)
                    labels = {"store": store, "read from": kind, "repeat": repeat}
                    yield labels | {"when": "first", "seconds": _seconds(sought)}
                    yield labels | {"when": "again", "seconds": _seconds(sought)}


def recall_table(raw: pd.DataFrame) -> pd.DataFrame:
    """Median seconds by store and by what is read; one column for the first time and for later."""
    medians = raw.groupby(["store", "read from", "when"], sort=False)["seconds"].median()
    return medians.unstack("when").reset_index()


def _seconds(sought: Sought) -> float:
    begin = time.perf_counter()
    n_found = len(found(sought).studies)
    seconds = time.perf_counter() - begin
    if n_found != N_STUDIES:
        raise RuntimeError(f"{n_found} studies were found in place of {N_STUDIES}")
    return seconds


def _written(uri: str, database: Path, kind: str) -> Sought:
    """Write the studies of a kind, and how to look for them."""
    experiment = Experiment(uri, client(uri).create_experiment(f"by {kind}"))
    metric, rng = f"error by {kind} (%)", np.random.default_rng(0)
    params = {f"{SPACE_PREFIX}{name}": repr(dimension) for name, dimension in SPACE.items()}
    for number in range(N_STUDIES):
        tags = {"metric": metric, "objective": "network", "model": "network"}
        with experiment.run(f"network · {number}", params, tags) as study:
            trials = [_trial(number, rng) for number in range(N_TRIALS)]
            _add_trials(database, study, trials)
            if kind == "file":
                past = PastStudy(
                    name="network", reference="", metric=metric, trials=past_trials(trials)
                )
                record_past_study(study, past)
    # Far more than a study is allowed to read.
    options = MemoryOptions().model_copy(update={"memory_studies": N_STUDIES})
    return Sought(experiment, SPACE, metric, "network", "network", options=options)


def _trial(number: int, rng: np.random.Generator) -> Trial:
    return Trial(
        number,
        SPACE.decode(rng.random(len(SPACE))),
        Source.SURROGATE,
        number,
        0,
        seed=number,
        state=TrialState.COMPLETE,
        value=float(rng.random()),
        metrics={"train_error": float(rng.random()), "epochs": 30.0},
    )


def _add_trials(database: Path, study: Tracker, trials: list[Trial]) -> None:
    """Write the runs of trials into the database itself, which is a thousand times as fast."""
    runs, tags, params, metrics = [], [], [], []
    for trial in trials:
        run, now = uuid4().hex, time.time_ns() // 1_000_000
        runs.append((run, "", "FINISHED", now, now, "active", "", study.experiment_id))
        own = {MLFLOW_PARENT_RUN_ID: study.run_id, "state": "complete", "source": "surrogate"}
        own |= {f"{OUTCOME_TAG}.0": json.dumps(trial_record(trial)), "mlflow.runName": run}
        tags += [(name, text, run) for name, text in own.items()]
        params += [(name, str(value), run) for name, value in trial.params.items()]
        metrics += [(name, value, now, 0, 0, run) for name, value in trial.metrics.items()]
    columns = "run_uuid, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri"
    with sqlite3.connect(database, timeout=60) as opened:
        opened.executemany(
            f"INSERT INTO runs ({columns}, experiment_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", runs
        )
        opened.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
        opened.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", params)
        opened.executemany(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            metrics,
        )
