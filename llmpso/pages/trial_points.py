"""The trials of a study as coordinates: in the user's units, and in the unit cube."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llmpso.pages.charts import Axis
from llmpso.space import Categorical, Dimension, Floats, SearchSpace
from llmpso.space.dimensions import values
from llmpso.text import brief, short
from llmpso.trial import Trial

WIDE_RATIO = 20.0
"""Largest over smallest value from which on an axis of values is logarithmic."""

LABEL_LENGTH = 32
"""Letters of a name that a figure has room for."""

MOST_TICKS = 10
"""Whole numbers that each get a tick of their own."""


@dataclass(frozen=True, slots=True)
class Points:
    """The completed trials of a study, in the order of proposal."""

    trials: tuple[Trial, ...]
    space: SearchSpace
    metric: str
    """Name and unit of the value."""

    @classmethod
    def of(cls, trials: Sequence[Trial], space: SearchSpace, metric: str) -> "Points":
        """Those of the trials that have a value."""
        completed = [trial for trial in trials if trial.value is not None]
        return cls(tuple(sorted(completed, key=lambda trial: trial.number)), space, metric)

    def with_values(self, names: Sequence[str]) -> "Points":
        """Those in which all of these hyperparameters count."""
        found = [trial for trial in self.trials if all(name in trial.params for name in names)]
        return replace(self, trials=tuple(found))

    @property
    def values(self) -> Floats:
        """What was measured, shape (n_trials,)."""
        return np.array([trial.value for trial in self.trials], dtype=np.float64)

    @property
    def cube(self) -> Floats:
        """Where it was measured, shape (n_trials, n_dims), unit cube."""
        return np.array([self.space.encode(trial.params) for trial in self.trials])

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which hyperparameters count in each, shape (n_trials, n_dims)."""
        return np.array([self.space.is_used(trial.params) for trial in self.trials])

    @property
    def value_axis(self) -> Axis:
        """The axis of the values."""
        return values_axis(self.metric, self.values)

    @property
    def shades(self) -> Floats:
        """The share of trials that are better than each, from 0 for the best to 1."""
        ranks = self.values.argsort(kind="stable").argsort(kind="stable")
        return np.asarray(ranks / max(1, len(ranks) - 1), dtype=np.float64)


def values_axis(name: str, values: Iterable[float]) -> Axis:
    """An axis of values; logarithmic if they span more than an order of magnitude."""
    low, high = min(values := list(map(float, values))), max(values)
    return Axis(label(name), log=low > 0 and high / low > WIDE_RATIO)


def axis(name: str, dimension: Dimension) -> Axis:
    """The axis of a hyperparameter; choices have their own names."""
    if isinstance(dimension, Categorical):
        ticks = tuple((float(i), label(choice)) for i, choice in enumerate(dimension.choices))
        return Axis(label(name), limits=(-0.5, len(ticks) - 0.5), ticks=ticks)
    low, high = float(dimension.low), float(dimension.high)
    if low == high:
        return Axis(label(name), limits=(low - 0.5, low + 0.5), ticks=((low, f"{low:g}"),))
    if dimension.log:
        margin = math.pow(high / low, 0.06)
        ends = (low / margin, high * margin)
        return Axis(label(name), log=True, limits=ends, ticks=log_ticks(low, high))
    margin = 0.06 * (high - low)
    listed = values(dimension) if dimension.size <= MOST_TICKS else ()
    ticks = tuple((float(value), short(value)) for value in listed)
    return Axis(label(name), limits=(low - margin, high + margin), ticks=ticks)


def label(text: object) -> str:
    """A name or a choice as an axis shows it."""
    return brief(str(text), LABEL_LENGTH)


def log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """The ends, and places between them at equal distance: powers of ten where they are enough."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    places = [10.0**power for power in range(first, last + 1)]
    if len(places) < 3:
        places = np.geomspace(low, high, 4).tolist()
    return tuple((place, f"{place:.2g}" if place < 10 else f"{place:.0f}") for place in places)


def coordinate(dimension: Dimension, value: object) -> float:
    """The place of a value on the axis of its hyperparameter."""
    if isinstance(dimension, Categorical):
        return math.floor(dimension.encode(value) * len(dimension.choices))
    return float(value)  # type: ignore[arg-type]


def one_line_of(trial: Trial) -> str:
    """A trial in one line."""
    params = ", ".join(f"{brief(name)} {short(value)}" for name, value in trial.params.items())
    return f"{short(trial.value)} · trial {trial.number} · {trial.source} · {params}"
