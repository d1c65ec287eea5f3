"""The result of a study as one record: for MLflow, Prefect, scripts and the terminal."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from llmpso.ensembles.outcome import EnsembleOutcome
from llmpso.pages.html_table import TABLE_STYLE, facts_table
from llmpso.study.expected import Expectation
from llmpso.study.stopping import StopReason
from llmpso.text import short
from llmpso.trial import Source
from tasks.store.names import metric_keys

STOPPED = {
    StopReason.BUDGET: "all evaluations were used",
    StopReason.EXHAUSTED: "no further configuration was found that is allowed",
    StopReason.TARGET: "stopped early: the target value was reached",
    StopReason.PATIENCE: "stopped early: no improvement for too long",
    StopReason.NO_GAIN: "stopped early: nothing more was expected of the next trainings",
    StopReason.SECONDS: "stopped early: the time limit was reached",
    StopReason.LLM_CALLS: "stopped early: the limit of LLM calls was reached",
    StopReason.LLM_TOKENS: "stopped early: the limit of LLM tokens was reached",
    StopReason.LLM_COST: "stopped early: the limit of LLM costs was reached",
    StopReason.FAILURES: "stopped early: too many evaluations failed",
    StopReason.ALL_FAILED: "stopped early: the first evaluations failed with the same error",
    StopReason.INTERRUPTED: "stopped early: interrupted",
}
"""Why a study ended, in words."""

LLM_SOURCES = (Source.ADVISOR, Source.DEFAULT)
"""Sources whose configurations come from the language model."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of one study in plain values."""

    study: str
    """Its name."""
    objective: str
    description: str
    """What was tuned, on what data."""
    notes: tuple[str, ...]
    """What users should know of the data: what was left out, repaired or assumed."""
    metric: str
    method: str
    seed: int
    advisor: str
    stop_reason: str
    evaluations: int
    failed: int
    failures: str
    """Why, the commonest reason first."""
    pruned: int
    """Not worth training in full."""
    infeasible: int
    """Measured, but above a limit."""
    epochs: float
    """Epochs of all trainings, if the objective counts them."""
    full_trainings: float
    """Cost of all evaluations in full trainings, as `TrainingCost` counts them."""
    best_value: float
    best_params: dict[str, Any]
    best_metrics: dict[str, float]
    best_source: str
    best_number: int
    repeats: int
    """Evaluations that trained the best configurations again."""
    expected_value: float | None
    """What another training of the best configuration is expected to give; None if not known."""
    expected_deviation: float | None
    """Standard deviation of this estimate."""
    expected_by: int
    """Repeats that it is the mean of; the surrogate expects it if 0."""
    goals: dict[str, float]
    """What the best has of several goals, by name; empty if there is one."""
    choose: str
    """By which rule it was chosen of the front."""
    front: list[dict[str, Any]]
    """The front of several goals: number, values and params of each trial."""
    baselines: dict[str, dict[str, float]]
    by_source: dict[str, int]
    improved_by_source: dict[str, int]
    llm_calls: int
    """Requests to the language model, unusable replies included."""
    llm_cached: int
    """Requests that were answered from the cache."""
    llm_problems: int
    """Replies that were not fully usable, and requests without a reply."""
    llm_tokens: int
    """Of requests and replies, those of reasoning included."""
    llm_cost: float | None
    """Dollars for them; None if the price is not known."""
    began_from: list[dict[str, Any]]
    """Earlier studies that it learned from, the most alike first."""
    starts: list[dict[str, Any]]
    """What each start from them was worth."""
    beliefs: list[list[float]]
    """How far their trend was followed after so many values, 0 to 1; below 0, its opposite."""
    reused: int
    """Evaluations of an earlier run of the same study."""
    wall_seconds: float
    """Duration of this run."""
    training_seconds: float
    """Time of this run during which at least one training ran."""
    llm_seconds: float
    model: str
    """Registered model as `name/version`; empty if no model was saved."""
    ensemble: dict[str, Any] | None
    """Whether it is an average of the best models, and why; None if none was asked for."""
    tracking_uri: str
    run_id: str
    run_url: str
    """Page of the run in MLflow; empty if the store is not a server."""
    prefect_run: str

    @property
    def expected(self) -> Expectation | None:
        """What another training of the best configuration is expected to give."""
        if self.expected_value is None or self.expected_deviation is None:
            return None
        return Expectation(self.expected_value, self.expected_deviation, self.expected_by)

    @property
    def ensemble_outcome(self) -> EnsembleOutcome | None:
        """The same, with names."""
        return None if self.ensemble is None else EnsembleOutcome.of(self.ensemble)

    @property
    def command_to_open(self) -> str:
        """The command that opens the store; an address that may hold a login is not shown."""
        is_file = self.tracking_uri.startswith("sqlite:")
        store = shlex.quote(self.tracking_uri) if is_file else '"$MLFLOW_TRACKING_URI"'
        return f"mlflow ui --backend-store-uri {store}"

    @property
    def overhead_seconds(self) -> float:
        """Time per evaluation that is neither training nor waiting for the language model."""
        rest = self.wall_seconds - self.training_seconds - self.llm_seconds
        return max(0.0, rest) / max(1, self.evaluations - self.reused)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        facts = {
            "study": self.study,
            f"best {self.metric}": f"{short(self.best_value)}, trial {self.best_number}, from "
            f"{self.best_source}",
            "expected of another training": str(self.expected or "not known"),
            "configuration": ", ".join(f"{n} {short(v)}" for n, v in self.best_params.items()),
            "trials": f"{self.evaluations}, {self.failed} failed, {self.pruned} pruned",
            "ended": STOPPED[StopReason(self.stop_reason)],
            "model": f"models:/{self.model}" if self.model else "none was saved",
            **({"ensemble": found.reason} if (found := self.ensemble_outcome) else {}),
            "MLflow": f"{self.run_url or self.command_to_open} (run {self.run_id})",
            "Prefect": self.prefect_run,
        }
        return f"<style>{TABLE_STYLE}</style>{facts_table(facts)}"

    def figures(self) -> dict[str, float]:
        """The metrics of the study's run in MLflow."""
        keys_of = metric_keys(self.best_metrics)
        return (
            {
                "evaluations": self.evaluations,
                "failed": self.failed,
                "pruned": self.pruned,
                "infeasible": self.infeasible,
                "epochs": self.epochs,
                "full_trainings": self.full_trainings,
                "llm_calls": self.llm_calls,
                "llm_cached": self.llm_cached,
                "llm_tokens": self.llm_tokens,
                **({} if self.llm_cost is None else {"llm_cost": self.llm_cost}),
                "llm_seconds": self.llm_seconds,
                "llm_improvements": n_from_llm(self.improved_by_source),
                "training_seconds": self.training_seconds,
                "overhead_seconds": self.overhead_seconds,
            }
            | ({"front": len(self.front)} if self.front else {})
            | self._expected_figures()
            | (found.figures() if (found := self.ensemble_outcome) else {})
            | {f"best_{keys_of[name]}": value for name, value in self.best_metrics.items()}
        )

    def _expected_figures(self) -> dict[str, float]:
        found = self.expected
        if found is None:
            return {}
        figures = {"expected_value": found.value, "expected_deviation": found.deviation}
        return figures | ({"repeats": self.repeats} if self.repeats else {})

    def record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self) | {"overhead_seconds": self.overhead_seconds}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """A summary from its record."""
        own = {field.name: record[field.name] for field in fields(cls)}
        return cls(**own | {"notes": tuple(own["notes"])})


def n_from_llm(by_source: Mapping[str, int]) -> int:
    """How many of the counted trials come from the language model."""
    return sum(by_source.get(source, 0) for source in LLM_SOURCES)
