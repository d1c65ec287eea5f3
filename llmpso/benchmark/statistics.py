"""The statistics of a benchmark: how soon each arm was good, and whether arms differ.

Expected running to a target counts an unsolved study as one evaluation more than its budget.
Paired differences are tested by Wilcoxon's signed ranks (1945), several at once by Holm's
correction (1979), and their intervals drawn by the percentile bootstrap (Efron, 1979).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, wilcoxon

from llmpso.errors import SpecError
from llmpso.holm import holm
from llmpso.space import Floats
from llmpso.trial import Trial

BUDGETS = (5, 10, 20, 40, 60)
"""Evaluations after which regret is reported."""


def incumbent_trace(trials: Sequence[Trial]) -> Floats:
    """The best value after each evaluation, shape (n_trials,); infinite before the first.

    Every evaluation counts: failed and repeated ones take their place without a gain.
    """
    ordered = sorted(trials, key=lambda trial: trial.number)
    values = [math.inf if trial.value is None else trial.value for trial in ordered]
    return np.minimum.accumulate(np.array(values, dtype=np.float64))


def evaluations_to_target(trace: Floats, target: float, budget: int) -> int:
    """Evaluations until a trace reaches the target; `budget + 1` if it does not."""
    reached = np.flatnonzero(trace[:budget] <= target)
    return int(reached[0]) + 1 if len(reached) else budget + 1


def normalized_regret(trace: Floats, evaluations: int, best: float, median: float) -> float:
    """What is left to gain after so many evaluations: 0 at the best, 1 at the median or worse.

    A trace that ended early, because its space was exhausted, keeps its last value.
    """
    if evaluations < 1 or not len(trace):
        raise SpecError(f"evaluations is {evaluations!r}, trace {len(trace)}; both must be > 0")
    if not best < median:
        raise SpecError(f"best {best!r} must be less than median {median!r}")
    reached = float(trace[min(evaluations, len(trace)) - 1])
    return min((reached - best) / (median - best), 1.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against a reference, over the same pairs of problem and seed."""

    mean: float
    reference: float
    """Mean of the reference."""
    difference: float
    """Mean of arm minus reference: negative is better."""
    low: float
    """Bootstrap interval of the difference, lower end."""
    high: float
    p: float
    """Two-sided; after Holm's correction when several arms are compared."""


def compare(arm: ArrayLike, reference: ArrayLike) -> Comparison:
    """One arm against a reference.

    Args:
        arm: One figure per pair of problem and seed, in the order of the reference.
        reference: The figures to compare with.

    Raises:
        SpecError: They are not as many, or there are none.
    """
    own, base = np.asarray(arm, np.float64), np.asarray(reference, np.float64)
    if len(own) != len(base) or not len(base):
        raise SpecError(f"an arm has {len(own)} figures, its reference {len(base)}")
    low, high = bootstrap_interval(own - base)
    mean, reference_mean = float(own.mean()), float(base.mean())
    p = paired_p_value(own - base)
    return Comparison(mean, reference_mean, mean - reference_mean, low, high, p)


def compare_all(arms: Mapping[str, ArrayLike], reference: ArrayLike) -> dict[str, Comparison]:
    """Each arm against one reference, with Holm's correction over the arms."""
    found = [compare(figures, reference) for figures in arms.values()]
    corrected = holm([each.p for each in found])
    return {name: replace(each, p=p) for name, each, p in zip(arms, found, corrected, strict=True)}


def paired_p_value(differences: Floats) -> float:
    """Wilcoxon's signed-rank test, two-sided; 1 when nothing differs."""
    if not np.any(differences):
        return 1.0
    return float(wilcoxon(differences).pvalue)


def bootstrap_interval(figures: Floats, *, n_resamples: int = 5_000) -> tuple[float, float]:
    """95 % percentile interval of the mean of independent figures."""
    return _interval((figures,), np.mean, n_resamples)


def ratio_interval(figures: Floats, base: Floats) -> tuple[float, float]:
    """95 % percentile interval of the ratio of two means, over pairs drawn again together."""

    def ratio(figures: Floats, base: Floats, axis: int) -> Any:
        return figures.mean(axis=axis) / base.mean(axis=axis)

    return _interval((figures, base), ratio, 5_000)


def _interval(
    samples: tuple[Floats, ...], statistic: Callable[..., Any], n_resamples: int
) -> tuple[float, float]:
    if len(samples[0]) < 2:  # which scipy refuses: one figure has no spread
        point = float(statistic(*samples, axis=0))
        return point, point
    found = bootstrap(
        samples,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=n_resamples,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)
