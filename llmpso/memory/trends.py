"""What each earlier study expects of every place, and how far the new study bears it out.

Values of different data are not comparable, so that each study has a surrogate of its own, whose
scores are standardised. Studies are weighed by how they rank what the new study has measured:
Feurer, Letham and Bakshy, Practical Transfer Learning for Bayesian Optimization, 2018 (RGPE).
"""

import math
from collections.abc import Sequence

import numpy as np

from llmpso.memory.mapping import MappedStudy
from llmpso.search.surrogate.posterior import fit
from llmpso.search.surrogate.scores import correlation
from llmpso.space import Floats, SearchSpace

DOUBT = 0.5
"""Standard deviations of a correlation by chance that are taken off."""

HALF_LIFE = 3.0
"""Trials that are worth as much as what is expected of a study before."""

FAILED = 1.0
"""Score that a certain failure costs: about that of the worst third of the trials."""

SHARPNESS = 4
"""Power of a study's agreement: with more, those that agree most decide alone."""

PRIOR_AGREEMENT = 0.5
"""Correlation of ranks that is expected of a study of other data before there is evidence."""

VOTE = 0.25
"""More is expected of a study that a language model finds relevant. It then weighs five times as
much as the others, and after six trials at most three times."""

LEAST_RELEVANCE = 1e-3
"""A study that ranks everything the wrong way round weighs as much."""


class Trends:
    """The surrogates of earlier studies.

    Args:
        space: The new study's.
        studies: Earlier ones in that space, at least one.
    """

    def __init__(self, space: SearchSpace, studies: Sequence[MappedStudy]) -> None:
        self._surrogates = [fit(space, each.positions, each.values) for each in studies]

    def scores(self, positions: Floats) -> Floats:
        """What each study expects of places, shape (n_studies, n_places); lower is better."""
        predictions = [surrogate.predict(positions) for surrogate in self._surrogates]
        return np.array([each.means + FAILED * each.failing for each in predictions])


def relevance(scores: Floats, values: Floats, prior: Floats) -> Floats:
    """How much each study counts, shape (n_studies,), with sum 1.

    Args:
        scores: What each expects of the new study's trials, shape (n_studies, n_trials).
        values: What these measured, shape (n_trials,); there may be none yet.
        prior: Agreement that is expected of each before there is evidence, shape (n_studies,).
    """
    n = len(values)
    agreement = np.array([correlation(own, values) if n else 0.0 for own in scores])
    expected = (HALF_LIFE * prior + n * agreement) / (HALF_LIFE + n)
    weights = np.maximum(expected, LEAST_RELEVANCE) ** SHARPNESS
    shares: Floats = weights / weights.sum()
    return shares


def belief(expected: Floats, values: Floats) -> float:
    """How far to follow what was expected of some trials, in [-1, 1], given what they measured.

    The correlation of ranks, half of its standard deviation nearer to 0: a trend that is of no use
    is soon followed no more. What ranks the trials the wrong way round, such as studies whose
    metric had the other sign, teaches as much: its opposite is followed. Followed fully at first,
    and half at three trials, a trend of the wrong sign cost more, and a true one hardly gained.
    """
    agreement, doubt = correlation(expected, values), DOUBT / math.sqrt(len(values) + 1)
    return agreement - float(np.clip(agreement, -doubt, doubt))
