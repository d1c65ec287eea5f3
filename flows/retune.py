"""A model in production, retuned on new data and replaced only by a better one.

As a Prefect flow, and as a command: `python -m flows.retune`.
"""

import json
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.command import Command
from flows.command_line import run_module
from flows.display.publish import SUMMARY_FILE
from flows.display.summary import STOPPED, Summary
from flows.masked_logs import masked_run
from flows.notify import HOOKS, load_notifier, tell
from flows.parameters import with_parameters
from flows.refit import Arms, compare_arms, refit_arms
from flows.retune_plan import RetuneOptions, RetunePlan, check_retune, locked_plan
from flows.retune_report import Outcome, Report, as_text
from flows.tune import run_plan
from llmpso.errors import ChampionChangedError
from llmpso.escaping import fenced
from llmpso.objectives.base import SupportsDrift
from llmpso.retuning.degradation import Degradation, degradation
from llmpso.retuning.drift import ColumnDrift, Reference, describe, find_drift, last_label
from llmpso.retuning.drift_figure import draw_drift
from llmpso.stopping import StopReason
from llmpso.urls import masked_url
from tasks.champion import REFERENCE_FILE, note_kept
from tasks.ledger import Ledger
from tasks.registry import (
    RETUNE_TAG,
    Promotion,
    promote,
    promotions,
    record_json,
    record_table,
)
from tasks.studies import open_study
from tasks.tracking import (
    StudyRun,
    describe_model,
    finished_study,
    record_folder,
    record_summary,
    record_tags,
    recorded_text,
)

EARLY = (StopReason.SECONDS, StopReason.LLM_CALLS, StopReason.LLM_TOKENS)
"""Ends of a study that are worth a message: money or time ran out."""


@flow(name="retune", flow_run_name="{objective} · {when} · seed {seed}", **HOOKS)
@masked_run
@with_parameters(RetuneOptions)
def retune(options: RetuneOptions) -> Report:
    """Retune the champion of a registered model; replace it only by one that is surely better.

    The first run, without a champion, registers one.
    """
    if options.run.notify:
        load_notifier(options.run.notify)
    with locked_plan(options) as plan, closing(plan.tune):
        report = run_retune(plan)
    create_markdown_artifact(fenced(as_text(report)), key="retuning")
    _tell(plan, report)
    return report


def run_retune(plan: RetunePlan) -> Report:
    """Run a checked plan inside a flow run, and record all of it."""
    for warning in plan.warnings:
        get_run_logger().warning(warning)
    flow_run_id = str(runtime.flow_run.id)
    with open_study(plan.identity, flow_run_id, resume=not plan.tune.run.fresh) as ledger:
        try:
            report = _run(plan, ledger)
        except ChampionChangedError as error:
            record_tags(ledger.study, {"outcome": "refused", "reason": str(error)})
            raise
        _record(plan, ledger.study, report)
    return report


def _run(plan: RetunePlan, ledger: Ledger) -> Report:
    run = ledger.study
    drift, health = _drift(plan, run), _degradation(plan)
    known = {"drift": drift, "degradation": health}
    leave = _reason_to_leave(plan, drift, health)
    if leave:
        return _kept(plan, run, leave, **known)
    summary = _tuned(plan, run)
    record_tags(run, {"study": summary.run_id})
    return _compared(plan, ledger, known | {"study": summary})


def _tuned(plan: RetunePlan, run: StudyRun) -> Summary:
    """The study of the retuning; the one that had ended when an earlier process was killed."""
    ended = finished_study(run.tracking_uri, run.experiment_id, RETUNE_TAG, run.run_id)
    summary = _ended(plan, ended) if ended else None
    return summary or run_plan(replace(plan.tune, retune_run=run.run_id))


def _ended(plan: RetunePlan, study: StudyRun) -> Summary | None:
    """The summary of a study that has ended; None, and a warning, if it cannot be read."""
    try:
        summary = Summary.of(json.loads(recorded_text(study, SUMMARY_FILE)))
        params = plan.tune.objective.space.validate(summary.best_params)
    except (ValueError, TypeError, KeyError) as error:
        get_run_logger().warning(
            "study %s had ended before the interruption, but its summary cannot be read (%r): "
            "tuning anew",
            study.run_id,
            error,
        )
        return None
    get_run_logger().info("study %s had ended before the interruption", study.run_id)
    return replace(summary, best_params=params)


def _compared(plan: RetunePlan, ledger: Ledger, known: dict[str, Any]) -> Report:
    """Let the winner of the study serve, if it is the better one."""
    run, champion, found = ledger.study, plan.champion, known["study"].best_params
    if champion is not None and dict(champion.params) == found:
        reason = "the search found nothing better than the champion's own configuration"
        return _kept(plan, run, reason, **known)
    arms = refit_arms(plan, ledger, found)
    if champion is None:
        return _promoted(plan, run, arms, Outcome.FIRST, "nothing served before", known)
    verdict = compare_arms(arms, plan.options.rule)
    known |= {"verdict": verdict}
    health: Degradation | None = known["degradation"]
    if verdict.is_win and health is not None and arms.best.error > health.error:
        reason = (
            "the challenger beats the champion's configuration, yet the model that serves still "
            f"has the lower error on the newest data ({health.error:.4g}, {arms.best.error:.4g})"
        )
        return _kept(plan, run, reason, **known)
    if not verdict.is_win:
        return _kept(plan, run, verdict.reason, **known)
    return _promoted(plan, run, arms, Outcome.PROMOTED, verdict.reason, known)


