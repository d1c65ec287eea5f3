"""Starts that take away one thing from a language model: what is left is not due to it."""

from string import ascii_lowercase
from typing import Any

import numpy as np

from llmpso.advisor import Task
from llmpso.search.initial import IsKnown, StartAdvisor
from llmpso.space import Categorical, Dimension, Float, Integer, Params, SearchSpace
from llmpso.trial import Source


class Placebo:
    """A blind start in the language model's place: what any gain of the model is measured against.

    Args:
        seed: Its only source of randomness.
    """

    source = Source.PLACEBO_START

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def suggest(self, space: SearchSpace, is_known: IsKnown) -> Params | None:
        """A configuration drawn evenly from the unit cube."""
        drawn = space.decode(self._rng.random(len(space)))
        return None if is_known(drawn) else drawn


class Anonymous:
    """A start without names and units: x1 from 0 to 1, x2 one of a, b, and so on.

    Args:
        advisor: Who suggests; its task must not show them either: see `anonymous_task`.
    """

    def __init__(self, advisor: StartAdvisor) -> None:
        self._advisor = advisor

    @property
    def source(self) -> Source:
        """That of the advisor."""
        return self._advisor.source

    def suggest(self, space: SearchSpace, is_known: IsKnown) -> Params | None:
        """The advisor's, by its place in the unit cube."""
        veiled = self._advisor.suggest(
            anonymous_space(space), lambda params: is_known(_unveiled(space, params))
        )
        return None if veiled is None else _unveiled(space, veiled)


def anonymous_task(space: SearchSpace) -> Task:
    """A description of a task that reveals nothing about it."""
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
