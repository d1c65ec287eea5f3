"""What a study comes to: one record for MLflow, for Prefect, for scripts and for a screen."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from flows.plan import Plan
from llmpso.addresses import shown
from llmpso.advisor import Call
from llmpso.errors import LLMPSOError
from llmpso.limits import StopReason
from llmpso.objectives.base import SupportsBaselines
from llmpso.search.credit import Record
from llmpso.study import StudyResult, improvements
from llmpso.text import brief, printable, short
from llmpso.trial import Source, Trial, TrialState
from llmpso.user_code import run_foreign
from tasks.names import metric_keys
from tasks.tracking import StudyRun, run_url

STOPPED = {
    StopReason.BUDGET: "all evaluations were spent",
    StopReason.EXHAUSTED: "every configuration was evaluated",
    StopReason.TARGET: "ended early: the value is good enough",
    StopReason.PATIENCE: "ended early: no better value for too long",
    StopReason.SECONDS: "ended early: the time was spent",
    StopReason.LLM_CALLS: "ended early: the language model's calls were spent",
    StopReason.LLM_TOKENS: "ended early: the language model's tokens were spent",
    StopReason.FAILURES: "ended early: too many evaluations failed",
    StopReason.ALL_FAILED: "ended early: the first evaluations all failed alike",
    StopReason.INTERRUPTED: "ended early: interrupted",
}
"""Why a study ended, for people."""


MOST_WARNINGS = 3
"""Of the trials that are told with the result; each stands on its trial as well."""

OF_MODEL = (Source.ADVISOR, Source.DEFAULT, Source.REFINE)
"""Sources that are the language model."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of one study in plain values."""

    study: str
    """Its name, for people."""
    objective: str
    description: str
    """What was tuned, on what data."""
    notes: tuple[str, ...]
    """What people should know of the data: what was left out, mended or decided."""
    metric: str
    method: str
    seed: int
    advisor: str
    stop_reason: str
    evaluations: int
    failed: int
    pruned: int
    """Stopped early by the race."""
    epochs: float
    """Epochs of all trainings, as far as the objective counts them."""
    full_trainings: float
    """What all evaluations come to in full trainings: the sum of their fidelities."""
    best_value: float
    best_params: dict[str, Any]
    best_metrics: dict[str, float]
    best_source: str
    best_number: int
    baselines: dict[str, dict[str, float]]
    by_source: dict[str, int]
    improved_by_source: dict[str, int]
    credit: dict[str, dict[str, float]]
    """What each source proposed, had evaluated and won in a guided study, and its trust."""
    llm_calls: int
    """Questions that a model was asked, unusable answers included."""
    llm_cached: int
    """Questions that the cache answered."""
    llm_problems: int
    """Replies that were not wholly usable, and calls without a reply."""
    llm_tokens: int
    kept: int
    """Evaluations that an earlier run of the study had made already."""
    wall_seconds: float
    """Time of this run alone."""
    training_seconds: float
    """Time of this run during which at least one training ran."""
    llm_seconds: float
    model: str
    """Registered model as `name/version`; empty if no model was kept."""
    tracking_uri: str
    run_id: str
    run_url: str
    """Page of the run in MLflow; empty if the store is no server."""
    prefect_run: str

    @property
    def opening(self) -> str:
        """The command that shows a store without a server; one with a login is not repeated."""
        is_file = self.tracking_uri.startswith("sqlite:")
        store = self.tracking_uri if is_file else '"$MLFLOW_TRACKING_URI"'
        return f"mlflow ui --backend-store-uri {store}"

    @property
    def overhead_seconds(self) -> float:
        """Wall time per evaluation in which nothing was trained and no model was asked."""
        rest = self.wall_seconds - self.training_seconds - self.llm_seconds
        return max(0.0, rest) / max(1, self.evaluations - self.kept)

    def figures(self) -> dict[str, float]:
        """The numbers that MLflow keeps on the study's run."""
        keys_of = metric_keys(self.best_metrics)
        return {
            "evaluations": self.evaluations,
            "failed": self.failed,
            "pruned": self.pruned,
            "epochs": self.epochs,
            "full_trainings": self.full_trainings,
            "llm_calls": self.llm_calls,
            "llm_cached": self.llm_cached,
            "llm_tokens": self.llm_tokens,
            "llm_seconds": self.llm_seconds,
            "llm_improvements": _of_model(self.improved_by_source),
            "training_seconds": self.training_seconds,
            "overhead_seconds": self.overhead_seconds,
        } | {f"best_{keys_of[name]}": value for name, value in self.best_metrics.items()}

    def record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self) | {"overhead_seconds": self.overhead_seconds}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """A summary from its record."""
        own = {field.name: record[field.name] for field in fields(cls)}
        return cls(**own | {"notes": tuple(own["notes"])})


