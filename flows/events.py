"""What happens to studies and models, as events of Prefect, to which automations can react."""

from collections.abc import Mapping
from threading import Thread
from typing import Any

from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL

from flows.display.summary import Summary
from flows.retune_plan import RetunePlan
from flows.retune_report import Decision, Findings, RetuneReport

OUTCOMES: Mapping[Decision, str] = {
    Decision.FIRST: "promoted",
    Decision.PROMOTED: "promoted",
    Decision.REFRESHED: "promoted",
    Decision.KEPT: "kept",
    Decision.RESTORED: "restored",
}
"""What happened to the champion, as the last part of an event's name."""

EVENT_SECONDS = 15.0
"""How long a rollback waits for its event to be sent."""

OF_STUDY = (
    *("study", "metric", "method", "seed", "evaluations", "failed", "stop_reason"),
    *("best_value", "best_params", "best_source", "model", "run_id", "run_url"),
)
"""What the event of a study holds of its summary."""


def study_ended(summary: Summary) -> None:
    """`llmpso.study.ended`: a study has its result."""
    resource = {
        "prefect.resource.id": _study(summary.run_id),
        "prefect.resource.name": summary.study,
        "llmpso.objective": summary.objective,
        "llmpso.stop-reason": summary.stop_reason,
    }
    version = {"model-version": f"llmpso.model-version.{summary.model}"} if summary.model else {}
    record = summary.record()
    _emit("study.ended", resource, version, {name: record[name] for name in OF_STUDY})


def champion_examined(plan: RetunePlan, run_id: str, found: Findings) -> None:
    """`llmpso.model.degraded`, `llmpso.model.drifted`: before it is tuned, if it is so.

    Args:
        plan: The retuning's plan, with the champion.
        run_id: The retuning's run in MLflow.
        found: What was found on the newest data.
    """
    if plan.champion is None:
        return
    version, health = plan.champion.version, found.degraded
    resource, related = _model(plan.name, version), _version(plan.name, version)
    common = {"model": plan.name, "version": version, "run_id": run_id}
    if health is not None:
        figures = {"error": health.error, "at_promotion": health.recorded}
        _emit("model.degraded", resource, related, common | {"reason": health.reason} | figures)
    if shifted := {c.column: c.psi for c in found.drift if c.has_drifted}:
        _emit("model.drifted", resource, related, common | {"psi": shifted})


def retuning_ended(report: RetuneReport) -> None:
    """`llmpso.model.promoted`, `llmpso.model.kept` or `llmpso.model.restored`."""
    related = _version(report.model, report.version)
    payload: dict[str, Any] = {
        "model": report.model,
        "version": report.version,
        "before": report.before,
        "outcome": str(report.outcome),
        "reason": report.reason,
        "run_id": report.run_id,
        "params": dict(report.params),
        "figures": report.figures(),
    }
    if report.study is not None:
        related |= {"study": _study(report.study.run_id)}
        payload["study_run"] = report.study.run_id
    resource = _model(report.model, report.version)
    _emit(f"model.{OUTCOMES[report.outcome]}", resource, related, payload)


def rolled_back(model: str, old: str, new: str) -> str:
    """`llmpso.model.restored`, if a Prefect server is set: a rollback needs none.

    Returns:
        Why it could not be sent; empty if it was, or no server is set.
    """
    if not PREFECT_API_URL.value():
        return ""
    with get_client(sync_client=True) as client:
        if error := client.api_healthcheck():
            return f"the event for Prefect's automations could not be sent: {error!r}"
    payload = {"model": model, "version": new, "before": old, "outcome": "rolled back"}
    _emit("model.restored", _model(model, new), _version(model, new), payload)
    if _is_sent():
        return ""
    return f"the event for Prefect's automations could not be sent in {EVENT_SECONDS:g} seconds"


def _is_sent() -> bool:
    """Wait for the events on their way, else Prefect warns that the command waits for them."""
    # Where Prefect cannot connect, as behind a proxy without websockets, the wait never ends.
    waiting = Thread(target=EventsWorker.instance().wait_until_empty, daemon=True)
    waiting.start()
    waiting.join(EVENT_SECONDS)
    return not waiting.is_alive()


def _emit(
    event: str, resource: dict[str, str], related: Mapping[str, str], payload: dict[str, Any]
) -> None:
    """Send an event; Prefect adds the flow run, its flow, deployment and tags by itself."""
    others = [
        {"prefect.resource.id": identity, "prefect.resource.role": role}
        for role, identity in related.items()
    ]
    emit_event(f"llmpso.{event}", resource, related=others, payload=payload)


def _model(name: str, version: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"llmpso.model.{name}",
        "prefect.resource.name": name,
        "llmpso.version": version,
    }


def _version(model: str, version: str) -> dict[str, str]:
    return {"model-version": f"llmpso.model-version.{model}/{version}"}


def _study(run_id: str) -> str:
    return f"llmpso.study.{run_id}"
