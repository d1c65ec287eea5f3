"""A few configurations of which, whatever the data, one is likely to be good.

Greedy: the next one is that which, beside those already evaluated, lowers the mean regret over the
earlier studies most. So it is not the second best of the same kind, but what does well where the
first did not (Wistuba, Schilling and Schmidt-Thieme, Sequential Model-Free Hyperparameter Tuning,
2015).
"""

from collections.abc import Callable, Sequence

import numpy as np

from llmpso.memory.mapping import MappedStudy
from llmpso.memory.trends import Trends
from llmpso.space import Floats, Params, SearchSpace

N_BEST = 10
"""Configurations of each study that may be chosen: its best ones."""

MOST_REGRET = 3.0
"""Score above the best from which on configurations are equally bad."""


class Portfolio:
    """The best configurations of earlier studies, and what each study expects of each.

    Args:
        space: The new study's.
        studies: Earlier ones in that space, at least one.
        trends: Their surrogates.

    Attributes:
        configurations: All that may be chosen, each once.
    """

    def __init__(self, space: SearchSpace, studies: Sequence[MappedStudy], trends: Trends) -> None:
        best = [params for study in studies for params in _best(study)]
        self.configurations = list({space.key(params): params for params in best}.values())
        scores = trends.scores(np.array([space.encode(each) for each in self.configurations]))
        regrets = scores - scores.min(axis=1, keepdims=True)
        self._regrets: Floats = np.minimum(regrets, MOST_REGRET)

    def next(self, relevance: Floats, is_taken: Callable[[Params], bool]) -> Params | None:
        """The configuration to evaluate beside those that are taken; None if all are.

        Args:
            relevance: How much each study counts, shape (n_studies,).
            is_taken: Whether a configuration is evaluated already.
        """
        taken = np.array([is_taken(params) for params in self.configurations])
        if taken.all():
            return None
        reached = self._regrets[:, taken].min(axis=1, initial=MOST_REGRET)
        together = relevance @ np.minimum(reached[:, np.newaxis], self._regrets)
        together[taken] = np.inf
        return self.configurations[int(np.lexsort((relevance @ self._regrets, together))[0])]


def _best(study: MappedStudy) -> list[Params]:
    """The best configurations of the complete trials, the best first."""
    order = np.argsort(np.where(study.is_complete, study.values, np.inf), kind="stable")
    n_best = min(N_BEST, int(study.is_complete.sum()))
    return [study.params[at] for at in order[:n_best]]