def summarise(
    plan: Plan,
    result: StudyResult,
    *,
    reused: Set[int],
    wall_seconds: float,
    model: str,
    study: StudyRun,
    prefect_run: str,
    notes: Sequence[str],
) -> Summary:
    """The summary of a finished study.

    Args:
        plan: What was run.
        result: What came of it.
        reused: Numbers of the trials that an earlier run had measured.
        wall_seconds: How long this run took.
        model: The version that was registered.
        study: Where it is recorded.
        prefect_run: Address of the flow run.
        notes: What people should know.

    Raises:
        LLMPSOError: Every trial failed.
    """
    best, calls, objective = result.best, result.calls, plan.objective
    baselines, unread = _baselines(objective)
    asked = [call for call in calls if not call.cached]
    return Summary(
        study=plan.name,
        objective=objective.name,
        description=objective.description,
        notes=(*notes, *unread, *_warnings(result.trials)),
        metric=objective.metric,
        method=plan.study.search.method,
        seed=plan.study.search.seed,
        advisor=plan.advisor_reason,
        stop_reason=str(result.stop_reason),
        evaluations=len(result.trials),
        failed=sum(trial.state is TrialState.FAILED for trial in result.trials),
        pruned=sum(trial.state is TrialState.PRUNED for trial in result.trials),
        epochs=sum(trial.metrics.get("epochs", 0.0) for trial in result.trials),
        full_trainings=sum(trial.fidelity for trial in result.trials),
        best_value=float(best.value or 0.0),
        best_params=dict(best.params),
        best_metrics=dict(best.metrics),
        best_source=str(best.source),
        best_number=best.number,
        baselines=baselines,
        by_source=_count(result.trials),
        improved_by_source=_count(improvements(result.trials)),
        credit={str(source): _credit(record) for source, record in result.credit.items()},
        llm_calls=len(asked),
        llm_cached=len(calls) - len(asked),
        llm_problems=sum(bool(call.problems) for call in calls),
        llm_tokens=_tokens(asked),
        kept=sum(trial.number in reused for trial in result.trials),
        wall_seconds=wall_seconds,
        training_seconds=busy_seconds([t for t in result.trials if t.number not in reused]),
        llm_seconds=sum(call.seconds for call in calls),
        model=model,
        tracking_uri=shown(study.tracking_uri),
        run_id=study.run_id,
        run_url=run_url(study),
        prefect_run=shown(prefect_run),
    )


def busy_seconds(trials: Sequence[Trial]) -> float:
    """Length of the union of the trials' intervals: time in which at least one was running."""
    busy, free_from = 0.0, 0.0
    for trial in sorted(trials, key=lambda trial: trial.started_at):
        begin, end = trial.started_at, trial.started_at + trial.seconds
        busy += max(0.0, end - max(begin, free_from))
        free_from = max(free_from, end)
    return busy


def _baselines(objective: object) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The errors of simple methods; and a note, if the objective's own code cannot say them."""
    if not isinstance(objective, SupportsBaselines):
        return {}, []
    try:
        return run_foreign(lambda: _plain(objective.baselines())), []
    except LLMPSOError as error:
        return {}, [f"the objective's baselines cannot be read: {error}"]


