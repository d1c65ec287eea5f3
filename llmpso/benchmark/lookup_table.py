"""Every configuration of a finite space with its value, to be looked up instead of trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpso.search.optimizer import Optimizer
from llmpso.space import Categorical, Ordinal, Params, SearchSpace
from llmpso.study.loop import run_study
from llmpso.study.workers import Batches
from llmpso.trial import Evaluation, Trial

TOP_SHARE = 0.01
"""The share of all configurations that counts as solved."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What makes values of different problems comparable."""

    best: float
    """The lowest value there is: regret 0."""
    median: float
    """What blind luck reaches: regret 1."""
    target: float
    """What the best 1% of all configurations reach: solved."""

    def regret(self, value: float) -> float:
        """0 at the best value, 1 at the median or above."""
        return min(1.0, (value - self.best) / (self.median - self.best))


class Grid:
    """Values that were measured once.

    Args:
        choices: By hyperparameter: what it was tried with, in the order of the values' axes.
        values: One axis per hyperparameter; lower is better.

    Attributes:
        values: As given.
    """

    def __init__(
        self, choices: Mapping[str, tuple[Any, ...]], values: NDArray[np.float64]
    ) -> None:
        self._choices, self.values = choices, values
        self.space = SearchSpace({name: _dimension(tried) for name, tried in choices.items()})

    def evaluate(self, params: Params, *, fidelity: float = 1.0, seed: int = 0) -> Evaluation:
        """Look a configuration up; fidelity and seed change nothing."""
        return Evaluation(float(self.values[self.place(params)]))

    def place(self, params: Params) -> tuple[int, ...]:
        """The indices of a configuration.

        Raises:
            SpaceError: It was not tried.
        """
        valid = self.space.validate(params)
        return tuple(self._choices[name].index(value) for name, value in valid.items())

    @cached_property
    def threshold(self) -> float:
        """The value that the true best 1% reach, or the best alone where there are fewer."""
        best = np.sort(self.values, axis=None)
        return float(best[max(int(TOP_SHARE * best.size), 1) - 1])

    @property
    def best(self) -> float:
        """The lowest value."""
        return float(self.values.min())

    @property
    def median(self) -> float:
        """The value that half of all configurations stay above: what blind luck reaches."""
        return float(np.median(self.values))

    @property
    def scale(self) -> Scale:
        """What the values mean."""
        return Scale(self.best, self.median, self.threshold)

    def rank(self, value: float) -> float:
        """The share of all configurations that are strictly better than a value, in [0, 1]."""
        return float(np.mean(self.values < value))


def searched(
    optimizer: Optimizer, measure: Callable[[Trial], Trial], budget: int
) -> tuple[Trial, ...]:
    """The trials of a study whose trainings are looked up, by number."""
    return run_study(optimizer, Batches(lambda asked: [*map(measure, asked)]), budget).trials


def _dimension(choices: tuple[Any, ...]) -> Categorical:
    return Categorical(choices) if isinstance(choices[0], str) else Ordinal(choices)
