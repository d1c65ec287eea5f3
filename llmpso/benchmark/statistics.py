"""The statistics of a benchmark: how soon each arm was good, and whether arms differ.

Expected running to a target counts an unsolved study as one evaluation more than its budget.
Paired differences are tested by Wilcoxon's signed ranks (1945), several at once by Holm's
correction (1979), and their intervals drawn by the percentile bootstrap (Efron, 1979).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
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
    reference_mean: float
    difference: float
    """Mean of arm minus reference: negative is better."""
    low: float
    """Bootstrap interval of the difference, lower end."""
    high: float
    p_value: float
    """Two-sided, after Holm's correction when several arms are compared."""

    @property
    def ratio(self) -> float:
        """Mean of the arm as a share of the reference's."""
        return self.mean / self.reference_mean


def compare(
    arms: Mapping[str, Sequence[float]], reference: Sequence[float], *, seed: int = 0
) -> dict[str, Comparison]:
    """Every arm against one reference, with Holm's correction over the arms.

    Args:
        arms: By name, one figure per pair of problem and seed, in the order of the reference.
        reference: The figures to compare with.
        seed: Randomness of the bootstrap.

    Raises:
        SpecError: An arm has another number of figures than the reference.
    """
    base = np.asarray(reference, dtype=np.float64)
    p_values = {}
    for name, figures in arms.items():
        if len(figures) != len(base) or not len(base):
            raise SpecError(f"arm {name!r} has {len(figures)} figures, reference {len(base)}")
        p_values[name] = paired_p_value(np.asarray(figures, dtype=np.float64) - base)
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {
        name: _comparison(np.asarray(figures, dtype=np.float64), base, corrected[name], seed)
        for name, figures in arms.items()
    }


def paired_p_value(differences: Floats) -> float:
    """Wilcoxon's signed-rank test, two-sided; 1 when nothing differs."""
    if not np.any(differences):
        return 1.0
    return float(wilcoxon(differences).pvalue)


def bootstrap_interval(
    figures: Floats, *, n_resamples: int = 5_000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the mean of independent figures."""
    return _interval((figures,), np.mean, n_resamples, seed)


def ratio_interval(
    figures: Floats, base: Floats, *, n_resamples: int = 5_000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the ratio of two means, over pairs drawn again together."""

    def ratio(figures: Floats, base: Floats, axis: int) -> Any:
        return figures.mean(axis=axis) / base.mean(axis=axis)

    return _interval((figures, base), ratio, n_resamples, seed)


def _interval(
    samples: tuple[Floats, ...], statistic: Callable[..., Any], n_resamples: int, seed: int
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
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _comparison(figures: Floats, base: Floats, p_value: float, seed: int) -> Comparison:
    low, high = bootstrap_interval(figures - base, seed=seed)
    mean, reference_mean = float(figures.mean()), float(base.mean())
    return Comparison(mean, reference_mean, mean - reference_mean, low, high, p_value)
