"""The model that serves, checked before it is retuned: drift of its data, and its own error."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from prefect import get_run_logger

from flows.retune_plan import RetunePlan
from flows.retune_report import Findings
from llmpso.objectives.base import SupportsDrift, SupportsLiveLosses
from llmpso.retuning.degradation import Degradation, LiveError, degradation, live_error
from llmpso.retuning.drift import ColumnDrift, describe, find_drift
from llmpso.retuning.drift_figure import draw_drift
from tasks.models.predictions import logged_predictions
from tasks.store.experiment import find_experiment
from tasks.store.tracker import Tracker


def check_champion(plan: RetunePlan, run: Tracker) -> Findings:
    """Drift and degradation; empty in the first run, without a champion."""
    return Findings(
        drift=drift_of(plan, run), degradation=degradation_of(plan), live=live_error_of(plan)
    )


def reason_not_to_tune(plan: RetunePlan, found: Findings) -> str:
    """Why the model is not tuned this time; empty if it is."""
    if plan.champion is None or plan.options.when == "always":
        return ""
    if plan.options.when == "degraded":
        return _not_degraded(found)
    if not isinstance(plan.tune.objective, SupportsDrift):
        get_run_logger().warning(
            "drift cannot be measured of %s: tuning anyway", plan.tune.objective.name
        )
        return ""
    return _not_drifted(found.drift)


def drift_of(plan: RetunePlan, run: Tracker) -> tuple[ColumnDrift, ...]:
    """The newest rows compared with those the champion was tuned on; recorded, with a figure."""
    objective, champion = plan.tune.objective, plan.champion
    if champion is None or champion.reference is None or not isinstance(objective, SupportsDrift):
        return ()
    drift = find_drift(champion.reference, objective.frame.iloc[-objective.n_held_out :])
    table = pd.DataFrame(
        [(c.column, c.psi, c.distance, c.p_value, c.has_drifted) for c in drift],
        columns=["column", "psi", "distance", "p_value", "has_drifted"],
    )
    run.record_table("drift/columns.json", table)
    with tempfile.TemporaryDirectory() as scratch:
        draw_drift(drift, Path(scratch, "columns.png"))
        run.record_folder(Path(scratch), "drift")
    return tuple(drift)


def degradation_of(plan: RetunePlan) -> Degradation | None:
    """The error of the very model that serves, on the hold-out set."""
    losses = plan.serving_losses
    if plan.champion is None or plan.champion.error is None or losses is None:
        return None
    return degradation(losses, plan.champion.error, confidence=plan.options.confidence)


def live_error_of(plan: RetunePlan) -> LiveError | None:
    """The error of what the version that serves predicted; None if no truth is known of it."""
    objective, champion = plan.tune.objective, plan.champion
    if not isinstance(objective, SupportsLiveLosses):
        return None
    if champion is None or champion.reference is None:
        return None
    experiment = find_experiment(plan.registry.tracking_uri, plan.options.predictions)
    if experiment is None:
        return None
    made = logged_predictions(experiment, plan.name, champion.version)
    losses = None if made is None else objective.live_losses(made, champion.reference.until)
    if losses is None:
        return None
    return live_error(losses, champion.error, confidence=plan.options.confidence)


def _not_degraded(found: Findings) -> str:
    health, live = found.degradation, found.live
    if health is None:
        get_run_logger().warning("the champion's error was not recorded: tuning anyway")
        return ""
    if found.degraded is not None:
        return ""
    return "; ".join(part.reason for part in (health, live) if part is not None)


def _not_drifted(drift: Sequence[ColumnDrift]) -> str:
    if not drift:
        get_run_logger().warning("the champion's data was not recorded: tuning anyway")
    is_steady = drift and not any(column.has_drifted for column in drift)
    return describe(list(drift)) if is_steady else ""
