"""A model in production, retuned on new data and replaced only by a better one.

As a Prefect flow, and as a command: `python -m flows.retune`.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

from prefect import get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.arm_comparison import logged_best, record_arms
from flows.champion_checks import check_champion, reason_not_to_tune
from flows.command import Command
from flows.command_line import run_module
from flows.display.publish import SUMMARY_FILE
from flows.display.summary import STOPPED, Summary
from flows.events import champion_examined, retuning_ended
from flows.masked_logs import masked_run
from flows.notify import HOOKS, load_notifier, tell
from flows.options_flow import options_flow
from flows.parameters import with_parameters
from flows.refit import (
    Arms,
    Refit,
    compare_arms,
    compare_with_serving,
    reason_not_to_refresh,
    reason_to_keep,
    reason_to_promote,
    refit_arms,
)
from flows.retune_plan import RetuneOptions, RetunePlan, check_retune, locked_plan
from flows.retune_report import Decision, Findings, RetuneReport, as_text, description
from flows.tune import run_plan
from llmpso import __version__
from llmpso.ensembles.outcome import Member
from llmpso.errors import ChampionChangedError
from llmpso.escaping import fenced
from llmpso.objectives.base import SupportsDrift
from llmpso.retuning.drift import Reference, last_label
from llmpso.space import Params
from llmpso.study.stopping import StopReason
from llmpso.trial import Trial
from llmpso.urls import masked_url
from tasks.models.find_champion import REFERENCE_FILE, record_confirmation
from tasks.models.registry import RETUNE_TAG, Promotion
from tasks.records.flow_runs import prefect_address, without_process_tag
from tasks.records.ledger import Ledger
from tasks.records.studies import open_study
from tasks.store.client import quoted
from tasks.store.page_links import comparison_page, run_page
from tasks.store.tracker import Tracker

EARLY = (StopReason.SECONDS, StopReason.LLM_CALLS, StopReason.LLM_TOKENS, StopReason.LLM_COST)
"""Reasons for the end of a study that cause a notification: calls, tokens or time ran out."""


@options_flow(
    RetuneOptions,
    name="retune",
    version=__version__,
    flow_run_name="{objective} · {when} · seed {seed}",
    **HOOKS,
)
@masked_run
@without_process_tag()
@with_parameters(RetuneOptions)
def retune(options: RetuneOptions) -> RetuneReport:
    """Retune the champion of a registered model; replace it only by a better one.

    The first run, without a champion, registers one.
    """
    if options.run.notify:
        load_notifier(options.run.notify)
    with locked_plan(options) as plan, closing(plan.tune):
        report = run_retune(plan)
    create_markdown_artifact(fenced(as_text(report)), key="retuning")
    _notify_outcome(plan, report)
    return report


def run_retune(plan: RetunePlan) -> RetuneReport:
    """Run a checked plan inside a flow run, and record all of it."""
    for warning in plan.warnings:
        get_run_logger().warning(warning)
    flow_run_id = str(runtime.flow_run.id)
    with open_study(plan.identity, flow_run_id, resume=not plan.tune.run.fresh) as ledger:
        try:
            report = _run(plan, ledger)
        except ChampionChangedError as error:
            ledger.study.record_tags({"outcome": "refused", "reason": str(error)})
            raise
        _record(plan, ledger.study, report)
    retuning_ended(report)
    return report


def _run(plan: RetunePlan, ledger: Ledger) -> RetuneReport:
    """Check, tune, compare, promote: each step adds to what is known."""
    run = ledger.study
    found = check_champion(plan, run)
    champion_examined(plan, run.run_id, found)
    if reason := reason_not_to_tune(plan, found):
        return _keep(plan, run, reason, found)
    study = _tuned(plan, run)
    run.record_tags({"study": study.run_id})
    found = replace(found, study=study)
    challenger = _challenger(plan, study)
    if plan.champion is not None and _is_same(plan.champion.configurations, challenger):
        return _train_again(plan, ledger, found)
    arms = refit_arms(plan, ledger, challenger)
    best = logged_best(plan, run, arms)
    compared = record_arms(plan, run, arms, best, found.degradation)
    ledger.check()
    if plan.champion is None:
        return _promote(plan, run, arms.best, best, Decision.FIRST, "nothing served before", found)
    found = replace(found, compared=comparison_page(run.experiment_id, compared))
    verdict = compare_arms(arms, plan.options.rule)
    found = replace(found, verdict=verdict)
    if reason := reason_to_keep(arms, verdict, found.degradation):
        return _refresh_or_keep(plan, ledger, arms, reason, found)
    reason = reason_to_promote(arms, verdict)
    return _promote(plan, run, arms.best, best, Decision.PROMOTED, reason, found)


def _tuned(plan: RetunePlan, run: Tracker) -> Summary:
    """The study of the retuning; the one that had ended when an earlier process was killed."""
    ended = plan.tune.experiment.finished_studies(RETUNE_TAG, quoted(run.run_id), 1)
    summary = _ended(plan, ended[0]) if ended else None
    return summary or run_plan(replace(plan.tune, retune_run=run.run_id))


def _ended(plan: RetunePlan, study: Tracker) -> Summary | None:
    """The summary of a study that has ended; None, and a warning, if it cannot be read."""
    try:
        summary = Summary.of(json.loads(study.text(SUMMARY_FILE)))
        params = plan.tune.objective.space.validate(summary.best_params)
    except (ValueError, TypeError, KeyError) as error:
        get_run_logger().warning(
            "study %s had ended before the interruption, but its summary cannot be read (%r): "
            "tuning again",
            study.run_id,
            error,
        )
        return None
    get_run_logger().info("study %s had ended before the interruption", study.run_id)
    return replace(summary, best_params=params)


def _challenger(plan: RetunePlan, study: Summary) -> tuple[Member, ...]:
    """The best configuration of the study, or the members of its ensemble."""
    outcome, space = study.ensemble_outcome, plan.tune.objective.space
    if outcome is None or not outcome.accepted:
        return (Member(study.best_params),)
    return tuple(replace(m, params=space.validate(m.params)) for m in outcome.members)


def _is_same(champion: Sequence[Member], challenger: Sequence[Member]) -> bool:
    """Whether both are of the same configurations with the same weights."""
    one, other = ([(dict(m.params), m.weight) for m in arm] for arm in (champion, challenger))
    return one == other


def _train_again(plan: RetunePlan, ledger: Ledger, found: Findings) -> RetuneReport:
    """Train the champion's configuration on the newest data, as the study found no other."""
    run = ledger.study
    reason = "the search found nothing better than the champion's own configuration"
    if not plan.serves:
        return _keep(plan, run, reason, found)
    arms = refit_arms(plan, ledger, ())
    record_arms(plan, run, arms, None, found.degradation)
    return _refresh_or_keep(plan, ledger, arms, reason, found)


