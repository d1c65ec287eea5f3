"""What a study gains from the one before it, when the data has moved on in between."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from llmpso.benchmark.moving import HORIZON, MovingForecast
from llmpso.benchmark.statistics import evaluations_to_target, incumbent_trace, ratio_interval
from llmpso.data.series.time_series import TimeSeries
from llmpso.memory.finished import past_trials
from llmpso.memory.past_study import PastStudy
from llmpso.objectives.base import Objective
from llmpso.space import SearchSpace
from llmpso.study.minimize import minimize
from llmpso.study.result import StudyResult


class Tunable(Objective, Protocol):
    """An objective with its space."""

    @property
    def space(self) -> SearchSpace:
        """What may be tried."""
        ...


NEAR = 0.01
"""How far above the lowest value of a window, as a share of it, a study has found it."""


@dataclass(frozen=True, slots=True)
class Race:
    """One window and seed, tuned cold and warm: the best value after each training."""

    window: int
    seed: int
    cold: tuple[float, ...]
    warm: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Gain:
    """All races together: trainings until a study came near the lowest value of its window.

    The lowest is that of all studies of the window, cold or warm. The final value of one cold
    study is partly its luck: another cold one, too, needs more trainings for that.
    """

    cold: float
    """Mean trainings; one more than the budget where it never came near."""
    warm: float
    ratio: float
    """Warm as a share of cold."""
    low: float
    """95 % interval of the ratio, over races drawn again."""
    high: float
    unsolved: tuple[int, int]
    """Races in which the cold study, and the warm one, never came near."""


def forecasts(series: TimeSeries, n_windows: int) -> list[MovingForecast]:
    """The cheap forecast on the first window of a series, and on so many half-new ones."""
    return [MovingForecast(series, rows) for rows in _windows(series, n_windows + 1)]


def networks(series: TimeSeries, n_windows: int) -> list[Tunable]:
    """The LSTM that ships, on the same windows; it trains for minutes."""
    from llmpso.objectives.lstm import LSTMObjective

    frames = [series.frame.iloc[rows] for rows in _windows(series, n_windows + 1)]
    return [LSTMObjective(replace(series, frame=frame), horizon=HORIZON) for frame in frames]


def races(objectives: Sequence[Tunable], *, n_seeds: int, budget: int) -> Iterator[Race]:
    """Tune each window cold, and warm from the study of the window before, by the same seeds.

    Args:
        objectives: The first window, and those that are tuned.
        n_seeds: Studies of each.
        budget: Trainings of each study, all of them to the end.
    """
    for seed in range(n_seeds):
        before = _study(objectives[0], seed, budget, None)
        for window, objective in enumerate(objectives[1:], start=1):
            cold = _study(objective, seed, budget, None)
            warm = _study(objective, seed, budget, before)
            traces = (tuple(incumbent_trace(study.trials).tolist()) for study in (cold, warm))
            yield Race(window, seed, *traces)
            before = cold


def gain(found: Sequence[Race]) -> Gain:
    """The means over races, and the interval of their ratio."""
    lowest: dict[int, float] = {}
    for race in found:
        known = lowest.get(race.window, math.inf)
        lowest[race.window] = min(known, race.cold[-1], race.warm[-1])
    cold, warm = (
        np.array([_until_near(getattr(race, arm), lowest[race.window]) for race in found], float)
        for arm in ("cold", "warm")
    )
    n_never = [int(np.sum(own > len(found[0].cold))) for own in (cold, warm)]
    mean_cold, mean_warm = float(cold.mean()), float(warm.mean())
    interval = ratio_interval(warm, cold)
    return Gain(mean_cold, mean_warm, mean_warm / mean_cold, *interval, (n_never[0], n_never[1]))


def _until_near(trace: Sequence[float], lowest: float) -> int:
    target = lowest + NEAR * abs(lowest)
    return evaluations_to_target(np.array(trace), target, len(trace))


def _windows(series: TimeSeries, n: int) -> list[slice]:
    """Windows of equal length over the whole series, half of each in the one before."""
    length = math.floor(len(series.frame) / (1 + (n - 1) / 2))
    step = math.floor(length / 2)
    return [slice(index * step, index * step + length) for index in range(n)]


def _study(objective: Tunable, seed: int, budget: int, before: StudyResult | None) -> StudyResult:
    """One guided study; warm with the best configuration and the memory of an earlier one."""
    # Linear algebra this small is many times slower when its threads fight over busy cores.
    with threadpool_limits(limits=1):
        return minimize(
            objective,
            objective.space,
            evaluations=budget,
            method="guided",
            seed=seed,
            racing=False,
            start=() if before is None else (before.best.params,),
            memory=() if before is None else (_remembered(before),),
        )


def _remembered(study: StudyResult) -> PastStudy:
    return PastStudy(name="before", reference="before", trials=past_trials(study.trials))
