"""Several goals of one study: their names, their Pareto front, and which of it is chosen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmpso.errors import LLMPSOError, SpaceError, SpecError
from llmpso.pareto import Floats, knee, non_dominated
from llmpso.space.constraints import Constraint, to_constraint
from llmpso.text import is_storable, one_line, short
from llmpso.trial import Trial, TrialState

KNEE = "knee"
"""The trial is chosen where the front bends."""

MOST_GOALS = 3
"""More goals have fronts of nearly all trials."""


@dataclass(frozen=True, slots=True)
class Goals:
    """What is lowered together; no names if there is one goal.

    Raises:
        SpecError: There is one name or more than three, one is empty or given twice, or the rule
            of the choice cannot be read.

    Example:
        >>> bool(Goals()), Goals(("error", "latency_ms"), "latency_ms <= 5").names
        (False, ('error', 'latency_ms'))
    """

    names: tuple[str, ...] = ()
    """The first is the value of a trial."""
    choose: str = KNEE
    """`knee`, or a limit such as `latency_ms <= 5`: the lowest first goal within it."""

    def __post_init__(self) -> None:
        """Refuse what cannot be goals."""
        if self.names and not 2 <= len(self.names) <= MOST_GOALS:
            raise SpecError(f"goals is {list(self.names)}; there must be two or three of them")
        for name in self.names:
            if not isinstance(name, str) or not name.strip() or not is_storable(name):
                raise SpecError(f"goals names {one_line(repr(name), 60)}; it must be text")
        if len(set(self.names)) < len(self.names):
            raise SpecError(f"goals is {list(self.names)}; each may be named once")
        if self.choose != KNEE and not self.names:
            raise SpecError(
                f"choose is {self.choose!r}, a choice among several goals; name these with goals"
            )
        self._limit  # noqa: B018 - reads the rule

    def __bool__(self) -> bool:
        """Whether there are several."""
        return bool(self.names)

    @property
    def _limit(self) -> Constraint | None:
        if self.choose == KNEE:
            return None
        try:
            return to_constraint(self.choose, self.names)
        except SpaceError:
            raise SpecError(
                f"choose is {self.choose!r}; it must be {KNEE!r}, or limit the goals "
                f"{', '.join(self.names)}, such as '{self.names[-1]} <= 5'"
            ) from None

    def table(self, trials: Iterable[Trial]) -> Floats:
        """What was measured in complete trials, shape (n_trials, n_goals)."""
        rows = [[trial.values[name] for name in self.names] for trial in trials]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.names))

    def front(self, trials: Iterable[Trial]) -> list[Trial]:
        """The complete trials that no other dominates, the lowest first goal first.

        Of equal ones the earliest.
        """
        if not self.names:
            return []
        ended = sorted(trials, key=lambda trial: trial.number)
        complete = [trial for trial in ended if trial.state is TrialState.COMPLETE]
        distinct = list({tuple(t.values.items()): t for t in reversed(complete)}.values())
        if not distinct:
            return []
        is_best = non_dominated(self.table(distinct))
        best = [trial for trial, is_one in zip(distinct, is_best, strict=True) if is_one]
        return sorted(best, key=lambda trial: tuple(trial.values.values()))

    def is_within(self, values: Mapping[str, float]) -> bool:
        """Whether measured goals satisfy the limit of the rule; so do any if it has none."""
        return self._limit is None or self._limit.holds(values)

    def chosen(self, trials: Iterable[Trial]) -> Trial | None:
        """The one of some trials that the rule chooses; None if none is complete.

        Raises:
            LLMPSOError: None of them is within the limit.
        """
        front = self.front(trials)
        if not front:
            return None
        if self._limit is None:
            return front[knee(self.table(front))]
        if within := [trial for trial in front if self.is_within(trial.values)]:
            return within[0]
        raise LLMPSOError(
            f"choose is {self.choose!r}, which no trial satisfies; the front reaches from "
            f"{_values_text(front[0])} to {_values_text(front[-1])}: choose another limit, or "
            f"{KNEE!r}"
        )


def enters_front(trial: Trial, earlier: Sequence[Trial]) -> bool:
    """Whether a complete trial has what no earlier one has: better in a goal than each of them."""
    values = np.array(list(trial.values.values()))
    known = np.array([list(one.values.values()) for one in earlier]).reshape(-1, len(values))
    return not bool((known <= values).all(axis=1).any())


def _values_text(trial: Trial) -> str:
    return ", ".join(f"{name} {short(value)}" for name, value in trial.values.items())
