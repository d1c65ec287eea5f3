"""A few configurations of which, whatever the data, one is likely to be good.

Greedy: the next one is that which, beside those already evaluated, lowers the mean regret over the
earlier studies most. So it is not the second best of the same kind, but what does well where the
first did not (Wistuba, Schilling and Schmidt-Thieme, Sequential Model-Free Hyperparameter Tuning,
2015).
"""

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np

from llmpso.memory.mapping import MappedStudy
from llmpso.memory.trends import Trends
from llmpso.search.surrogate.scores import clipped_scores
from llmpso.space import Floats, Params, SearchSpace

N_BEST = 10
"""Configurations of each study that may be chosen: its best ones."""

REGRET_CAP = 3.0
"""Score above the best from which on configurations are equally bad."""


class Portfolio:
    """The best configurations of earlier studies, and what each study expects of each.

    A study's own best configurations have the scores that it measured; of others it has those that
    its surrogate expects.

    Args:
        space: The new study's.
        studies: Earlier ones in that space, at least one.
        trends: Their surrogates.

    Attributes:
        configurations: All that may be chosen, each once; those that violate a constraint of the
            new space may not.
    """

    def __init__(self, space: SearchSpace, studies: Sequence[MappedStudy], trends: Trends) -> None:
        own_best = [_best(space, study) for study in studies]
        best = {
            space.key(study.params[at]): study.params[at]
            for study, trials in zip(studies, own_best, strict=True)
            for at in trials
        }
        self.configurations = list(best.values())
        self._space, self._keys = space, frozenset(best)
        places = np.array([space.encode(each) for each in self.configurations])
        scores = trends.scores(places.reshape(-1, len(space)))
        columns = {key: column for column, key in enumerate(best)}
        for own, study, trials in zip(scores, studies, own_best, strict=True):
            measured = _scores(study)
            for at in trials:
                own[columns[space.key(study.params[at])]] = measured[at]
        regrets = scores - scores.min(axis=1, keepdims=True, initial=np.inf)
        self._regrets: Floats = np.minimum(regrets, REGRET_CAP)

    def __contains__(self, params: Params) -> bool:
        return self._space.key(params) in self._keys

    def next(self, relevance: Floats, is_taken: Callable[[Params], bool]) -> Params | None:
        """The configuration to evaluate beside those that are taken; None if all are.

        Args:
            relevance: How much each study counts, shape (n_studies,).
            is_taken: Whether a configuration is evaluated already.
        """
        taken = np.array([is_taken(params) for params in self.configurations])
        if taken.all():
            return None
        reached = self._regrets[:, taken].min(axis=1, initial=REGRET_CAP)
        together = relevance @ np.minimum(reached[:, np.newaxis], self._regrets)
        together[taken] = np.inf
        return self.configurations[int(np.lexsort((relevance @ self._regrets, together))[0])]


def _best(space: SearchSpace, study: MappedStudy) -> list[int]:
    """The trials of the best complete configurations that are allowed, the best first."""
    complete = np.flatnonzero(study.is_complete)
    order = complete[np.argsort(study.values[complete], kind="stable")]
    allowed = (int(at) for at in order if not space.violated(study.params[at]))
    return list(islice(allowed, N_BEST))


def _scores(study: MappedStudy) -> Floats:
    """What was measured, as scores; inf without a value."""
    scores, has_value = np.full(len(study.values), np.inf), np.isfinite(study.values)
    scores[has_value] = clipped_scores(study.values[has_value])
    return scores