def _refresh_or_keep(
    plan: RetunePlan, ledger: Ledger, arms: Arms, reason: str, found: Findings
) -> RetuneReport:
    """Let the champion's configuration serve as trained now, if that beats what serves."""
    run, refresh = ledger.study, arms.refresh
    if not plan.serves:
        return _keep(plan, run, reason, found)
    verdict = compare_with_serving(plan, refresh)
    found = replace(found, refresh=verdict)
    if against := reason_not_to_refresh(refresh, verdict):
        return _keep(plan, run, f"{reason}; {against}", found)
    best = logged_best(plan, run, refresh)
    ledger.check()
    return _promote(plan, run, refresh.best, best, Decision.REFRESHED, verdict.reason, found)


def _keep(plan: RetunePlan, run: Tracker, reason: str, found: Findings) -> RetuneReport:
    """Record that the champion stays."""
    champion = plan.champion
    if champion is None:
        raise RuntimeError("there is no champion to keep")
    record_confirmation(plan.registry, champion, reason)
    outcome = Decision.KEPT if champion.serves else Decision.RESTORED
    return _report(plan, run, outcome, reason, champion.version, champion.params, found)


def _promote(
    plan: RetunePlan,
    run: Tracker,
    refit: Refit,
    best: Trial,
    outcome: Decision,
    reason: str,
    found: Findings,
) -> RetuneReport:
    """Let the best refit serve, once all that later runs need of it is recorded."""
    if found.study is None:
        raise RuntimeError("there is no study whose best configuration could be promoted")
    _record_reference(plan, run)
    promotion = Promotion(
        artifact=best.links["model"],
        params=refit.params,
        error=refit.error,
        outcome=str(outcome),
        reason=reason,
        replaced=plan.serves,
        study_run=found.study.run_id,
        retune_run=run.run_id,
        pages=_pages(run, found.study, found.compared),
        members=refit.members,
    )
    plan.registry.describe(plan.tune.objective.description)
    version = plan.registry.promote(promotion)
    return _report(plan, run, outcome, reason, version, refit.params, found)


