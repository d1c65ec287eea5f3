"""The model that a study registers: the best one, or an average of the best."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import get_run_logger

from flows.tune_plan import Plan
from llmpso.ensembles.choose import Choice
from llmpso.ensembles.outcome import EnsembleOutcome
from llmpso.errors import LLMPSOError
from llmpso.objectives.base import SupportsEnsemble
from llmpso.study.result import StudyResult
from llmpso.study.stopping import StopReason
from llmpso.trial import Trial, ranked
from tasks.records.ensembles import record_ensemble, select_ensemble
from tasks.records.flow_runs import prefect_address
from tasks.records.ledger import Ledger
from tasks.records.logged_models import log_best_models, log_model


@dataclass(frozen=True, slots=True)
class FinalModel:
    """What became of a study's models."""

    version: str = ""
    """The new version, as `name/version`; empty if none is registered."""
    ensemble: EnsembleOutcome | None = None
    """Whether an ensemble is; None if none was asked for."""


def final_model(plan: Plan, ledger: Ledger, result: StudyResult) -> FinalModel:
    """Make the best models of a study LoggedModels, and register the final one if it asks to."""
    study, candidates = ledger.study, list(map(ledger.linked, _candidates(result)))
    models = log_best_models(study, candidates, plan.registry.name, plan.dataset)
    choice = _choice(plan, ledger, candidates)
    outcome = choice.outcome if choice else None
    best = next((trial for trial in models if trial.number == result.best.number), None)
    if best is None or not plan.registers:
        return FinalModel(ensemble=outcome)
    if choice and choice.outcome.accepted:
        made = record_ensemble(study, choice.outcome.members, choice.model, choice.value)
        best = log_model(study, made, plan.registry.name, plan.dataset)
    pages = {"the study": study.page, "the run in Prefect": prefect_address()}
    members = choice.outcome.members if choice and choice.outcome.accepted else ()
    version = plan.registry.register(best, study.run_id, pages, members)
    plan.registry.describe(plan.objective.description)
    return FinalModel(version, outcome)


def _choice(plan: Plan, ledger: Ledger, candidates: Sequence[Trial]) -> Choice | None:
    """Whether the average of the best models is better; None if nobody asked."""
    if not plan.run.ensemble or not isinstance(plan.objective, SupportsEnsemble):
        return None
    if "model" not in candidates[0].links:
        reason = f"trial {candidates[0].number}, the best, has no stored model"
        choice = Choice(EnsembleOutcome(False, reason))
    else:
        choice = select_ensemble(ledger.study, plan.objective, candidates, plan.run.ensemble)
    get_run_logger().info("ensemble: %s", choice.outcome.reason)
    return choice


def _candidates(result: StudyResult) -> list[Trial]:
    """The best trial, then the rest of the front, then all others by their value."""
    everyone = (_best(result), *result.front, *ranked(result.trials))
    return list({trial.number: trial for trial in everyone}.values())


def _best(result: StudyResult) -> Trial:
    """The best trial.

    Raises:
        LLMPSOError: None has a value.
    """
    try:
        return result.best
    except LLMPSOError as error:
        if result.stop_reason is not StopReason.ALL_FAILED:
            raise
        raise LLMPSOError(f"{error}; --fresh tries again what has failed") from error
