"""Send a finished study to MLflow (metrics, figures, description) and to Prefect (report)."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State

from flows.display.summary import Summary
from flows.display.summary_markdown import description, report
from flows.tune_plan import Plan
from llmpso.memory.finished import past_trials
from llmpso.memory.past_study import PastStudy
from llmpso.study.result import StudyResult
from llmpso.text import plural
from llmpso.trial import Trial
from tasks.records.ledger import Ledger
from tasks.records.pages import draw_study, trace_calls
from tasks.records.past_studies import record_past_study
from tasks.store.client import MOST_STORED
from tasks.store.patience import STORE_ERRORS
from tasks.store.tracker import Tracker

SUMMARY_FILE = "summary.json"
"""The record of a study's summary, on its run."""


def publish(plan: Plan, ledger: Ledger, result: StudyResult, summary: Summary) -> None:
    """Record a finished study, the numbers first.

    If figures or traces cannot be made, their task fails and the study's run gets a tag; the
    study and its values are complete all the same.
    """
    study = ledger.study
    study.record_text(SUMMARY_FILE, json.dumps(summary.record(), indent=2))
    record_past_study(study, _for_later(plan, result))
    tags = {"stop_reason": summary.stop_reason, "source": summary.best_source}
    if ensemble := summary.ensemble_outcome:
        tags["ensemble_outcome"] = ensemble.reason[:MOST_STORED]
        tags["ensemble_weights"] = json.dumps(ensemble.weights)
    study.record_summary(summary.figures(), description(summary), tags)
    study.record_curve("memory_belief", [(int(n), share) for n, share in summary.beliefs])
    drawn = _result_of(
        study,
        draw_study(
            study,
            plan.objective,
            result.trials,
            _as_registered(ledger.linked(result.best), summary),
            summary.study,
            f"{plural(summary.evaluations, 'evaluation')}, best {plan.objective.metric}: "
            f"{summary.best_value:.4g}",
            return_state=True,
        ),
    )
    if result.calls and plan.backend:
        _result_of(
            study, trace_calls(study, result.calls, plan.backend.identity, return_state=True)
        )
    create_markdown_artifact(report(summary, drawn or {}), key="report")


def _as_registered(best: Trial, summary: Summary) -> Trial:
    """The best trial; with the model that was registered, if that is not its own."""
    ensemble = summary.ensemble_outcome
    if ensemble is None or not ensemble.accepted or not summary.model:
        return best
    return replace(best, links={**best.links, "model": f"models:/{summary.model}"})


def _for_later(plan: Plan, result: StudyResult) -> PastStudy:
    """The study as later ones read it."""
    return PastStudy(
        name=plan.name,
        reference="",
        metric=plan.objective.metric,
        ended=datetime.now(UTC),
        description={"task": plan.objective.description},
        trials=past_trials(result.trials),
    )


def _result_of(study: Tracker, state: State[Any]) -> Any:
    """The result of a task; None, a warning and a tag if there is none."""
    if state.is_completed():
        return state.result()
    get_run_logger().warning("figures or traces of the study are missing: %s", state.message)
    with suppress(*STORE_ERRORS):
        study.record_tags({"pages": f"incomplete: {state.message}"})
    return None
