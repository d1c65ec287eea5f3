"""Values of trials as scores, which a surrogate can learn: lower is better, 0 is the middle."""

import math

import numpy as np
from scipy.special import ndtri

from llmpso.space import Floats

HUGE = 1e100
"""Values from which on squares would overflow: they are scaled first."""

CLIPPED = 0.3
"""Share of the observations whose values count as equally bad."""


def clipped_scores(values: Floats, clipped: float = CLIPPED) -> Floats:
    """Values with the worst share cut off, then standardised; zeros if nothing differs.

    How bad a bad place is must not bend the model where it matters; how good a good place is
    must: ranks (see `normal_scores`) flatten the way down to a minimum.
    """
    cut, _ = _cut(values, clipped)
    spread = float(cut.std())
    scores: Floats = (cut - cut.mean()) / spread if spread > 0 else np.zeros(len(cut))
    return scores


def score_unit(values: Floats, clipped: float = CLIPPED) -> float:
    """One of `clipped_scores` in units of the value; 1 if nothing differs."""
    cut, scale = _cut(values, clipped)
    spread = float(cut.std()) * scale
    return spread if 0 < spread < math.inf else 1.0


def score_middle(values: Floats, clipped: float = CLIPPED) -> float:
    """The value of which `clipped_scores` makes 0."""
    cut, scale = _cut(values, clipped)
    return float(cut.mean()) * scale


def _cut(values: Floats, clipped: float) -> tuple[Floats, float]:
    """Values with the worst share cut off, divided by a number that keeps squares finite."""
    largest = float(np.abs(values).max(initial=0.0))
    scale = largest if largest > HUGE else 1.0
    values = values / scale
    return np.minimum(values, np.quantile(values, 1 - clipped)), scale


def normal_scores(values: Floats) -> Floats:
    """Ranks as quantiles of the standard normal (Blom 1958); ties share their mean rank.

    Without `scipy.stats.rankdata`, whose import takes longer than all of this library's.
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    scores: Floats = ndtri((ranks - 0.375) / (len(values) + 0.25))
    return scores


def correlation(a: Floats, b: Floats) -> float:
    """Correlation of the ranks of two series; 0 where one of them is constant."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(normal_scores(a), normal_scores(b))[0, 1])
