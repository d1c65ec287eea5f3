"""A trial is what was proposed; an evaluation is what was measured."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from llmpso.space import Params

INFEASIBLE_VALUE = "infeasible_value"
"""Metric of the value that a trial had although it broke a constraint."""


class Source(StrEnum):
    """Who proposed a trial."""

    START = "start"
    """A configuration that the user already knew."""
    INITIAL = "initial"
    """A particle's first position, from the Latin hypercube."""
    SWARM = "swarm"
    """A particle's own move."""
    ADVISOR = "advisor"
    """A position taken from the language model."""
    SURROGATE = "surrogate"
    """A change of a best position in a few hyperparameters, picked by the surrogate."""
    DEFAULT = "default"
    """What the language model would start from without having seen a trial."""
    MEMORY = "memory"
    """Chosen from earlier studies, see `llmpso.memory`."""
    REFIT = "refit"
    """A known configuration, trained again with another seed to compare it."""
    REPEAT = "repeat"
    """One of the best configurations of a study, trained again, see `llmpso.study.repeats`."""
    ENSEMBLE = "ensemble"
    """No configuration: the average of several models, see `llmpso.ensembles`."""
    RIVAL = "rival"
    """Proposed by a method of `llmpso.benchmark.rivals`."""
    PLACEBO_START = "placebo-start"
    """Drawn blindly in the place of the language model's start."""


class TrialState(StrEnum):
    """State of a trial."""

    PENDING = "pending"
    COMPLETE = "complete"
    FAILED = "failed"
    PRUNED = "pruned"
    """Stopped early by racing: it has values at low fidelities only."""
    INFEASIBLE = "infeasible"
    """It violates a constraint that was measured: it has no value, and is never the best."""


class FailureKind(StrEnum):
    """Why a trial has no value."""

    EXCEPTION = "exception"
    NAN = "nan"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    LOST_WORKER = "lost_worker"


@dataclass(frozen=True, slots=True)
class Failure:
    """What stopped an evaluation: its kind and one line of text."""

    kind: FailureKind
    message: str
    traceback: str = field(default="", repr=False, compare=False)
    """Of the exception, from the user's own code on; empty where none was raised."""
    allowed: float | None = None
    """Seconds or MiB that the study allowed, where its process was killed for taking more."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a training that reports must have reached at a step to go on."""

    step: int
    """It is checked at the first report of this step or a later one."""
    value: float
    """The training stops if it reports a greater value."""
    fidelity: float
    """Share of the full training that the step is."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one evaluation of an objective measured.

    Raises:
        ValueError: Both a value and other `values` are given.
    """

    value: float = math.nan
    """What the search minimises, in the metric's own unit; must be finite to count. Of several
    goals it is the first."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Further final figures, by name."""
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Figures per epoch, by name; element i belongs to epoch i + 1."""
    model: object | None = None
    """The trained model, if the objective returns it."""
    is_final: bool = False
    """Whether more fidelity would change nothing, since the training ended by itself."""
    artifacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Small records that JSON can hold, by file name: a confusion matrix, for example."""
    constraints: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """What was measured and must not be above a limit, each with that limit, by name."""
    reports: tuple[tuple[int, float], ...] = ()
    """Steps and values that the training gave to `report`; an objective does not set them."""
    values: Mapping[str, float] = field(default_factory=dict)
    """In place of one value, those of several goals by name; all are lowered."""

    def __post_init__(self) -> None:
        """Take the first of several goals as the value."""
        if not self.values:
            return
        first = next(iter(self.values.values()))
        is_given = self.value == self.value  # noqa: PLR0124 - NaN of any library is not
        if is_given and self.value != first:
            raise ValueError(f"value is {self.value!r} beside values={dict(self.values)!r}")
        object.__setattr__(self, "value", first)

    @property
    def is_infeasible(self) -> bool:
        """Whether a constraint is violated."""
        return any(value > limit for value, limit in self.constraints.values())


