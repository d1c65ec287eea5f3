"""Champion and challenger as MLflow shows them: two runs with the same metrics, side by side."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from flows.refit import CHALLENGER, CHAMPION, Arms, Refit
from flows.retune_plan import RetunePlan
from llmpso.retuning.degradation import Degradation
from llmpso.space import Params
from llmpso.trial import Trial
from tasks.records.arm_runs import ArmRecord, record_arm
from tasks.records.ensembles import record_ensemble, shown_params
from tasks.records.logged_models import log_model, model_id_of
from tasks.store.names import metric_keys
from tasks.store.tracker import Tracker


def logged_best(plan: RetunePlan, run: Tracker, arms: Arms) -> Trial:
    """The refit that would serve, its model a LoggedModel."""
    best = arms.best
    trial = best.trial
    if best.members:
        trial = record_ensemble(run, best.members, best.model, best.value)
    return log_model(run, trial, plan.name, plan.tune.dataset)


def record_arms(
    plan: RetunePlan, run: Tracker, arms: Arms, best: Trial | None, health: Degradation | None
) -> list[str]:
    """Record both configurations on the hold-out set; their runs, the champion's first.

    Args:
        plan: Names the champion.
        run: The retuning.
        arms: Their refits.
        best: The challenger that would serve, linked to its LoggedModel; None without one.
        health: The error of the champion as it serves.
    """
    found = [] if best is None else [_challenger(arms, best)]
    if plan.champion is not None:
        params = shown_params(plan.champion.configurations)
        found.insert(0, _champion(plan, params, arms, health))
    return [record_arm(run, arm, plan.tune.dataset) for arm in found]


def _champion(
    plan: RetunePlan, params: Params, arms: Arms, health: Degradation | None
) -> ArmRecord:
    version = plan.champion.version if plan.champion else ""
    model_id = model_id_of(plan.registry.version(version).source or "")
    serving = {"serving_error": health.error} if health else {}
    return ArmRecord(CHAMPION, version, model_id, params, _figures(arms.champion) | serving)


def _challenger(arms: Arms, best: Trial) -> ArmRecord:
    figures = _figures(arms.challenger) | {"serving_error": arms.best.error}
    model_id = model_id_of(best.links["model"])
    return ArmRecord(CHALLENGER, "", model_id, best.params, figures)


def _figures(refits: Sequence[Refit]) -> dict[str, Any]:
    """Means over the seeds, and how far these are apart."""
    errors = [refit.error for refit in refits]
    names = metric_keys(refits[0].values)
    goals = {key: fmean(refit.values[name] for refit in refits) for name, key in names.items()}
    return goals | {
        "held_out_error": fmean(errors),
        "held_out_error_min": min(errors),
        "held_out_error_max": max(errors),
        "validation_value": fmean(refit.value for refit in refits),
        "refits": len(refits),
    }
