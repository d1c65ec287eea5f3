"""What a study gains from the one before it, when the data has moved on in between."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from llmpso.benchmark.moving import SPACE, MovingForecast
from llmpso.benchmark.statistics import evaluations_to_target, incumbent_trace, ratio_interval
from llmpso.data.series.time_series import TimeSeries
from llmpso.memory.finished import past_trials
from llmpso.memory.past_study import PastStudy
from llmpso.study.minimize import minimize
from llmpso.study.result import StudyResult


@dataclass(frozen=True, slots=True)
class Race:
    """One window and seed: how soon each study was as good as the cold one in the end."""

    window: int
    seed: int
    cold: int
    """Evaluations after which the cold study had its own final value."""
    warm: int
    """Evaluations after which the warm one had it; one more than the budget if never."""


@dataclass(frozen=True, slots=True)
class Gain:
    """All races together."""

    cold: float
    """Mean evaluations."""
    warm: float
    ratio: float
    """Warm as a share of cold."""
    low: float
    """95 % interval of the ratio, over races drawn again."""
    high: float
    unsolved: int
    """Races in which the warm study never came to the cold one's value."""


def races(series: TimeSeries, *, n_windows: int, n_seeds: int, budget: int) -> Iterator[Race]:
    """Tune each window cold, and warm from the study of the window before, by the same seeds."""
    objectives = [MovingForecast(series, rows) for rows in _windows(series, n_windows + 1)]
    for seed in range(n_seeds):
        before = _study(objectives[0], seed, budget, None)
        for window, objective in enumerate(objectives[1:], start=1):
            cold = _study(objective, seed, budget, None)
            warm = _study(objective, seed, budget, before)
            target = min(trial.value for trial in cold.trials if trial.value is not None)
            traces = [incumbent_trace(study.trials) for study in (cold, warm)]
            reached = [evaluations_to_target(trace, target, budget) for trace in traces]
            yield Race(window, seed, *reached)
            before = cold


def gain(found: Sequence[Race], budget: int) -> Gain:
    """The mean over races, and its interval."""
    cold, warm = (
        np.array([getattr(race, name) for race in found], float) for name in ("cold", "warm")
    )
    low, high = ratio_interval(warm, cold)
    unsolved = int(np.sum(warm > budget))
    mean_cold, mean_warm = float(cold.mean()), float(warm.mean())
    return Gain(mean_cold, mean_warm, mean_warm / mean_cold, low, high, unsolved)


def _windows(series: TimeSeries, n: int) -> list[slice]:
    """Windows of equal length over the whole series, half of each in the one before."""
    length = math.floor(len(series.frame) / (1 + (n - 1) / 2))
    step = math.floor(length / 2)
    return [slice(index * step, index * step + length) for index in range(n)]


def _study(
    objective: MovingForecast, seed: int, budget: int, before: StudyResult | None
) -> StudyResult:
    """One guided study; warm with the best configuration and the memory of an earlier one."""
    # Linear algebra this small is many times slower when its threads fight over busy cores.
    with threadpool_limits(limits=1):
        return minimize(
            objective,
            SPACE,
            evaluations=budget,
            method="guided",
            seed=seed,
            start=() if before is None else (before.best.params,),
            memory=() if before is None else (_remembered(before),),
        )


def _remembered(study: StudyResult) -> PastStudy:
    return PastStudy(name="before", reference="before", trials=past_trials(study.trials))