@dataclass(frozen=True, slots=True)
class Trial:
    """One proposed configuration and, once evaluated, its result."""

    number: int
    """Place in the study, from 0, in the order of proposal."""
    params: Params
    source: Source
    iteration: int
    """Swarm iteration that proposed it, from 0."""
    particle: int
    """Index of the particle that carries it."""
    seed: int
    """Seed of this evaluation, derived from the study's."""
    fidelity: float = 1.0
    """Share of the full training to measure it at, or at which it was measured last; of less
    than 1, a complete trial ended by itself."""
    checkpoint: str = ""
    """File that its training resumes from and saves its state in; empty without racing."""
    rungs: tuple[tuple[float, float], ...] = ()
    """Lower fidelities at which it was measured, each with its value there, which is comparable
    only with other trials' values at that fidelity."""
    rung_constraints: tuple[Mapping[str, tuple[float, float]], ...] = ()
    """At each of these, what was measured and must not be above a limit, as in `constraints`."""
    limits: tuple[Limit, ...] = ()
    """What the training must have reached at which steps, rising; none without racing."""
    until: int = 0
    """Step at which the training pauses; 0 if it does not."""
    milestones: tuple[tuple[int, float], ...] = ()
    """Steps and values that the training reported first at or after the steps 1, 2, 3, 4, 6, 8,
    12, 16, ..., and last."""
    n_steps: int = 0
    """Steps of the full training as far as it said, or reported; 0 if it never reported."""
    note: str = ""
    """Why this trial is not what the method would have proposed; empty if it is."""
    warnings: tuple[str, ...] = ()
    """What its evaluation returned that could not be saved."""
    goals: tuple[str, ...] = ()
    """Names of what the evaluation has to return, the first being the value; of one goal none."""
    state: TrialState = TrialState.PENDING
    value: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    """What was measured of several goals, by name, in their order."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """What was measured and must not be above a limit, each with that limit, by name."""
    failure: Failure | None = None
    started_at: float = 0.0
    """When the evaluation began, in seconds since the epoch."""
    seconds: float = 0.0
    """Wall time of the evaluation only."""
    order: tuple[int, ...] = ()
    """Place of each part of its training in the order in which those of a recorded study ended:
    one for each pause, and one for its end."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Links to its records, by kind: run, model."""

    def measured(self, evaluation: Evaluation, seconds: float) -> Self:
        """This trial after an evaluation at its fidelity: pending if there is more to train."""
        value, is_whole = float(evaluation.value), self.fidelity == 1 or evaluation.is_final
        trial = self
        if self.fidelity < 1 and math.isfinite(value):
            trial = replace(
                self,
                rungs=(*self.rungs, (self.fidelity, value)),
                rung_constraints=(*self.rung_constraints, dict(evaluation.constraints)),
            )
        if is_whole or not math.isfinite(value) or evaluation.is_infeasible:
            return trial.completed(evaluation, seconds)
        return replace(
            trial,
            metrics=dict(evaluation.metrics),
            constraints=dict(evaluation.constraints),
            seconds=self.seconds + seconds,
        )

    def completed(self, evaluation: Evaluation, seconds: float) -> Self:
        """This trial with the value measured; failed as `nan` if that is not finite.

        If a constraint is violated it has none; what was measured is among its metrics.
        """
        measured = {name: value for name, (value, _) in evaluation.constraints.items()}
        metrics = dict(evaluation.metrics) | measured | dict(evaluation.values)
        trial = replace(self, metrics=metrics, constraints=dict(evaluation.constraints))
        if evaluation.is_infeasible:
            if math.isfinite(evaluation.value):
                trial = replace(trial, metrics=metrics | {INFEASIBLE_VALUE: evaluation.value})
            return replace(trial, state=TrialState.INFEASIBLE, seconds=self.seconds + seconds)
        if (failure := self._unusable(evaluation)) is not None:
            return trial.failed(failure, seconds)
        values = {name: float(evaluation.values[name]) for name in self.goals}
        return replace(
            trial,
            state=TrialState.COMPLETE,
            value=next(iter(values.values()), float(evaluation.value)),
            values=values,
            seconds=self.seconds + seconds,
        )

    def _unusable(self, evaluation: Evaluation) -> Failure | None:
        """Why an evaluation is no result: other goals than those of the study, or no number."""
        measured = evaluation.values or {"": evaluation.value}
        for name, value in measured.items():
            if not math.isfinite(value):
                shown = f"{name} = {value}" if name else f"{value}"
                return Failure(FailureKind.NAN, f"the objective returned {shown}")
        if set(evaluation.values) == set(self.goals):
            return None
        returned, asked = map(_listed, (evaluation.values, self.goals))
        message = f"the objective returned {returned}; the study has {asked}"
        return Failure(FailureKind.EXCEPTION, message)

    def failed(self, failure: Failure, seconds: float) -> Self:
        """This trial without a value, and why."""
        total = self.seconds + seconds
        return replace(self, state=TrialState.FAILED, value=None, failure=failure, seconds=total)

    def pruned(self) -> Self:
        """This trial, stopped where it is."""
        return replace(self, state=TrialState.PRUNED)

    def stopped(self, limit: Limit, seconds: float) -> Self:
        """This trial, stopped by one of its limits; it has the values at those before."""
        reached = [rung for rung in self.limits if rung.step <= limit.step]
        values = [
            (rung.fidelity, next(value for step, value in self.milestones if step >= rung.step))
            for rung in reached
        ]
        trial = replace(self, fidelity=limit.fidelity, rungs=tuple(values))
        return replace(trial, seconds=self.seconds + seconds).pruned()

    def at(self, fidelity: float) -> Self | None:
        """This trial as it was at a fidelity: pending if it continued, None if it never was."""
        if self.state is not TrialState.PRUNED and self.fidelity == fidelity:
            return self
        rungs = tuple(rung for rung in self.rungs if rung[0] <= fidelity)
        if not rungs or rungs[-1][0] != fidelity:
            return None
        measured = self.rung_constraints[: len(rungs)]
        return replace(
            self,
            state=TrialState.PENDING,
            value=None,
            failure=None,
            fidelity=fidelity,
            rungs=rungs,
            rung_constraints=measured,
            constraints=measured[-1] if len(measured) == len(rungs) else self.constraints,
            order=self.order[: len(rungs)],
        )


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """The completed trials, the lowest value first, of equals the earliest."""
    completed = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return sorted(completed, key=lambda trial: (trial.value, trial.number))


def _listed(goals: Iterable[str]) -> str:
    """Goals in words."""
    return (
        f"the goals {', '.join(named)}" if (named := list(goals)) else "one value without a name"
    )


def violated_text(trial: Trial) -> str:
    """Which limits a trial is above."""
    return ", ".join(
        f"{name} is {value:.4g}, above {limit:g}"
        for name, (value, limit) in trial.constraints.items()
        if value > limit
    )
