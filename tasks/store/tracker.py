"""What a study, or a retuning, writes to its run in MLflow and reads from it."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, RunStatus, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS, MLFLOW_RUN_NOTE

from llmpso.urls import masked_url
from tasks.store.client import MOST_SHOWN, client, finite, milliseconds
from tasks.store.page_links import run_page
from tasks.store.patience import STORE_ERRORS

INCUMBENT = "best_value"
"""Metric of the best value so far, at the number of its evaluation."""


@dataclass(frozen=True, slots=True)
class Tracker:
    """One parent run; small, so that it travels to every task."""

    tracking_uri: str
    experiment_id: str
    run_id: str

    @property
    def store(self) -> MlflowClient:
        """The client of its store."""
        return client(self.tracking_uri)

    @property
    def url(self) -> str:
        """The page of the run; empty if the store is no server."""
        if urlsplit(self.tracking_uri).scheme not in ("http", "https"):
            return ""
        base = masked_url(self.tracking_uri).rstrip("/")
        return f"{base}/{self.page}"

    @property
    def page(self) -> str:
        """The page of the run, for links on other pages of MLflow's."""
        return run_page(self.experiment_id, self.run_id)

    def record_curve(self, name: str, points: Sequence[tuple[int, float]]) -> None:
        """Add the points of a curve, each with its step, that it does not have yet."""
        known = {point.step for point in self.store.get_metric_history(self.run_id, name)}
        now = milliseconds(time.time())
        new = [Metric(name, value, now, step) for step, value in points if step not in known]
        if new:
            self.store.log_batch(self.run_id, metrics=new)

    def incumbents(self) -> set[int]:
        """Numbers of the trials that are points of the run's curve."""
        return {point.step for point in self.store.get_metric_history(self.run_id, INCUMBENT)}

    def record_text(self, path: str, text: str) -> None:
        """Store a text file; an empty one is left out."""
        if text:
            self.store.log_text(self.run_id, text, path)

    def text(self, path: str) -> str:
        """A text file; empty if there is none."""
        folder, _, _ = path.rpartition("/")
        listed = self.store.list_artifacts(self.run_id, folder)
        if path not in {entry.path for entry in listed}:
            return ""
        with tempfile.TemporaryDirectory() as scratch:
            file = self.store.download_artifacts(self.run_id, path, scratch)
            return Path(file).read_text("utf-8")

    def record_json(self, path: str, content: Mapping[str, Any]) -> None:
        """Store plain values as JSON."""
        self.store.log_dict(self.run_id, dict(content), path)

    def record_table(self, path: str, table: pd.DataFrame) -> None:
        """Store a table, where MLflow's page shows it as one; an empty one is left out.

        `log_table` would append to the one that an interrupted process of the run has written.
        """
        if not len(table):
            return
        # By default it has ten decimals: in kg/m³ all dust is 0.
        text = table.to_json(orient="split", index=False, date_format="iso", double_precision=15)
        self.store.log_text(self.run_id, text, path)
        tables = json.loads(self.tags().get(MLFLOW_LOGGED_ARTIFACTS, "[]"))
        if (entry := {"path": path, "type": "table"}) not in tables:
            text = json.dumps([*tables, entry])
            self.store.set_tag(self.run_id, MLFLOW_LOGGED_ARTIFACTS, text)

    def record_folder(self, folder: Path, path: str) -> None:
        """Store all files of a folder below `path`."""
        self.store.log_artifacts(self.run_id, str(folder), path)

    def record_summary(
        self, figures: Mapping[str, float], description: str, tags: Mapping[str, str]
    ) -> None:
        """Write figures and tags, and a description in Markdown."""
        self.store.log_batch(
            self.run_id,
            metrics=finite(figures, milliseconds(time.time()), step=0),
            tags=[
                RunTag(MLFLOW_RUN_NOTE, description),
                *(RunTag(key, value) for key, value in tags.items()),
            ],
        )

    def tags(self) -> dict[str, str]:
        """All tags."""
        return dict(self.store.get_run(self.run_id).data.tags)

    def record_tags(self, tags: Mapping[str, str]) -> None:
        """Write tags; long ones are cut."""
        entries = [RunTag(key, value[:MOST_SHOWN]) for key, value in tags.items()]
        self.store.log_batch(self.run_id, tags=entries)

    def reopen(self, tags: Mapping[str, str]) -> None:
        """Resume a run that ended too early."""
        self.store.update_run(self.run_id, status=RunStatus.to_string(RunStatus.RUNNING))
        self.store.log_batch(self.run_id, tags=[RunTag(key, tag) for key, tag in tags.items()])

    def close(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self.store.set_terminated(self.run_id, status)

    def deleted_part(self) -> tuple[str, str]:
        """Which part of it was deleted in MLflow, and how to restore it; empty if none was."""
        at = f"MLFLOW_TRACKING_URI={masked_url(self.tracking_uri)!r}"
        with suppress(*STORE_ERRORS):
            experiment = self.store.get_experiment(self.experiment_id)
            if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
                restore = f"experiments restore --experiment-id {self.experiment_id}"
                return f"experiment {experiment.name!r}", f"`{at} mlflow {restore}`"
            if self.store.get_run(self.run_id).info.lifecycle_stage != LifecycleStage.ACTIVE:
                return f"run {self.run_id}", f"`{at} mlflow runs restore --run-id {self.run_id}`"
        return "", ""
