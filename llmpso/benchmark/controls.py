"""Proposers that take away one thing from a language model: what is left is not due to it."""

from collections.abc import Sequence
from dataclasses import replace
from string import ascii_lowercase
from typing import Any

import numpy as np

from llmpso.advisor import Task
from llmpso.search.candidates import Candidate, local_changes, places, unseen
from llmpso.search.proposers import IsKnown, Progress, Proposer
from llmpso.search.surrogate import expected_improvement, fitted
from llmpso.space import Categorical, Dimension, Float, Integer, Params, SearchSpace
from llmpso.trial import Source

N_DRAWN = 500
"""Places all over the space that the surrogate alone chooses from."""

N_CHANGES = 100
"""Changes of the incumbent that it chooses from besides."""


class Shuffled:
    """A proposer that is shown the trials with their values, and all else felt, mixed up."""

    def __init__(self, proposer: Proposer, seed: int) -> None:
        self._proposer = proposer
        self._rng = np.random.default_rng(seed)
        self.sources = proposer.sources

    def defaults(self, space: SearchSpace, n: int, is_known: IsKnown) -> Sequence[Params]:
        """The proposer's own: no value was shown yet."""
        return self._proposer.defaults(space, n, is_known)

    def refinements(
        self, space: SearchSpace, progress: Progress, n: int, is_known: IsKnown
    ) -> Sequence[Params]:
        """The proposer's, misled: each value stands beside another trial's configuration."""
        order = self._rng.permutation(len(progress.best_first))
        params = [progress.best_first[index][0] for index in order]
        values = [value for _, value in progress.best_first]
        felt = self._rng.permutation(list(progress.sensitivity.values())).tolist()
        mixed = replace(
            progress,
            best_first=tuple(zip(params, values, strict=True)),
            sensitivity=dict(zip(progress.sensitivity, felt, strict=True)),
        )
        return self._proposer.refinements(space, mixed, n, is_known)


class Surrogate:
    """Fills a language model's slots by the surrogate alone, which needs no model for that.

    Args:
        seed: Its only source of randomness.
    """

    # Not the source of the search's own picks, whose record must not open the gate.
    sources = (Source.CONTROL, Source.CONTROL)

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def defaults(self, space: SearchSpace, n: int, is_known: IsKnown) -> Sequence[Params]:
        """None: without a trial there is nothing to learn from."""
        return []

    def refinements(
        self, space: SearchSpace, progress: Progress, n: int, is_known: IsKnown
    ) -> Sequence[Params]:
        """The places of highest expected improvement, near the incumbent or anywhere."""
        positions = np.array([space.encode(params) for params, _ in progress.best_first])
        surrogate = fitted(space, positions, np.array([v for _, v in progress.best_first]))
        pool = self._pool(space, positions[0], is_known)
        if not pool:
            return []
        gains = expected_improvement(surrogate.predict(places(space, pool)), surrogate.best)
        return [pool[index].params for index in np.argsort(-gains, kind="stable")[:n]]

    def _pool(
        self, space: SearchSpace, best: np.ndarray[Any, Any], is_known: IsKnown
    ) -> list[Candidate]:
        anywhere = self._rng.random((N_DRAWN, len(space)))
        near = local_changes(space, best, N_CHANGES, self._rng)
        drawn = unseen(space, np.vstack([anywhere, near]), Source.SURROGATE, set())
        return [candidate for candidate in drawn if not is_known(candidate.params)]


class Anonymous:
    """A proposer that is told neither names nor units: x1 from 0 to 1, x2 one of a, b, and so on.

    Args:
        proposer: Who is asked; its task must tell nothing either: see `anonymous_task`.
    """

    def __init__(self, proposer: Proposer) -> None:
        self._proposer = proposer
        self.sources = proposer.sources

    def defaults(self, space: SearchSpace, n: int, is_known: IsKnown) -> Sequence[Params]:
        """The proposer's, by their place in the unit cube."""
        veiled = anonymous_space(space)
        told = self._proposer.defaults(
            veiled, n, lambda params: is_known(_unveiled(space, params))
        )
        return [_unveiled(space, params) for params in told]

    def refinements(
        self, space: SearchSpace, progress: Progress, n: int, is_known: IsKnown
    ) -> Sequence[Params]:
        """The proposer's, by their place in the unit cube."""
        veiled = anonymous_space(space)
        shown = replace(
            progress,
            best_first=tuple(
                (veiled.decode(space.encode(params)), value)
                for params, value in progress.best_first
            ),
            sensitivity=dict(zip(veiled, progress.sensitivity.values(), strict=True)),
        )
        told = self._proposer.refinements(
            veiled, shown, n, lambda params: is_known(_unveiled(space, params))
        )
        return [_unveiled(space, params) for params in told]


def anonymous_task(space: SearchSpace) -> Task:
    """What may be said of a task without telling anything of it."""
    return Task(f"A system with {len(space)} inputs; nothing else is known about it.", "cost")


def anonymous_space(space: SearchSpace) -> SearchSpace:
    """The same unit cube under neutral names and scales."""
    return SearchSpace(
        {f"x{i}": _veiled(dimension) for i, dimension in enumerate(space.values(), start=1)}
    )


def _veiled(dimension: Dimension) -> Dimension:
    if not isinstance(dimension, Categorical):
        return Float(0.0, 1.0)
    if dimension.ordered:
        return Integer(1, len(dimension.choices))
    return Categorical(tuple(ascii_lowercase[: len(dimension.choices)]))


def _unveiled(space: SearchSpace, params: Params) -> dict[str, Any]:
    return space.decode(anonymous_space(space).encode(params))