def _plain(baselines: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {
        str(name): {str(figure): float(value) for figure, value in figures.items()}
        for name, figures in baselines.items()
    }


def _warnings(trials: Sequence[Trial]) -> list[str]:
    """What could not be kept of evaluations, the commonest first."""
    told = Counter(warning for trial in trials for warning in trial.warnings)
    return [f"{times} × {warning}" for warning, times in told.most_common(MOST_WARNINGS)]


def _count(trials: Sequence[Trial]) -> dict[str, int]:
    return dict(Counter(str(trial.source) for trial in trials))


def _tokens(calls: Sequence[Call]) -> int:
    return sum(call.prompt_tokens + call.completion_tokens for call in calls)


def as_text(summary: Summary) -> str:
    """The summary as lines that fit a screen."""
    lines = [
        f"{summary.objective}: {summary.evaluations} evaluations, {summary.failed} failed"
        f"{_pruned_text(summary)}{_kept_text(summary)} ({summary.method}, seed {summary.seed}); "
        f"{STOPPED[StopReason(summary.stop_reason)]}",
        "",
        f"best {summary.metric}: {summary.best_value:.4g}   "
        f"(trial {summary.best_number}, from {summary.best_source})",
        *_indented(summary.best_params),
        *_indented(summary.best_metrics),
        *(f"  {name}: {_joined(figures)}" for name, figures in summary.baselines.items()),
        "",
        *(f"note         {note}" for note in summary.notes),
        f"advisor      {summary.advisor}",
        f"sources      {_joined(summary.by_source)}",
        f"improved by  {_joined(summary.improved_by_source)}",
        *_credit_text(summary),
        f"language model  {_llm_text(summary)}",
        f"time         {summary.wall_seconds:.0f} s: training {summary.training_seconds:.0f} s, "
        f"language model {summary.llm_seconds:.0f} s, the rest "
        f"{1000 * summary.overhead_seconds:.0f} ms per evaluation",
        "",
        f"model        {f'models:/{summary.model}' if summary.model else 'none was kept'}",
        f"MLflow       {summary.run_url or _opening(summary)}",
        f"Prefect      {summary.prefect_run}   (start it again with: prefect server start)",
    ]
    return printable("\n".join(lines))


def _pruned_text(summary: Summary) -> str:
    if not summary.pruned:
        return ""
    return f", {summary.pruned} stopped early ({summary.full_trainings:.3g} full trainings in all)"


def _opening(summary: Summary) -> str:
    return f"{summary.opening}   (run {summary.run_id})"


def _kept_text(summary: Summary) -> str:
    return f", {summary.kept} kept from an earlier run" if summary.kept else ""


def _llm_text(summary: Summary) -> str:
    if summary.llm_calls + summary.llm_cached == 0:
        return "not asked"
    advised, helped = _of_model(summary.by_source), _of_model(summary.improved_by_source)
    return (
        f"{summary.llm_calls} calls, {summary.llm_cached} from the cache, "
        f"{summary.llm_tokens} tokens, {summary.llm_problems} with problems; "
        f"{helped} of its {advised} points improved the best"
    )


def _of_model(by_source: Mapping[str, int]) -> int:
    """How many of the trials counted are the language model's."""
    return sum(by_source.get(source, 0) for source in OF_MODEL)


def _credit(record: Record) -> dict[str, float]:
    return asdict(record) | {"trust": record.trust}


def _credit_text(summary: Summary) -> list[str]:
    """What each source won of the trials it was given, where that decides over slots."""
    told = [
        f"{source} {record['won']:.0f} of {record['admitted']:.0f}"
        for source, record in summary.credit.items()
        if record["admitted"]
    ]
    return [f"kept word    {', '.join(told)}"] if told else []


def _indented(values: Mapping[str, Any]) -> list[str]:
    return [f"  {brief(name)}: {short(value)}" for name, value in values.items()]


def _joined(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{brief(name)} {short(value)}" for name, value in values.items()) or "none"
