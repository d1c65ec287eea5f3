"""The summary of a finished study: its figures, what people should know, what it cost."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from typing import Any

from flows.display.began_from import earlier_records, start_records
from flows.display.summary import Summary
from flows.tune_plan import Plan
from llmpso.advisor import Call
from llmpso.ensembles.outcome import EnsembleOutcome
from llmpso.errors import LLMPSOError
from llmpso.improvements import improvements
from llmpso.objectives.base import SupportsBaselines, is_deterministic
from llmpso.search.warm_start import Memory
from llmpso.study.cost import TrainingCost
from llmpso.study.facts import failures
from llmpso.study.result import StudyResult
from llmpso.study.stopping import StopReason
from llmpso.text import short
from llmpso.token_prices import TokenPrice
from llmpso.trial import Trial, TrialState
from llmpso.urls import masked_url
from llmpso.user_code.calls import run_user_code
from tasks.store.tracker import Tracker

MOST_WARNINGS = 3
"""Warnings of trials that the summary repeats; each is also recorded on its trial."""


def summarise(
    plan: Plan,
    result: StudyResult,
    *,
    reused: Set[int],
    wall_seconds: float,
    model: str,
    ensemble: EnsembleOutcome | None,
    study: Tracker,
    prefect_run: str,
    notes: Sequence[str],
    memory: Memory | None,
) -> Summary:
    """The summary of a finished study.

    Args:
        plan: The study's plan.
        result: Its result.
        reused: Numbers of the trials that an earlier run evaluated.
        wall_seconds: Duration of this run.
        model: The registered version.
        ensemble: Whether it is an average of the best models; None if none was asked for.
        study: The study's run in MLflow.
        prefect_run: Address of the flow run.
        notes: What users should know.
        memory: What earlier studies taught the search.

    Raises:
        LLMPSOError: Every trial failed.
    """
    objective = plan.objective
    trained = (*result.trials, *result.repeats)
    baselines, problems = _baselines(objective)
    return Summary(
        study=plan.name,
        objective=objective.name,
        description=objective.description,
        notes=(*notes, *problems, *_warnings(trained), *_outlook(plan, result)),
        metric=objective.metric,
        method=plan.study.search.method,
        seed=plan.study.search.seed,
        advisor=plan.advisor_reason,
        stop_reason=str(result.stop_reason),
        baselines=baselines,
        wall_seconds=wall_seconds,
        model=model,
        ensemble=asdict(ensemble) if ensemble else None,
        tracking_uri=masked_url(study.tracking_uri),
        run_id=study.run_id,
        run_url=study.url,
        prefect_run=prefect_run,
        **_of_trials(result, reused),
        **_of_best(plan, result),
        **_of_llm(result.calls, plan.price),
        **_of_memory(plan, result, memory),
    )


def _of_trials(result: StudyResult, reused: Set[int]) -> dict[str, Any]:
    """How many trainings there were, how they ended, and what they took."""
    trained = (*result.trials, *result.repeats)
    return {
        "evaluations": len(trained),
        "failed": sum(trial.state is TrialState.FAILED for trial in trained),
        "failures": failures(trained),
        "pruned": sum(trial.state is TrialState.PRUNED for trial in result.trials),
        "infeasible": sum(trial.state is TrialState.INFEASIBLE for trial in trained),
        "epochs": sum(trial.metrics.get("epochs", 0.0) for trial in trained),
        "full_trainings": TrainingCost(trained).total,
        "repeats": len(result.repeats),
        "by_source": _count(result.trials),
        "improved_by_source": _count(improvements(result.trials)),
        "reused": sum(trial.number in reused for trial in trained),
        "training_seconds": busy_seconds([t for t in trained if t.number not in reused]),
    }


def _of_best(plan: Plan, result: StudyResult) -> dict[str, Any]:
    """The best trial, what another training of it is expected to give, and the front."""
    best, goals = result.best, plan.study.goals
    expected = None if is_deterministic(plan.objective) else result.expected
    return {
        "best_value": float(best.value or 0.0),
        "best_params": dict(best.params),
        "best_metrics": dict(best.metrics),
        "best_source": str(best.source),
        "best_number": best.number,
        "expected_value": expected.value if expected else None,
        "expected_deviation": expected.deviation if expected else None,
        "expected_by": expected.n_repeats if expected else 0,
        "goals": dict(best.values),
        "choose": goals.choose if best.values else "",
        "front": [_front_record(trial) for trial in goals.front(result.trials)],
    }


def _of_llm(calls: Sequence[Call], price: TokenPrice | None) -> dict[str, Any]:
    """What the language model was asked, and what that cost."""
    asked = [call for call in calls if not call.cached]
    return {
        "llm_calls": len(asked),
        "llm_cached": len(calls) - len(asked),
        "llm_problems": sum(bool(call.problems) for call in calls),
        "llm_tokens": sum(call.prompt_tokens + call.completion_tokens for call in asked),
        "llm_cost": _cost(asked, price),
        "llm_seconds": sum(call.seconds for call in calls),
    }


def _of_memory(plan: Plan, result: StudyResult, memory: Memory | None) -> dict[str, Any]:
    """What it began from, and what that was worth."""
    earlier = plan.study.memory
    return {
        "began_from": earlier_records(earlier, memory),
        "beliefs": [list(belief) for belief in (memory.beliefs if memory else ())],
        "starts": start_records(plan.objective.space, earlier, result.trials),
    }


def _front_record(trial: Trial) -> dict[str, Any]:
    return {"number": trial.number, "values": dict(trial.values), "params": dict(trial.params)}


def busy_seconds(trials: Sequence[Trial]) -> float:
    """Length of the union of the trials' intervals: time in which at least one was running."""
    busy, free_from = 0.0, 0.0
    for trial in sorted(trials, key=lambda trial: trial.started_at):
        begin, end = trial.started_at, trial.started_at + trial.seconds
        busy += max(0.0, end - max(begin, free_from))
        free_from = max(free_from, end)
    return busy