def _drift(plan: RetunePlan, run: StudyRun) -> list[ColumnDrift]:
    """Compare the newest rows with what the champion was tuned on, on record with a picture."""
    objective, champion = plan.tune.objective, plan.champion
    if champion is None or champion.reference is None or not isinstance(objective, SupportsDrift):
        return []
    drift = find_drift(champion.reference, objective.frame.iloc[-objective.n_held_out :])
    table = pd.DataFrame(
        [(c.column, c.psi, c.distance, c.p_value, c.has_drifted) for c in drift],
        columns=["column", "psi", "distance", "p_value", "has_drifted"],
    )
    record_table(run, "drift/columns.json", table)
    with tempfile.TemporaryDirectory() as scratch:
        draw_drift(drift, Path(scratch, "columns.png"))
        record_folder(run, Path(scratch), "drift")
    return drift


def _degradation(plan: RetunePlan) -> Degradation | None:
    """The error of the very model that serves, on the newest data."""
    if plan.champion is None or plan.champion.error is None:
        return None
    judged = plan.held_out(plan.serving)
    return degradation(judged, plan.champion.error, confidence=plan.options.confidence)


def _reason_to_leave(
    plan: RetunePlan, drift: list[ColumnDrift], health: Degradation | None
) -> str:
    """Why the model is not tuned this time; empty if it is."""
    if plan.champion is None or plan.options.when == "always":
        return ""
    if plan.options.when == "degraded":
        if health is None:
            get_run_logger().warning("the champion's error was not recorded: tuning anyway")
            return ""
        return "" if health.is_degraded else health.reason
    if not drift:
        get_run_logger().warning("the champion's data was not recorded: tuning anyway")
    is_steady = drift and not any(column.has_drifted for column in drift)
    return describe(drift) if is_steady else ""


def _kept(plan: RetunePlan, run: StudyRun, reason: str, **known: Any) -> Report:
    champion = plan.champion
    if champion is None:
        raise RuntimeError("there is no champion to keep")
    note_kept(plan.tune.tracking_uri, champion, reason)
    version, before = champion.version, plan.serves
    outcome = Outcome.KEPT if champion.serves else Outcome.RESTORED
    return _report(plan, run, outcome, reason, version, before, known)


def _promoted(
    plan: RetunePlan,
    run: StudyRun,
    arms: Arms,
    outcome: Outcome,
    reason: str,
    known: dict[str, Any],
) -> Report:
    """Let the best refit serve, once all that later runs need of it is on record."""
    objective, before = plan.tune.objective, plan.serves
    if isinstance(objective, SupportsDrift):
        tuned_on = objective.frame.iloc[: -objective.n_held_out]
        reference = Reference.of(tuned_on, last_label(objective.frame))
        record_json(run, REFERENCE_FILE, reference.to_json())
    summary: Summary = known["study"]
    promotion = Promotion(
        model=plan.name,
        artifact=arms.best.artifact,
        params=summary.best_params,
        error=arms.best.error,
        outcome=str(outcome),
        reason=reason,
        replaced=before,
        study_run=summary.run_id,
        retune_run=run.run_id,
    )
    describe_model(plan.tune.tracking_uri, plan.name, objective.description)
    version = promote(plan.tune.tracking_uri, promotion)
    return _report(plan, run, outcome, reason, version, before, known)


def _report(
    plan: RetunePlan,
    run: StudyRun,
    outcome: Outcome,
    reason: str,
    version: str,
    before: str,
    known: dict[str, Any],
) -> Report:
    return Report(
        plan.name,
        outcome,
        reason,
        version,
        before,
        run.run_id,
        masked_url(run.tracking_uri),
        **known,
        warnings=plan.warnings,
    )


def _record(plan: RetunePlan, run: StudyRun, report: Report) -> None:
    tags = {"outcome": str(report.outcome), "reason": report.reason, "version": report.version}
    if report.warnings:
        tags["warning"] = "; ".join(report.warnings)
    record_summary(run, report.figures(), fenced(as_text(report)), tags)
    record_json(run, "report.json", report.record())
    history = promotions(run.tracking_uri, plan.name)
    record_table(run, "promotions.json", history)
    create_table_artifact(
        cast(list[dict[str, Any]], history.to_dict("records")),
        key="promotions",
        description=plan.name,
    )


def _tell(plan: RetunePlan, report: Report) -> None:
    stopped = StopReason(report.study.stop_reason) if report.study else None
    ran_out = f" ({STOPPED[stopped]})" if stopped in EARLY else ""
    if report.outcome is not Outcome.KEPT or ran_out:
        tell(
            plan.tune.run.notify, f"retune {report.outcome}: {plan.name}{ran_out}", report.headline
        )


COMMAND = Command(
    retune,
    check=lambda arguments: check_retune(RetuneOptions(**arguments)),
    as_text=as_text,
    as_record=Report.record,
)

APP = COMMAND.app()

if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.retune"))