def _record_reference(plan: RetunePlan, run: Tracker) -> None:
    """Record the data that the new champion was tuned on."""
    objective = plan.tune.objective
    if isinstance(objective, SupportsDrift):
        tuned_on = objective.frame.iloc[: -objective.n_held_out]
        reference = Reference.of(tuned_on, last_label(objective.frame))
        run.record_json(REFERENCE_FILE, reference.to_json())


def _pages(run: Tracker, study: Summary, compared: str) -> dict[str, str]:
    """Where a version comes from."""
    return {
        "the retuning": run.page,
        "its study": run_page(run.experiment_id, study.run_id),
        "champion and challenger side by side": compared,
        "the run in Prefect": prefect_address(),
    }


def _report(
    plan: RetunePlan,
    run: Tracker,
    outcome: Decision,
    reason: str,
    version: str,
    params: Params,
    found: Findings,
) -> RetuneReport:
    return RetuneReport(
        model=plan.name,
        outcome=outcome,
        reason=reason,
        version=version,
        before=plan.serves,
        run_id=run.run_id,
        tracking_uri=masked_url(run.tracking_uri),
        drift=found.drift,
        degradation=found.degradation,
        live=found.live,
        study=found.study,
        verdict=found.verdict,
        refresh=found.refresh,
        warnings=plan.warnings,
        compared=found.compared,
        params=params,
    )


def _record(plan: RetunePlan, run: Tracker, report: RetuneReport) -> None:
    tags = {"outcome": str(report.outcome), "reason": report.reason, "version": report.version}
    if report.warnings:
        tags["warning"] = "; ".join(report.warnings)
    study = run_page(run.experiment_id, report.study.run_id) if report.study else ""
    text = description(report, study, prefect_address())
    run.record_summary(report.figures(), text, tags)
    run.record_json("report.json", report.record())
    history = plan.registry.promotions()
    run.record_table("promotions.json", history)
    rows = cast(list[dict[str, Any]], history.to_dict("records"))
    create_table_artifact(rows, key="promotions", description=plan.name)


def _notify_outcome(plan: RetunePlan, report: RetuneReport) -> None:
    stopped = StopReason(report.study.stop_reason) if report.study else None
    ran_out = f" ({STOPPED[stopped]})" if stopped in EARLY else ""
    if report.outcome is not Decision.KEPT or ran_out:
        tell(
            plan.tune.run.notify, f"retune {report.outcome}: {plan.name}{ran_out}", report.headline
        )


COMMAND = Command(
    retune,
    check=lambda arguments: check_retune(RetuneOptions(**arguments)),
    as_text=as_text,
    as_record=RetuneReport.record,
    examples=(
        "--csv measurements.csv --target pm2.5 --min-new-rows 24",
        "--when degraded --patience auto --max-seconds 7200",
    ),
)

APP = COMMAND.app()

if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.retune"))