def _baselines(objective: object) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The errors of simple methods; and a note if the objective's code fails to give them."""
    if not isinstance(objective, SupportsBaselines):
        return {}, []
    try:
        return run_user_code(lambda: _plain(objective.baselines())), []
    except LLMPSOError as error:
        return {}, [f"the objective's baselines cannot be read: {error}"]


def _plain(baselines: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {
        str(name): {str(figure): float(value) for figure, value in figures.items()}
        for name, figures in baselines.items()
    }


def _outlook(plan: Plan, result: StudyResult) -> list[str]:
    """Why a study ended by itself, in the units of its metric."""
    outlook, best = result.outlook, result.best.value
    if result.stop_reason is not StopReason.NO_GAIN or outlook is None or best is None:
        return []
    useless = plan.study.foresight.worth * abs(best)
    against = f"the noise of {short(outlook.noise)}"
    if useless > outlook.noise:
        against = f"the {short(useless)} by which a new version must be better"
    return [
        f"the study ended by itself: the next training was expected to improve by "
        f"{short(outlook.gain)} at most, far below {against}"
    ]


def _warnings(trials: Sequence[Trial]) -> list[str]:
    """The most frequent warnings of the trials, with their counts."""
    counts = Counter(warning for trial in trials for warning in trial.warnings)
    return [f"{times} × {warning}" for warning, times in counts.most_common(MOST_WARNINGS)]


def _count(trials: Sequence[Trial]) -> dict[str, int]:
    return dict(Counter(str(trial.source) for trial in trials))


def _cost(calls: Sequence[Call], price: TokenPrice | None) -> float | None:
    if price is None:
        return None
    return sum(price.of(call.prompt_tokens, call.completion_tokens) for call in calls)
