"""Figures of a study, and traces of its requests to the language model, in MLflow."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import SpanType
from mlflow.utils.autologging_utils import disable_autologging
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmpso.advisor import Call
from llmpso.objectives.base import DescribedObjective, SupportsReport
from llmpso.pages.chart_files import draw
from llmpso.pages.charts import Chart
from llmpso.pages.model_charts import model_charts
from llmpso.pages.study_charts import study_charts
from llmpso.trial import Trial
from tasks.models.artifacts import load_model
from tasks.storable_errors import storable_errors
from tasks.store.client import paged
from tasks.store.tracker import Tracker

FIGURES = "figures"
"""Folder of the figures among the artifacts of the study's run."""


@task(name="draw", task_run_name="draw the study", cache_policy=NO_CACHE)
@storable_errors
def draw_study(
    study: Tracker,
    objective: DescribedObjective,
    trials: Sequence[Trial],
    best: Trial,
    title: str,
    subtitle: str,
) -> dict[str, bytes]:
    """Draw a study, and store the figures with its run.

    Args:
        study: Where they go.
        objective: What was tuned; shows what its model does if it is `SupportsReport`.
        trials: All of the study.
        best: Its best trial, with a link to the model.
        title: Of the page.
        subtitle: One line below it.

    Returns:
        The pictures, PNG, by name.
    """
    # A user's `mlflow.autolog()` would take the random forest behind a chart for one of theirs.
    with disable_autologging():
        charts = study_charts(trials, objective.space, objective.metric, best)
        charts += _model_charts(study, objective, best)
    with tempfile.TemporaryDirectory() as scratch:
        files = draw(charts, Path(scratch), title, subtitle)
        study.record_folder(Path(scratch), FIGURES)
        return {file.stem: file.read_bytes() for file in files if file.suffix == ".png"}


def _model_charts(study: Tracker, objective: DescribedObjective, best: Trial) -> list[Chart]:
    if not isinstance(objective, SupportsReport) or "model" not in best.links:
        return []
    model = load_model(study.tracking_uri, best.links["model"], objective)
    return model_charts(objective.records(model))


@task(name="trace", task_run_name="trace the language model's calls", cache_policy=NO_CACHE)
@storable_errors
def trace_calls(study: Tracker, calls: Sequence[Call], model: Mapping[str, str]) -> None:
    """Save every request to the language model as a trace of the study's run.

    Those of an earlier run of the study exist already.

    Args:
        study: Whose they are.
        calls: In their order; one that the cache answered took no time.
        model: What distinguishes the model from another; never a key.
    """
    mlflow.set_tracking_uri(study.tracking_uri)
    for call in calls[_n_traced(study) :]:
        _trace(study, call, model)
    # They are written by a thread, which must not outlive the study.
    mlflow.flush_trace_async_logging()


def _n_traced(study: Tracker) -> int:
    search = study.store.search_traces
    found = partial(
        search,
        locations=[study.experiment_id],
        filter_string=f"metadata.`mlflow.sourceRun` = '{study.run_id}'",
        include_spans=False,
    )
    return sum(1 for _ in paged(found))


def _trace(study: Tracker, call: Call, model: Mapping[str, str]) -> None:
    begin = int(call.asked_at * 1e9)
    attributes: dict[str, Any] = {
        **{f"llm.{key}": value for key, value in model.items()},
        "mlflow.chat.tokenUsage": {
            "input_tokens": call.prompt_tokens,
            "output_tokens": call.completion_tokens,
            "total_tokens": call.prompt_tokens + call.completion_tokens,
        },
        "problems": list(call.problems),
        "cached": call.cached,
        "retries": call.retries,
    }
    span = mlflow.start_span_no_context(
        f"iteration {call.iteration} · {call.prompt}",
        span_type=SpanType.CHAT_MODEL,
        inputs={"messages": [asdict(message) for message in call.messages]},
        attributes=attributes,
        metadata={"mlflow.sourceRun": study.run_id},
        experiment_id=study.experiment_id,
        start_time_ns=begin,
    )
    span.end(
        outputs={"reply": call.reply},
        status="OK" if call.reply else "ERROR",
        end_time_ns=begin + int(call.seconds * 1e9),
    )
