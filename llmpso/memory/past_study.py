"""An earlier study as a later one reads it: what was tuned, on what, and how each trial ended.

It comes from MLflow, from a CSV or from Optuna; a search never needs to know which.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from llmpso.pareto import Floats, trade_offs

MOST_TRIALS = 150
"""Trials that are read of one study. More make its surrogate slow and teach little."""


class PastState(StrEnum):
    """How a trial of an earlier study ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    """Stopped early: its value is that of its last rung, at its fidelity."""
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    """It was trained, but broke a constraint."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class PastTrial(_Record):
    """One trial of an earlier study."""

    params: Mapping[str, Any]
    """Values by hyperparameter, or their texts, as a tracking server stores them."""
    value: float = math.nan
    """What was minimised, of several goals the first; NaN without a value."""
    values: Mapping[str, float] = {}
    """Of several goals, by name; empty if there was one."""
    state: PastState = PastState.COMPLETE
    fidelity: float = Field(default=1.0, gt=0, le=1)
    """Share of the full training at which the value was measured."""
    rungs: tuple[tuple[float, float], ...] = ()
    """Lower fidelities, rising, each with the value there; of a pruned trial also the last."""

    @property
    def has_value(self) -> bool:
        """Whether it was trained in full, and can be compared."""
        return self.state is PastState.COMPLETE and math.isfinite(self.value)


class PastStudy(_Record):
    """An earlier study: `model_dump_json` writes it, `model_validate_json` reads it."""

    name: str
    """For people."""
    reference: str
    """Id of its run, or the file that it came from."""
    url: str = ""
    metric: str = ""
    ended: datetime | None = None
    description: Mapping[str, str] = {}
    """Of data and model, by what is described."""
    trials: tuple[PastTrial, ...] = ()
    """Their values are to be minimised: those of a metric that is maximised have the opposite
    sign here."""

    @property
    def best(self) -> PastTrial | None:
        """The complete trial with the lowest value, the earliest of equals; None without one."""
        valued = [trial for trial in self.trials if trial.has_value]
        return min(valued, key=lambda trial: trial.value, default=None)

    def shortened(self, n_most: int = MOST_TRIALS) -> "PastStudy":
        """This study with at most so many trials: the best half, and an even choice of others.

        Of several goals the best are those of all trade-offs.
        """
        if len(self.trials) <= n_most:
            return self
        ranks = _ranks(self.trials)
        ranked = sorted(range(len(self.trials)), key=ranks.__getitem__)
        n_best = -(-n_most // 2)
        even = np.linspace(n_best, len(ranked) - 1, n_most - n_best).astype(int)
        chosen = {*ranked[:n_best], *(ranked[place] for place in even)}
        return self.model_copy(update={"trials": tuple(self.trials[at] for at in sorted(chosen))})


def goals_of(trials: Sequence[PastTrial]) -> tuple[str, ...]:
    """The names of several goals; none if there was one."""
    return next((tuple(trial.values) for trial in trials if trial.values), ())


def goals_table(trials: Sequence[PastTrial], goals: Sequence[str]) -> Floats:
    """What complete trials measured, shape (n_trials, n_goals); NaN where there is nothing."""
    rows = [
        [trial.values.get(name, math.nan) if trial.has_value else math.nan for name in goals]
        for trial in trials
    ]
    return np.array(rows, dtype=np.float64).reshape(len(trials), len(goals))


def _ranks(trials: Sequence[PastTrial]) -> list[float]:
    """The lower the better; of several goals the place in the trade-off where a trial is best."""
    ranks = np.array([trial.value if trial.has_value else math.inf for trial in trials])
    if len(goals := goals_of(trials)) > 1:
        table = goals_table(trials, goals)
        whole = np.flatnonzero(np.isfinite(table).all(axis=1))
        ranks = np.full(len(trials), math.inf)
        if len(whole):
            orders = trade_offs(table[whole]).argsort(axis=1, kind="stable")
            ranks[whole] = orders.argsort(axis=1).min(axis=0)
    found: list[float] = ranks.tolist()
    return found
