"""Whoever proposes configurations to a guided search: a language model, or its placebo."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from llmpso.space import Params, SearchSpace
from llmpso.trial import Source

IsKnown = Callable[[Params], bool]
"""Whether a configuration was evaluated before."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a proposer is told of the study so far."""

    iteration: int
    best_first: tuple[tuple[Params, float], ...]
    """Completed configurations with their values, the incumbent first."""
    sensitivity: Mapping[str, float]
    """How strongly the value changes with each hyperparameter, by the surrogate; sums to 1."""


class Proposer(Protocol):
    """Proposes, and never raises for having nothing to propose."""

    @property
    def sources(self) -> tuple[Source, Source]:
        """The sources of its defaults and of its refinements."""
        ...

    def defaults(self, space: SearchSpace, n: int, is_known: IsKnown) -> Sequence[Params]:
        """At most `n` configurations to start from, before any trial."""
        ...

    def refinements(
        self, space: SearchSpace, progress: Progress, n: int, is_known: IsKnown
    ) -> Sequence[Params]:
        """At most `n` configurations that may improve on the incumbent."""
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """A proposer that also knows where the best may be expected."""

    def likely(self, space: SearchSpace) -> tuple[Params, Params] | None:
        """The lowest and the highest likely values; None if it has no usable answer."""
        ...


class Placebo:
    """Fills a language model's slots blindly: what any gain of the model is measured against.

    Args:
        seed: Its only source of randomness.
    """

    sources = (Source.PLACEBO_START, Source.PLACEBO)

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def defaults(self, space: SearchSpace, n: int, is_known: IsKnown) -> Sequence[Params]:
        """`n` configurations drawn evenly from the unit cube."""
        drawn = [space.decode(self._rng.random(len(space))) for _ in range(n)]
        return [params for params in drawn if not is_known(params)]

    def refinements(
        self, space: SearchSpace, progress: Progress, n: int, is_known: IsKnown
    ) -> Sequence[Params]:
        """As blind as the defaults."""
        return self.defaults(space, n, is_known)
