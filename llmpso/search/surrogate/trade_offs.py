"""Several goals, one trade-off at a time: weights are drawn anew for each batch of proposals.

The surrogate learns the weighted goals, and the swarm follows what is best by these weights. With
each weight another part of the front is sought (Knowles, ParEGO: A Hybrid Algorithm with On-Line
Landscape Approximation for Expensive Multiobjective Optimization Problems, 2006).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from llmpso.pareto import augmented_chebyshev, extent
from llmpso.search.surrogate.observations import LEAST_RANKED, Observations
from llmpso.search.surrogate.scores import CLIPPED
from llmpso.space import Floats, Position, SearchSpace
from llmpso.trial import Trial


@runtime_checkable
class Follows(Protocol):
    """A metaheuristic whose members can be given other bests."""

    def follow(self, bests: Mapping[int, tuple[Position, float]]) -> None:
        """Set the best positions of members with their values; the others have none."""
        ...

    def position(self, member: int) -> Position:
        """Where a member is."""
        ...


class TradeOffs:
    """What a study has measured of several goals, weighted.

    Args:
        space: What may be tried.
        observed: The observations of its trials, with the first goal as their value.
    """

    def __init__(self, space: SearchSpace, observed: Observations) -> None:
        self._space = space
        self._observed = observed
        self._complete: list[Trial] = []

    def add(self, trials: Sequence[Trial]) -> None:
        """Add a batch that was observed."""
        self._complete += [trial for trial in trials if trial.values]

    def targets(self, population: Follows, rng: np.random.Generator) -> Floats:
        """Draw weights, and let the members follow what is best by them.

        Returns:
            What the search is to lower, shape (n_trials,): the weighted goals, where there are
            enough of them; see `Observations.targets`.
        """
        targets = self._observed.targets
        if len(self._complete) >= LEAST_RANKED:
            points = np.array([list(trial.values.values()) for trial in self._complete])
            weighted = weighted_goals(points, rng.dirichlet(np.ones(points.shape[1])))
            targets[[self._observed.row(trial.number) for trial in self._complete]] = weighted
            population.follow(self._bests(population, weighted.tolist()))
        return targets

    def _bests(
        self, population: Follows, weighted: Sequence[float]
    ) -> dict[int, tuple[Position, float]]:
        """The best of each member's own trials."""
        found: dict[int, tuple[Position, float]] = {}
        for trial, value in sorted(
            zip(self._complete, weighted, strict=True), key=lambda pair: -pair[1]
        ):
            own = population.position(trial.particle)
            found[trial.particle] = self._space.encode(trial.params, unused=own), value
        return found


def weighted_goals(points: Floats, weights: Floats) -> Floats:
    """Several goals as one value, shape (n_points,).

    Each is scaled by the front. The worst share of each counts as equally bad, so that an outlier
    does not bend the model, but nothing that is as good as the worst of the front is cut off.

    Args:
        points: Shape (n_points, n_goals).
        weights: Shape (n_goals,), sum 1.
    """
    low, high = extent(points)
    cut = np.maximum(np.quantile(points, 1 - CLIPPED, axis=0), high)
    return augmented_chebyshev(np.minimum(points, cut), weights, low, high)
